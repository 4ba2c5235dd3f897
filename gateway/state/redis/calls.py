"""What the store asks of Redis as bytes and what Redis answers as values: keys, arguments, scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.state.limits.store import Kept
from gateway.state.redis.scripts import VERSION, call, tag_of
from policies import limits
from policies.limits import Account, Granted, Hold, Kind, Phase, hold_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.state.redis.scripts import Script, Scripts
    from policies.limits import Answer, Ask

GRANTED: Final = 0
REPEATED: Final = 1

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_decode_accounts: Final = msgspec.msgpack.Decoder(tuple[Account, ...]).decode
_decode_repeated: Final = msgspec.msgpack.Decoder(tuple[Phase, tuple[Hold, ...], list[Any]]).decode


class Calls:
    """One method per operation. `clock` is for tests, with scripts that take the time from their last argument."""

    def __init__(
        self, namespace: str, lease_s: float, scripts: Scripts, clock: Callable[[], float] | None = None
    ) -> None:
        self._start = f"{namespace}:{VERSION}:{{"
        self._lease = b"%.17g" % lease_s
        self._scripts = scripts
        self._clock = clock

    def reserve(self, tenant: str, reservation: str, asks: Sequence[Ask]) -> bytes:
        prefix = self._prefix(tenant)
        keys = [f"{prefix}r:{reservation}".encode(), *[f"{prefix}a:{ask.account}".encode() for ask in asks]]
        return self._call(self._scripts.reserve, prefix, keys, reservation.encode(), _encode(asks))

    def settle(self, tenant: str, reservation: str, holds: Sequence[Hold], actual: Sequence[int]) -> bytes:
        prefix = self._prefix(tenant)
        keys = [f"{prefix}r:{reservation}".encode(), *[f"{prefix}a:{hold.account}".encode() for hold in holds]]
        return self._call(self._scripts.settle, prefix, keys, reservation.encode(), _encode((holds, actual)))

    def release(self, tenant: str, reservation: str) -> bytes:
        prefix = self._prefix(tenant)
        keys = [f"{prefix}r:{reservation}".encode()]
        return self._call(self._scripts.release, prefix, keys, reservation.encode())

    def renew(self, tenant: str, reservations: Sequence[str]) -> bytes:
        prefix = self._prefix(tenant)
        keys = [f"{prefix}r:{reservation}".encode() for reservation in reservations]
        return self._call(self._scripts.renew, prefix, keys, _encode(reservations))

    def hydrate(self, tenant: str, account: str, window_s: float, used: int) -> bytes:
        prefix = self._prefix(tenant)
        keys = [f"{prefix}a:{account}".encode()]
        return self._call(self._scripts.hydrate, prefix, keys, account.encode(), _encode((window_s, used)))

    def correct(self, kept: Kept, spent: int) -> bytes:
        prefix = self._prefix(kept.tenant)
        keys = [f"{prefix}a:{kept.account}".encode()]
        return self._call(self._scripts.correct, prefix, keys, kept.account.encode(), _encode((kept.state, spent)))

    def view(self, tenant: str) -> bytes:
        return self._call(self._scripts.view, self._prefix(tenant), ())

    def reap(self, tenant: str) -> bytes:
        return self._call(self._scripts.reap, self._prefix(tenant), ())

    def wait(self, tenant: str, for_s: float) -> bytes:
        return self._call(self._scripts.wait, self._prefix(tenant), (), b"%.17g" % for_s)

    def _prefix(self, tenant: str) -> str:
        return f"{self._start}{tag_of(tenant)}}}:"

    def _call(self, script: Script, prefix: str, keys: Sequence[bytes], *arguments: bytes) -> bytes:
        all_keys = (f"{prefix}leases".encode(), *keys)
        if self._clock is None:
            return call(script, all_keys, (self._lease, *arguments))
        return call(script, all_keys, (self._lease, *arguments, b"%.17g" % self._clock()))


def reserved(asks: Sequence[Ask], said: list[Any]) -> tuple[Answer, bool]:
    """What a reserve was answered, and whether it is held now."""
    kind, told = said
    if kind == GRANTED:
        accounts = _decode_accounts(told)
        return Granted(tuple(map(hold_of, asks, accounts)), accounts), True
    if kind == REPEATED:
        phase, holds, after = _decode_repeated(told)
        accounts = tuple([_account(state) or Account() for state in after])
        if phase == Phase.HELD:
            return Granted(holds, accounts), True
        return Granted(tuple(map(hold_of, asks, accounts)), accounts), False
    now, before = _decode(told)
    # The script has decided on the same numbers; why, and for how long, is said once for both stores.
    return limits.reserve(asks, [_account(state) for state in before], now), False


def seen(tenant: str, said: bytes) -> list[Kept]:
    """What a view was answered."""
    return [
        Kept(tenant, name, Account(float(used), float(at_s), held), Kind(kind))
        for name, kind, used, at_s, held in _decode(said)
    ]


def _account(state: list[float] | bool) -> Account | None:  # noqa: FBT001 - Lua has no null that can be told in a list
    if isinstance(state, bool):
        return None
    return Account(float(state[0]), float(state[1]), int(state[2]))
