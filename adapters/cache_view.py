"""What a cache has to know of a request: what keeps it apart from others, and the last question in it."""

from __future__ import annotations

import msgspec


class CacheView(msgspec.Struct, frozen=True):
    """Digests are SHA-256 over JSON in one normal form, so that spacing and the order of members keep nothing apart.

    `scope` covers everything that can change the answer but the last question, `exact` that and the question. Media and
    what is asked of the upstream beside the text are in both. `question` is the text of the last message where that is
    a user's and nothing but text, else empty. `form` names the shape in which an answer is kept (a stream of an
    endpoint whose events cannot be made from a whole answer has its own), and is part of both digests.
    """

    scope: bytes
    exact: bytes
    question: str
    form: str
    temperature: float | None = None
    has_tool_calls: bool = False
    has_media: bool = False
    has_links: bool = False
    is_elsewhere: bool = False
