"""Whether a stream that broke after some of it was sent may go on elsewhere, and where the new answer joins the old.

A caller must never read a character twice, nor miss one. So only plain text goes on: one choice, nothing that has a
form of its own (tools, JSON, logprobs, audio), no reasoning; and what is not known to be harmless is taken for harmful.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from policies.failures import Remedy, remedy
from policies.route_rules import Resume
from policies.vocabulary import Endpoint, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.vocabulary import Failure

ENDPOINTS: Final = frozenset((Endpoint.CHAT, Endpoint.COMPLETIONS))
# Members that change which text comes, not what form it has. All others may hold only what asks for nothing.
HARMLESS: Final = frozenset(
    (
        "model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
        "temperature", "top_p", "top_k", "min_p", "top_a", "typical_p", "stop", "seed", "presence_penalty",
        "frequency_penalty", "repetition_penalty", "repeat_penalty", "logit_bias", "user", "metadata", "store",
        "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity",
        "parallel_tool_calls", "top_logprobs",
    )
)  # fmt: skip
NOTHING: Final = frozenset(
    (
        b"null", b"false", b"[]", b"{}", b'""', b'"none"', b'["text"]', b'{"type":"text"}',
        b'{"type":"disabled"}', b'{"enabled":false}', b'{"enable_thinking":false}',
    )
)  # fmt: skip
KINDS: Final = frozenset(
    (
        FailureKind.RESET,
        FailureKind.TRUNCATED,
        FailureKind.IDLE,
        FailureKind.IN_BAND,
        FailureKind.BAD_RESPONSE,
        FailureKind.CRASHED,
    )
)
REMEDIES: Final = frozenset((Remedy.AGAIN, Remedy.MOVE, Remedy.LEAVE))
# So much of the beginning once more is a new beginning, whatever the model was asked for.
REPEATED_CHARS: Final = 32
HALF_A_CHARACTER: Final = "\ufffd"


class Sent(NamedTuple):
    """What a caller has of a stream: its text; whether that was all; whether an event in between could not be read."""

    text: str
    is_plain: bool = True
    is_finished: bool = False
    has_hole: bool = False


def hindrance(endpoint: Endpoint, choices: int, members: Mapping[str, bytes | memoryview]) -> str | None:
    """Why an answer to this request cannot go on elsewhere, in a few words; None where it can.

    `members` is the body's JSON by top-level name.
    """
    if endpoint not in ENDPOINTS:
        return f"{endpoint.value} cannot be resumed"
    if choices != 1:
        return "more than one choice"
    for name, raw in members.items():
        if name not in HARMLESS and bytes(raw).replace(b" ", b"") not in NOTHING:
            return f"'{name}' is asked for"
    return None


def may_go_on(failure: Failure) -> bool:
    """Whether a stream that ended like this was the upstream's to lose, and another may do better."""
    return failure.kind in KINDS and remedy(failure) in REMEDIES


def may_repeat(failure: Failure) -> bool:
    """Whether the deployment whose stream broke like this may go on itself, where nobody else can. What an engine may
    have died of came late in the answer: to go on would be to come to it again.
    """
    return failure.kind is not FailureKind.CRASHED and remedy(failure) in (Remedy.AGAIN, Remedy.MOVE)


def open_ways(ways: tuple[Resume, ...], sent: Sent) -> tuple[Resume, ...]:
    """Which of `ways` can take up an answer of which the caller has `sent`."""
    if not sent.is_plain or sent.is_finished or sent.text.endswith(HALF_A_CHARACTER):
        return ()
    # A text with a hole is no text to continue; a new answer that has no hole does not align with it either.
    return tuple(way for way in ways if way is not Resume.PREFILL) if sent.has_hole else ways


class Joint(NamedTuple):
    """Where a new answer meets the `sent` text, of whose beginning it has repeated `matched` characters."""

    way: Resume
    sent: str
    matched: int = 0
    is_past: bool = False


class Joined(NamedTuple):
    """The joint after a piece of the new answer, and what of it the caller does not have yet."""

    joint: Joint
    text: str


def join(joint: Joint, piece: str) -> Joined | None:
    """The new answer's next `piece`; None where the two answers cannot become one."""
    if joint.is_past or not piece:
        return Joined(joint, piece)
    return _align(joint, piece) if joint.way is Resume.ALIGN else _continue(joint, piece)


def end(joint: Joint) -> Joined | None:
    """The new answer is complete. One that should begin with the text sent and is shorter is another answer."""
    if joint.is_past:
        return Joined(joint, "")
    if joint.way is Resume.ALIGN:
        return Joined(joint, "") if joint.matched == len(joint.sent) else None
    return Joined(joint._replace(is_past=True), joint.sent[: joint.matched])


def _align(joint: Joint, piece: str) -> Joined | None:
    _, sent, matched, _ = joint
    overlap = min(len(piece), len(sent) - matched)
    if not sent.startswith(piece[:overlap], matched):
        return None
    is_past = overlap < len(piece)
    return Joined(joint._replace(matched=matched + overlap, is_past=is_past), piece[overlap:])


def _continue(joint: Joint, piece: str) -> Joined | None:
    """A continuation that says the beginning again, from its first letter on, may be a new answer: nobody can tell.

    What looks like it waits for the next piece; nearly always the first letter differs, and nothing waits.
    """
    _, sent, matched, _ = joint
    suspect = min(len(sent), REPEATED_CHARS)
    overlap = min(len(piece), suspect - matched)
    if not sent.startswith(piece[:overlap], matched) or not sent:
        return Joined(joint._replace(is_past=True), sent[:matched] + piece)
    matched += overlap
    return None if matched == suspect else Joined(joint._replace(matched=matched), "")
