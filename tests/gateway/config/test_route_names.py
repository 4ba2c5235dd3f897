from __future__ import annotations

import pytest

from gateway.config.route_names import Called, named_routes, route_names, routes_by_word

ROUTES = (
    Called(None, ("smart", "smart-*")),
    Called(None, ("smart",)),
    Called("own", ("smart",)),
    Called("pool", ()),
)


def test_routes_that_begin_with_the_same_model_are_numbered() -> None:
    assert route_names(ROUTES) == ("smart", "smart#2", "own", "pool")


@pytest.mark.parametrize(("name", "found"), [("smart", (0, 1)), ("own", (2,)), ("pool", (3,)), ("smart-*", ())])
def test_a_route_is_meant_by_its_name_or_its_first_model(name: str, found: tuple[int, ...]) -> None:
    assert named_routes(ROUTES, name) == found


def test_a_model_stands_for_every_route_that_has_it() -> None:
    assert routes_by_word(ROUTES) == {
        "smart": {"smart", "smart#2", "own"},
        "smart-*": {"smart"},
        "own": {"own"},
        "pool": {"pool"},
    }
