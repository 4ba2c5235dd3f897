from __future__ import annotations

import pytest
import yaml

from gateway.commands.shown import not_yaml, path_of, query_of


def test_names_are_put_into_paths_and_queries_as_they_are_meant() -> None:
    assert path_of("teams", "default", "r/d?#") == "/admin/v1/teams/default/r%2Fd%3F%23"
    assert query_of({"name": "a&b=c", "org": None, "limit": 5}) == "?name=a%26b%3Dc&limit=5"
    assert query_of({"org": None}) == ""


@pytest.mark.parametrize(
    "text",
    ["a:\n  {api_key: sk-secret: bad}", "a:\n  'sk-secret", "a: 1\n- sk-secret", "sk-secret: *b", "sk-secret\x00"],
)
def test_what_is_wrong_with_a_file_is_told_without_what_stands_there(text: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(text)
    told = not_yaml(caught.value)
    assert told.startswith("is not YAML: ")
    assert "sk-secret" not in told
    assert "\n" not in told


def test_the_line_is_told() -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load("a: b\nc: [1\nd: 2")
    assert not_yaml(caught.value).endswith(", line 3")
