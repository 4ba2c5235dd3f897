"""The canonical request: OpenAI's JSON, parsed once, its unknown fields riding along untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from policies.vocabulary import Endpoint


class InferenceRequest(msgspec.Struct):
    """What a caller asked for.

    `members` are the top-level JSON members in order, each value as its raw bytes: the upstream's body is put together
    from them, so the gateway and the upstream cannot read two different things. `body_bytes` is the size as received.
    `choices` is how many the answer will hold (`n`, times the prompts of a completion), `generations` how many the
    upstream makes for it (0 for embeddings; a completion's `best_of` makes more than it shows). `output_tokens_max` is
    the caller's own limit for each of them. `has_media` says that the prompt may be more than text: images, audio,
    files, links to them. `output_tokens_added` is the limit that the gateway sets where the caller set none: adapters
    send it under the name that their upstream knows.
    """

    endpoint: Endpoint
    model: str
    stream: bool
    include_usage: bool
    members: dict[str, msgspec.Raw]
    body_bytes: int
    choices: int = 1
    generations: int = 1
    output_tokens_max: int | None = None
    has_media: bool = False
    output_tokens_added: int | None = None

    @classmethod
    def unread(cls, endpoint: Endpoint) -> InferenceRequest:
        """What stands for a request whose body nobody has read: no model, no members."""
        return cls(endpoint, model="", stream=False, include_usage=False, members={}, body_bytes=0)


class InvalidRequest(Exception):  # noqa: N818 - the gateway maps it to its own RequestError
    """The caller's mistake: what is wrong and, in `param`, where (`messages[3].content`)."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status
