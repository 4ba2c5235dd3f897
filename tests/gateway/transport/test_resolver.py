from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from gateway.transport import Pool, TransportError, resolver
from gateway.transport.resolver import Resolver
from policies.vocabulary import FailureKind, Timeouts
from tests.gateway.transport.conftest import Ask
from tests.scripted_upstream import ScriptedUpstream, answer, serve

ask = Ask()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_its_own_and_nobody_is_asked(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(resolver, "look_up_addresses")
    assert await Resolver(host, 80).addresses() == (host,)


async def test_addresses_keep_their_order_and_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", (address, 80)) for address in ("10.0.0.2", "10.0.0.1", "10.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert await Resolver("a.example", 80).addresses() == ("10.0.0.2", "10.0.0.1")


async def test_who_asks_meanwhile_shares_the_answer_and_the_next_asks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, asked = threading.Event(), []

    def look_up(host: str, _: int) -> tuple[str, ...]:
        asked.append(host)
        go_on.wait(10)
        return (f"10.0.0.{len(asked)}",)

    monkeypatch.setattr(resolver, "look_up_addresses", look_up)
    names = Resolver("a.example", 80)
    waiting = [asyncio.ensure_future(names.addresses()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    go_on.set()
    assert await asyncio.gather(*waiting[1:]) == [("10.0.0.1",)] * 19
    assert await names.addresses() == ("10.0.0.2",)
    assert len(asked) == 2


async def test_a_failure_is_told_to_all_who_wait_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = iter([True, False])

    def look_up(*_: object) -> tuple[str, ...]:
        if next(failing):
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return ("10.0.0.1",)

    monkeypatch.setattr(resolver, "look_up_addresses", look_up)
    names = Resolver("a.example", 80)
    failed = await asyncio.gather(names.addresses(), names.addresses(), return_exceptions=True)
    assert [type(error) for error in failed] == [socket.gaierror] * 2
    assert await names.addresses() == ("10.0.0.1",)


# what a pool makes of it


async def kind_of_failure(pool: Pool, how: Ask) -> FailureKind:
    with pytest.raises(TransportError) as failed:
        await how(pool)
    return failed.value.failure.kind


async def test_the_next_address_of_a_name_is_tried_when_one_refuses(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.otherwise(serve(answer(b"reached")))
    monkeypatch.setattr(resolver, "look_up_addresses", lambda *_: ("127.0.0.9", "127.0.0.1"))
    named = Pool(f"http://provider.example:{upstream.port}")
    assert await (await ask(named)).read_all() == b"reached"
    await named.close()


async def test_a_name_that_hangs_keeps_no_other_from_being_found(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More callers than any pool of threads has threads; all of them share one look-up."""
    hangs, asked = threading.Event(), []

    def look_up(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        if host == "hangs.example":
            hangs.wait(10)
        return [(0, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    upstream.otherwise(serve(answer(b"unharmed")))
    stalled, neighbour = Pool("http://hangs.example"), Pool(f"http://well.example:{upstream.port}")
    impatient = Ask(Timeouts(connect_s=0.2))
    stuck = [asyncio.ensure_future(kind_of_failure(stalled, impatient)) for _ in range(100)]
    await asyncio.sleep(0)
    assert await (await ask(neighbour)).read_all() == b"unharmed"
    assert not any(task.done() for task in stuck)
    assert set(await asyncio.gather(*stuck)) == {FailureKind.CONNECT}
    assert sorted(asked) == ["hangs.example", "well.example"]
    hangs.set()
    await neighbour.close()
