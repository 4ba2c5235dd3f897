from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest

from gateway.caching.learning import KNOWN_MAX, Learning, Where, read
from gateway.state.answers.in_process import InProcessAnswers
from policies.cache_accounts import ALONE, WARNED_MAX
from policies.caching import Experience, Verdict

FAQ = Where("faq", "team:acme/shop", "minilm")
SERVED = Verdict(0, 0.01, 0.02, serves=True, log_odds=-4.6)


async def test_each_place_learns_for_itself() -> None:
    learning = Learning(InProcessAnswers())
    learning.decided(FAQ, SERVED)
    for other in (FAQ._replace(owner="all"), FAQ._replace(route="x"), FAQ._replace(embedder="e5")):
        assert await learning.experience(other) == Experience()
        assert other.name != FAQ.name
    assert (await learning.experience(FAQ)).spent == 0.01


async def test_requests_that_needed_no_verdict_count() -> None:
    learning = Learning(InProcessAnswers())
    await learning.experience(FAQ)
    for _ in range(3):
        learning.passed(FAQ)
    learning.decided(FAQ, SERVED)
    found, before = await learning.experience(FAQ), Experience()
    assert (found.requests, found.weight - before.weight) == (4.0, 4.0)
    assert sum(found.seen) - sum(before.seen) == pytest.approx(1.0)


async def test_labels_move_what_is_decided_by() -> None:
    learning = Learning(InProcessAnswers())
    for _ in range(20):
        learning.decided(FAQ, SERVED)
    before = (await learning.experience(FAQ)).lessons.shift
    learning.labelled(FAQ, -4.6, wrong=True)
    learning.reported(FAQ)
    found = (await learning.experience(FAQ)).lessons
    assert found.shift > before
    assert (found.wrong, found.reports) == (1.0, 1.0)


async def test_what_was_learnt_outlives_the_process() -> None:
    store = InProcessAnswers()
    learning = Learning(store)
    learning.start()
    learning.decided(FAQ, SERVED)
    learning.reported(FAQ)
    before = await learning.experience(FAQ)
    await learning.close()
    again = Learning(store)
    assert await again.experience(FAQ) == replace(before, purse=0.0)
    assert dict(again.routes()) == {"faq": replace(before, purse=0.0)}


async def test_what_is_known_is_bounded() -> None:
    learning = Learning(InProcessAnswers())
    for number in range(KNOWN_MAX + 5):
        await learning.experience(FAQ._replace(owner=str(number)))
    assert len(list(learning.all())) == KNOWN_MAX


async def test_who_is_crowded_out_is_remembered_and_what_comes_late_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check may come back when many others have been before: what was learnt is neither lost nor begun anew."""
    monkeypatch.setattr("gateway.caching.learning.KNOWN_MAX", 2)
    learning = Learning(InProcessAnswers())
    await learning.experience(FAQ)
    learning.decided(FAQ, SERVED)
    for number in range(3):
        await learning.experience(FAQ._replace(owner=str(number)))
    assert FAQ not in dict(learning.all())
    learning.reported(FAQ)
    found = await learning.experience(FAQ)
    assert (found.requests, found.lessons.reports) == (1.0, 1.0)
    await learning.remember()
    for number in range(3):
        await learning.experience(FAQ._replace(owner=str(number)))
    learning.reported(FAQ)
    await learning.remember()
    found = await learning.experience(FAQ)
    assert (found.requests, found.lessons.reports) == (1.0, 2.0)


@pytest.mark.parametrize("held", [-7.0, 0.0, 400.0])
def test_debts_are_handed_on_and_what_an_account_held_is_not(held: float) -> None:
    found = read(written(purse=held, owing_max=1e9))
    assert (found.purse, found.owing_max) == (min(held, 0.0), ALONE)


async def test_owners_of_a_route_borrow_from_one_credit_and_pay_it_back() -> None:
    learning = Learning(InProcessAnswers(), credit=40.0)
    other = FAQ._replace(owner="all")
    assert (await learning.account(FAQ)).owing_max == 20.0
    learning.decided(FAQ, SERVED._replace(cost=21.0))
    assert (await learning.experience(FAQ)).purse == -20.0
    assert (await learning.account(FAQ)).owing_max == 20.0
    assert (await learning.account(other)).owing_max == 10.0
    assert (await learning.account(FAQ._replace(route="x"))).owing_max == 20.0
    for _ in range(15):
        learning.passed(FAQ)
    await learning.experience(FAQ)
    assert (await learning.account(other)).owing_max == 17.5


async def test_who_is_forgotten_pays_with_what_he_held_and_the_route_knows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.caching.learning.KNOWN_MAX", 2)
    monkeypatch.setattr("gateway.state.answers.in_process.LEARNT_MAX", 1)
    learning = Learning(InProcessAnswers())
    for number in range(50):
        where = FAQ._replace(owner=str(number))
        assert (await learning.account(where)).purse == 0.0
        learning.decided(where, SERVED._replace(cost=2.0))
        learning.labelled(where, -4.6, wrong=False)
    ((_, together),) = learning.routes()
    assert (together.requests, together.lent) == (50.0, 50.0)
    assert together.lessons.labels == pytest.approx(45.4, abs=0.1)
    assert together.spent == pytest.approx(0.5)
    assert (await learning.account(FAQ)).owing_max == 0.0
    await learning.remember()
    again = Learning(learning._store)
    await again.begin("faq", "minilm")
    assert dict(again.routes())["faq"] == together


async def test_what_one_owner_is_labelled_warns_others_and_never_makes_them_bolder() -> None:
    for wrong in (True, False):
        learning = Learning(InProcessAnswers())
        await learning.experience(FAQ)
        for _ in range(300):
            learning.labelled(FAQ, -4.0, wrong=wrong)
        hostile, other = await learning.account(FAQ), await learning.account(FAQ._replace(owner="all"))
        assert (hostile.lessons.shift, other.lessons.shift) == (
            (40, WARNED_MAX) if wrong else (hostile.lessons.shift, 0)
        )
        assert wrong or hostile.lessons.shift < 0


def written(**changes: object) -> bytes:
    found = msgspec.to_builtins(Experience().after(SERVED))
    return msgspec.json.encode(found | changes)


@pytest.mark.parametrize(
    "state",
    [
        None,
        b"",
        b"{}[]",
        b"[" * 100_000,
        written(requests=-1.0),
        written(seen=[0.0]),
        written(served=[-1.0] * 96),
        written(spent="a lot"),
        written(purse=-1e300),
        written(lent=-1.0),
        written(lessons={"learnt": []}),
        written(lessons={"shift": 10_000}),
        written(lessons={"shift": -10_000}),
        written(requests=1e300),
        written().replace(b'"requests":1.0', b'"requests":1e999'),
    ],
)
def test_what_is_no_experience_is_none(state: bytes | None) -> None:
    assert read(state) == Experience()


def test_what_was_written_is_read() -> None:
    assert read(written()) == replace(Experience().after(SERVED), purse=0.0)
    assert math.isfinite(read(written()).spent)
