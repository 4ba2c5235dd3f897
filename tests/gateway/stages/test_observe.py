from typing import TYPE_CHECKING, cast

import pytest

from gateway.call import Reply
from gateway.errors import RequestError
from gateway.stages.observe import Observe
from tests.gateway.stages.a_call import Next, a_call

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.records.recorder import Recorder


class Noting:
    """A recorder that only notes which calls it got."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def record(self, call: "Call") -> None:
        self.calls.append(call)

    def stage(self) -> Observe:
        return Observe(cast("Recorder", self))


async def test_a_call_is_recorded_once_when_its_scope_closes_and_not_before() -> None:
    recorder, call = Noting(), a_call()
    await recorder.stage()(call, Next())
    assert recorder.calls == []
    call.scope.close()
    call.scope.close()
    assert recorder.calls == [call]


async def test_a_refused_call_is_recorded_all_the_same() -> None:
    async def refuse(_: "Call") -> Reply:
        raise RequestError("no")

    recorder, call = Noting(), a_call()
    with pytest.raises(RequestError):
        await recorder.stage()(call, refuse)
    call.scope.close()
    assert recorder.calls == [call]


async def test_what_the_call_took_has_been_given_back_by_then() -> None:
    order: list[str] = []

    class Last(Noting):
        def record(self, call: "Call") -> None:
            super().record(call)
            order.append("recorded")

    async def take(call: "Call") -> Reply:
        call.scope.defer(lambda: order.append("given back"))
        return await Next()(call)

    call = a_call()
    await Last().stage()(call, take)
    call.scope.close()
    assert order == ["given back", "recorded"]
