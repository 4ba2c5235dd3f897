"""The seam to the far side. A plain HTTP provider, litellm and the bundled engine all stand behind `Upstream`.

An upstream opens one attempt and hands back an `Answer` in OpenAI's wire format. It does so only once the answer is
known good: a whole JSON body, or a stream whose first content has arrived; a failure before can move elsewhere unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.base import Tally
    from adapters.schema import InferenceRequest
    from policies.choosing import Line
    from policies.vocabulary import Principal, Timeouts


class Exchange(msgspec.Struct, frozen=True):
    """One attempt as an upstream sees it. `deadline_s` is the loop time at which the whole call is over.

    `caller` and `weight_of`, his share against others, are for upstreams that have a line of their own. `is_suspect`:
    an engine died under an earlier attempt of this call. `told_place`: what a caller who vouches for others says of
    whose call it is.
    """

    request: InferenceRequest
    timeouts: Timeouts
    deadline_s: float
    request_id: str
    headers: tuple[tuple[str, str], ...] = ()
    caller: Principal | None = None
    weight_of: Callable[[Principal], float] | None = None
    is_suspect: bool = False
    told_place: str | None = None


class Answer(Protocol):
    """One upstream's good answer. Exactly one of `body` (whole) and `read` (stream) is for the caller to use.

    `tally` fills as the answer is read. `close` abandons what is left and may be called twice; it never awaits.
    `headers` holds only what may be shown to callers.
    """

    body: bytes | None
    tally: Tally
    headers: tuple[tuple[str, str], ...]
    first_token_s: float | None

    async def read(self) -> bytes:
        """The next whole events; empty bytes at the honest end. Raises `UpstreamError` when the stream breaks."""

    def close(self) -> None: ...


class Upstream(Protocol):
    """The far side of one deployment."""

    async def send(self, exchange: Exchange) -> Answer:
        """Open an attempt. Raises `UpstreamError`. A cancelled `send` cancels the upstream request."""

    async def start(self) -> None:
        """Get ready (import, spawn, connect lazily). Returns at once where readiness takes long; see `ready`."""

    async def close(self) -> None:
        """Let go of connections, processes and tasks."""

    @property
    def ready(self) -> bool: ...

    @property
    def line(self) -> Line | None:
        """The line at the deployment itself; None where it does not tell."""

    def wake(self) -> None:
        """A call went elsewhere because the model is not loaded: have it loaded, without waiting for that."""

    def describe(self) -> Mapping[str, str | int | float | None]:
        """Live numbers for operators; no host, path or credential among them."""
