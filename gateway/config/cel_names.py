"""What a `when` can read: the members of `request` and `principal`, headers by name, and the time."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.config.cel_types import BOOL, DOUBLE, DYN, INT, LIST, MAP, STRING, Type

PRINCIPAL: Final = {
    "key_id": STRING,
    "key": STRING,
    "team": STRING,
    "user": STRING,
    "org": STRING,
    "tags": Type("list", STRING),
    "priority": STRING,
}
_TEXTS: Final = (
    "encoding_format endpoint instructions model previous_response_id prompt_cache_key query reasoning_effort "
    "safety_identifier service_tier suffix truncation user verbosity"
)
_INTS: Final = (
    "best_of dimensions images max_completion_tokens max_output_tokens max_tokens max_tool_calls n seed tokens "
    "top_logprobs top_n"
)
REQUEST: Final[dict[str, Type]] = {
    **dict.fromkeys(_TEXTS.split(), STRING),
    **dict.fromkeys(_INTS.split(), INT),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "temperature", "top_p"), DOUBLE),
    **dict.fromkeys(("background", "echo", "parallel_tool_calls", "return_documents", "store", "stream"), BOOL),
    **dict.fromkeys(("documents", "functions", "include", "messages", "modalities", "tools"), LIST),
    **dict.fromkeys(("audio", "logit_bias", "prediction", "reasoning", "response_format"), MAP),
    **dict.fromkeys(("stream_options", "text", "web_search_options"), MAP),
    "metadata": Type("map", STRING),
    **dict.fromkeys(("conversation", "input", "logprobs", "prompt", "stop", "tool_choice"), DYN),
}
"""The members of the endpoints' bodies, and what is known of a request beside them (`endpoint`, `tokens`, `images`);
any other may be asked for, and has whatever type it comes with.
"""

ROOTS: Final = {"request": REQUEST, "principal": PRINCIPAL}
HEADERS: Final = "headers"
HEADER: Final = "header"
NOW: Final = "now"
NAMES: Final = frozenset({*ROOTS, NOW})
PREFIX: Final = "_pm_"


class Reading(NamedTuple):
    """What an expression reads of a call: its value, its size, or whether it is there.

    `root` is `request`, `principal`, `header`, or `now`, of which a member is a part of the time and its zone:
    `getHours Europe/Berlin`.
    """

    root: str
    member: str
    what: str
    type: Type

    @property
    def variable(self) -> str:
        plain = self.root in ROOTS
        member = self.member if plain else "".join(map(_spelled, self.member))
        return f"{PREFIX}{self.what}_{self.root}_{member}"


def _spelled(char: str) -> str:
    return char if char.isascii() and char.isalnum() else f"_{ord(char):x}_"
