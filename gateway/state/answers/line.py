"""What goes to Redis and what comes back, for everything here that is kept there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.state.answers.store import StoreUnavailable
from gateway.state.limits import store as limits_store
from gateway.state.redis.connections import Asked, Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.redis.router import Router
    from gateway.state.redis.scripts import Script
    from gateway.state.redis.url import Address

TOLD_BYTES_MAX: Final = 32 << 20
"""What is on its way with nobody waiting for it; beyond that it is not sent."""


class _Told(Command):
    __slots__ = ("heard", "line")

    def __init__(self, line: Line, command: tuple[bytes, str, Script | None], heard: Callable[[object], None]) -> None:
        super().__init__(*command)
        self.line = line
        self.heard = heard

    def answered(self, answer: object) -> None:
        self.line.arrived(self, answer)


class Line:
    """Commands by the tag of their keys. What is told is bounded, and what comes of it is heard, or is nothing."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._told: dict[_Told, int] = {}
        self._told_bytes = 0
        self._arrived = asyncio.Event()

    @property
    def unsent(self) -> int:
        """How many were told and not yet answered."""
        return len(self._told)

    async def ask(self, packed: bytes, tag: str, script: Script | None = None) -> object:
        """Raises `StoreUnavailable`."""
        asked = Asked(packed, tag, script)
        self._router.send(asked)
        return _said(await asked.answer)

    async def masters(self) -> list[Address | None]:
        """Every server there is, for `ask_at`. Raises `StoreUnavailable`."""
        try:
            return await self._router.masters()
        except limits_store.StoreUnavailable as error:
            raise StoreUnavailable(str(error)) from error

    async def server_of(self, tag: str) -> Address | None:
        """The server of a Cluster that has a tag's keys; None where there is only one. Raises `StoreUnavailable`."""
        await self.masters()
        return self._router.address_of(tag)

    async def ask_at(self, address: Address | None, packed: bytes) -> object:
        """This server, whatever keys it has. Raises `StoreUnavailable`."""
        asked = Asked(packed, "")
        self._router.send_to(address, asked)
        return _said(await asked.answer)

    def tell(
        self, packed: bytes, tag: str, script: Script | None = None, heard: Callable[[object], None] | None = None
    ) -> None:
        """`heard` gets the answer, or the exception that there is in its place."""
        if self._told_bytes + len(packed) > TOLD_BYTES_MAX:
            if heard is not None:
                heard(StoreUnavailable("too much is on its way to Redis"))
            return
        told = _Told(self, (packed, tag, script), heard or _nothing)
        self._told[told] = len(packed)
        self._told_bytes += len(packed)
        self._router.send(told)

    def arrived(self, told: _Told, answer: object) -> None:
        self._told_bytes -= self._told.pop(told)
        told.heard(answer)
        self._arrived.set()

    async def settled(self) -> None:
        """Returns when all that was told has been answered."""
        while self._told:
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        await self._router.close()


def _said(answer: object) -> object:
    if isinstance(answer, Exception):
        raise StoreUnavailable(str(answer)) from answer
    return answer


def _nothing(answer: object) -> None:
    del answer
