"""The official Python SDK of today, whose major is not the one that litellm pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.other_clients import CURRENT, TOLD

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Service


def test_every_smoke_check_tells_what_it_should(service: Service) -> None:
    told = CURRENT.report(service.base_url, *TOLD, "versions")

    sdk, _ = told.pop("versions")
    assert int(sdk.split(".")[0]) >= 3
    assert told == TOLD


def test_a_stream_that_is_left_ends_at_the_provider(service: Service) -> None:
    assert CURRENT.leave(service)
