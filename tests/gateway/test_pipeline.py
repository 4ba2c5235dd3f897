from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from gateway.pipeline import compose

if TYPE_CHECKING:
    from gateway.call import Call, Reply
    from gateway.pipeline import Handler

CALL = cast("Call", "a call")


class Named:
    """A stage that writes down when it is entered and left."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    async def __call__(self, call: Call, then: Handler) -> Reply:
        self.seen.append(self.name)
        reply = await then(call)
        self.seen.append(f"{self.name} done")
        return reply


class Refusing:
    async def __call__(self, call: Call, then: Handler) -> Reply:
        return cast("Reply", f"{call} refused before {then.__class__.__name__}")


async def test_stages_run_in_the_order_of_the_tuple() -> None:
    seen: list[str] = []

    async def last(call: Call) -> Reply:
        seen.append("last")
        return cast("Reply", call)

    handler = compose([Named("outer", seen), Named("inner", seen)], last)
    reply: Any = await handler(CALL)
    assert reply == "a call"
    assert seen == ["outer", "inner", "last", "inner done", "outer done"]


async def test_a_stage_that_refuses_keeps_the_rest_from_running() -> None:
    reached: list[Call] = []

    async def last(call: Call) -> Reply:
        reached.append(call)
        return cast("Reply", call)

    reply: Any = await compose([Refusing()], last)(CALL)
    assert reply == "a call refused before function"
    assert reached == []
