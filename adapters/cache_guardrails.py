"""What providers and gateways further on write into an answer when a filter, a moderation or a guardrail has had a hand
in it, so that such an answer is kept for nobody.

Azure's filters say `filtered` and `detected` of a prompt and of each choice, and `blocked` in Responses; moderations
say `flagged`; Portkey's hooks give a `verdict`, Bedrock's guardrails an action. What was only noticed counts as well:
what made a guardrail look up is nothing to give to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FILTERS: Final = frozenset((
    "prompt_filter_results", "prompt_annotations", "content_filter_results", "content_filter_result", "content_filters",
))  # fmt: skip
_MEMBERS: Final = FILTERS | {"moderation", "moderation_results", "guardrails", "guardrail_results", "hook_results"}
_TRUE_OF: Final = ("filtered", "detected", "blocked", "flagged")
_BEDROCK: Final = "amazon-bedrock-guardrailAction"
_INTERVENED: Final = "INTERVENED"


def was_touched(part: Mapping[str, object]) -> bool:
    """Whether a guardrail says that it had a hand in this answer, choice or message."""
    if part.get(_BEDROCK) == _INTERVENED:
        return True
    if _MEMBERS.isdisjoint(part):  # as of nearly all answers, without a set of its own for each
        return False
    return any(was_filtered(part[name]) for name in _MEMBERS & part.keys())


def was_filtered(results: object) -> bool:
    """Whether any of these results, however deep they lie, is that something was taken out or noticed."""
    waiting = [results]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if any(item.get(name) is True for name in _TRUE_OF) or item.get("verdict") is False:
                return True
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return False
