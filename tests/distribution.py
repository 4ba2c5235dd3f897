"""Which tests go to one worker together: those of a file, or of a folder that shares what is dear to set up.

xdist's own groups by mark do nothing under pytest 9.2, whose ids of tests cannot be written any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

FOLDERS = ("tests/observed/", "tests/end_to_end/engine/")


class ByPlace(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """One file after the other, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by their number of tests, the longest files would come last

    def _split_scope(self, nodeid: str) -> str:
        return place_of(nodeid)


def place_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return next((folder for folder in FOLDERS if file.startswith(folder)), file)
