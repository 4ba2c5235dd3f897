from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.caching import feedback
from gateway.caching.feedback import A_MINUTE, Feedback, read
from gateway.errors import GatewayError, LimitError, RequestError
from tests.gateway.cached_calls import AMY, ANN, BOB, SEMANTIC, CacheGround, outcome

if TYPE_CHECKING:
    from gateway.generation import Generation
    from gateway.server import Inbound
    from policies.vocabulary import Principal


class Spoken(CacheGround):
    """A ground whose callers have something to say of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(SEMANTIC)
        self.labels: list[tuple[str, bool]] = []
        self.speaker = ANN
        metrics = SimpleNamespace(labelled=lambda route, _, *, is_good: self.labels.append((route, is_good)))
        self.feedback = Feedback(self.store, self.served, self.learning, lambda: cast("Any", metrics))
        monkeypatch.setattr(feedback, "identify", lambda *_: self.speaker)
        monkeypatch.setattr(feedback, "whole", lambda _, __, told: told)

    async def say(self, verdict: str, *, by: Principal = ANN, **what: object) -> dict[str, Any]:
        self.speaker = by
        body = json.dumps({"verdict": verdict, **what}).encode()

        async def read_body(_: int) -> bytes:
            return body

        headers = CIMultiDictProxy(CIMultiDict[str]())
        inbound = SimpleNamespace(headers=headers, peer=lambda: "", read=read_body)
        told = await self.feedback.respond(cast("Generation", None), cast("Inbound", inbound), "req_f")
        return cast("dict[str, Any]", told)

    async def refusal(self, verdict: str, *, by: Principal = ANN, **what: object) -> GatewayError:
        with pytest.raises(GatewayError) as refused:
            await self.say(verdict, by=by, **what)
        return refused.value


@pytest.fixture
async def ground(monkeypatch: pytest.MonkeyPatch) -> Spoken:
    found = Spoken(monkeypatch)
    assert found.embedder is not None
    found.embedder.angles = {"How do I log in?": 0.0, "How can I log in?": 0.02}
    return found


async def kept_by(ground: Spoken) -> str:
    call = ground.call()
    await ground.ask(call)
    assert call.cached is not None
    return call.cached.entry_id


@pytest.mark.parametrize("by", [ANN, AMY])
async def test_a_bad_answer_is_served_to_nobody_any_more(ground: Spoken, by: Principal) -> None:
    entry_id = await kept_by(ground)
    assert await ground.say("bad", by=by, id=entry_id, reason="wrong") == {
        "id": entry_id,
        "verdict": "bad",
        "evicted": True,
    }
    call = ground.call()
    await ground.ask(call)
    assert outcome(call) == "miss"
    assert ground.labels == [("faq", False)]


async def test_a_request_stands_for_what_it_was_served(ground: Spoken) -> None:
    entry_id = await kept_by(ground)
    call = ground.call()
    await ground.ask(call)
    assert (await ground.say("bad", request_id=call.id))["id"] == entry_id


async def test_a_bad_semantic_hit_raises_the_bar_and_a_bad_answer_to_its_own_question_does_not(ground: Spoken) -> None:
    entry_id = await kept_by(ground)
    hit = ground.call("How can I log in?")
    await ground.ask(hit)
    assert outcome(hit) == "semantic"
    await ground.say("bad", id=entry_id)
    ((_, experience),) = ground.learning.all()
    assert experience.lessons.reports == 1.0
    await ground.say("bad", id=await kept_by(ground))
    ((_, experience),) = ground.learning.all()
    assert experience.lessons.reports == 1.0


async def test_each_key_has_one_say_for_an_entry(ground: Spoken) -> None:
    entry_id = await kept_by(ground)
    for by in (ANN, ANN, ANN, AMY):
        await ground.say("good", by=by, id=entry_id)
    found = await ground.store.get(entry_id)
    assert found is not None
    assert found.record.good == 2
    assert ground.labels == [("faq", True)] * 2


async def test_who_does_not_share_it_hears_what_is_said_of_what_there_is_not(ground: Spoken) -> None:
    entry_id = await kept_by(ground)
    call = ground.call()
    await ground.ask(call)
    errors = [
        await ground.refusal("bad", by=BOB, id=entry_id),
        await ground.refusal("bad", by=BOB, request_id=call.id),
        await ground.refusal("bad", by=BOB, id="ce_nothing"),
        await ground.refusal("bad", by=ANN, request_id="req_nothing"),
    ]
    assert {(error.status, error.code, error.message) for error in errors} == {
        (404, "cache_entry_not_found", "There is no such entry in the cache.")
    }
    assert await ground.store.get(entry_id) is not None


async def test_a_flood_of_it_moves_nothing(ground: Spoken) -> None:
    for _ in range(A_MINUTE):
        await ground.refusal("bad", id="ce_nothing")
    error = await ground.refusal("bad", id="ce_nothing")
    assert isinstance(error, LimitError)
    assert error.status == 429
    assert not isinstance(await ground.refusal("bad", by=AMY, id="ce_nothing"), LimitError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"verdict": "bad"}',
        b'{"verdict": "bad", "id": "a", "request_id": "b"}',
        b'{"verdict": "awful", "id": "a"}',
        b'{"verdict": "bad", "id": 7}',
        b'{"verdict": "bad", "id": "a", "owner": "all"}',
        b'{"verdict": "bad", "id": "a", "reason": "' + b"x" * 1001 + b'"}',
    ],
)
def test_what_is_no_feedback_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        read(body)
    assert refused.value.status == 400
