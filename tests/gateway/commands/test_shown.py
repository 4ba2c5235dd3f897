from __future__ import annotations

from gateway.commands.shown import path_of, query_of


def test_names_are_put_into_paths_and_queries_as_they_are_meant() -> None:
    assert path_of("teams", "default", "r/d?#") == "/admin/v1/teams/default/r%2Fd%3F%23"
    assert query_of({"name": "a&b=c", "org": None, "limit": 5}) == "?name=a%26b%3Dc&limit=5"
    assert query_of({"org": None}) == ""
