"""The official SDK for Node: the same as from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.other_clients import NODE, TOLD

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Service


def test_every_smoke_check_tells_what_it_should(service: Service) -> None:
    told = NODE.report(service.base_url, *TOLD, "versions")

    _, node = told.pop("versions")
    assert int(node.split(".")[0]) >= 22
    assert told == TOLD


def test_an_aborted_stream_ends_at_the_provider(service: Service) -> None:
    assert NODE.leave(service)
