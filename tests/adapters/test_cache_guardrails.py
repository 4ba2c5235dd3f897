from __future__ import annotations

from typing import Any

import pytest

from adapters.cache_guardrails import was_filtered, was_touched

SAFE = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"filtered": False, "detected": False}}


@pytest.mark.parametrize(
    ("part", "touched"),
    [
        ({}, False),
        ({"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]}, False),
        ({"prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True}}}]}, True),
        ({"prompt_annotations": [{"content_filter_results": {"jailbreak": {"detected": True}}}]}, True),
        ({"content_filter_results": {"custom_blocklists": {"details": [{"id": "b", "filtered": True}]}}}, True),
        ({"content_filters": [{"blocked": True, "source_type": "completion"}]}, True),
        ({"content_filters": [{"blocked": False, "content_filter_results": SAFE}]}, False),
        ({"moderation": {"flagged": True}}, True),
        ({"moderation": {"results": [{"flagged": False}]}}, False),
        ({"hook_results": {"after_request_hooks": [{"verdict": False}]}}, True),
        ({"hook_results": {"after_request_hooks": [{"verdict": True}]}}, False),
        ({"amazon-bedrock-guardrailAction": "INTERVENED"}, True),
        ({"amazon-bedrock-guardrailAction": "NONE"}, False),
        ({"content": {"filtered": True}}, False),
    ],
)
def test_the_marks_of_guardrails(part: dict[str, Any], touched: bool) -> None:  # noqa: FBT001 - a column of the table
    assert was_touched(part) is touched


@pytest.mark.parametrize(
    ("results", "filtered"),
    [
        ({"hate": {"filtered": True, "severity": "high"}}, True),
        ([{"hate": {"filtered": False}}, {"jailbreak": {"filtered": True}}], True),
        ({"filtered": True}, True),
        ({"hate": {"filtered": False}, "error": None}, False),
        ({"filtered": "true"}, False),
        (None, False),
        ("x", False),
    ],
)
def test_what_filters_say(results: object, filtered: bool) -> None:  # noqa: FBT001 - a column of the table
    assert was_filtered(results) is filtered


def test_a_deep_answer_is_no_recursion() -> None:
    deep: Any = {"filtered": True}
    for _ in range(50_000):
        deep = [deep]
    assert was_filtered(deep)
    while isinstance(deep, list):  # taken apart here, for its own end would be a recursion
        deep = deep.pop()
