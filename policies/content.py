"""How much of what is said may leave with traces: nothing, unless an operator asks for it; and who may have it less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.route_rules import Content

if TYPE_CHECKING:
    from policies.vocabulary import Principal

_RANKS: Final = {level: rank for rank, level in enumerate(Content)}
_NOTHING: Final = frozenset({"no_content", "event_only", "false", "0", "none"})
_ALL: Final = frozenset({"span_only", "span_and_event", "true", "1"})


class ContentRules(NamedTuple):
    """`default` is for keys of which nobody says anything; nobody gets more than `most`. `bytes_max` is what is shown
    of a request, and as much of its answer.
    """

    default: Content = Content.NONE
    most: Content = Content.NONE
    bytes_max: int = 32 << 10

    @property
    def is_off(self) -> bool:
        return self.most is Content.NONE

    def level(self, principal: Principal | None) -> Content:
        """What may be shown of this principal's calls. Of callers that nobody knows, nothing."""
        if principal is None or self.is_off:
            return Content.NONE
        return least(self.most, self.default if principal.content is None else principal.content) or Content.NONE


def least(*levels: Content | None) -> Content | None:
    """The most private of those that somebody stated; None where nobody did."""
    stated = [level for level in levels if level is not None]
    return min(stated, key=_RANKS.__getitem__) if stated else None


def bound_of(word: str) -> Content | None:
    """What OpenTelemetry's OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT allows at most; None where it is empty.

    It says where content may go, of which spans are the only place here; `true` is what others made of it. Raises
    `ValueError` for what it does not say: a slip must not show what somebody meant to hide.
    """
    said = word.strip().lower()
    if not said:
        return None
    if said in _NOTHING:
        return Content.NONE
    if said in _ALL:
        return Content.FULL
    raise ValueError("must be NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT, true or false")
