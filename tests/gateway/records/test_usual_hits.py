from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Cached
from gateway.limits.admitted import Admitted
from gateway.records.call_metrics import CallMetrics
from gateway.records.ledger_rows import ledger_rows
from gateway.records.request_log import request_event
from gateway.records.settlement import settle
from gateway.records.usual_hits import MOST_KINDS, UsualHits
from gateway.signals.exposition import render
from gateway.signals.metrics import Registry
from gateway.state.answers.store import Used
from policies.cache_rules import Bypass, Level
from policies.usage import Usage
from policies.vocabulary import Principal
from tests.gateway.calls import DEAR, ROUTE, attempt, bystanders, cached_hit, call

if TYPE_CHECKING:
    from gateway.call import Call

WORDS = st.sampled_from(("stop", "100%", "%s", '"\\', "\u00e9\U0001f600"))
COUNTS = st.integers(0, 30_000_000)
SECONDS = st.one_of(st.floats(0, 1), st.floats(0, 900))


class Told:
    """What row, line and metrics say of hits, in the short form and in the general one."""

    def __init__(self) -> None:
        self.short, self.general = Registry(), Registry()
        self.hits = UsualHits(CallMetrics(self.short))
        self._metrics = CallMetrics(self.general)

    def same(self, finished: Call) -> None:
        taken = self.hits.take(finished)
        assert taken is not None
        settled = settle(finished)
        self._metrics.add(settled)
        row, line = taken
        assert [row] == ledger_rows(settled)
        assert type(row) is type(ledger_rows(settled)[0])
        assert (line.endswith(b"}\n"), line.count(b"\n")) == (True, 1)
        assert json.loads(line) == json.loads(msgspec.json.encode(request_event(settled)))

    def same_metrics(self) -> None:
        assert render(self.short.snapshot()) == render(self.general.snapshot())


def hit(level: Level = Level.EXACT, cost_nanousd: int | None = 350_000, *, stream: bool = False) -> Call:
    """A hit by its words alone."""
    made = call(stream=stream)
    used = Used(100, 10, cost_nanousd=cost_nanousd)
    made.cached = Cached(
        level=level, entry_id="ce_1", age_s=31.04, saved=used, deployment="gpt-4o", model="m", lookup_s=0.0001
    )
    return made


@st.composite
def hits(draw: st.DrawFn) -> Call:
    principal = Principal(draw(WORDS), draw(WORDS), draw(st.none() | WORDS), draw(st.none() | WORDS))
    headers = draw(st.sampled_from(({"User-Agent": "50% off"}, {"X-Other": ""})))
    made = call(model=draw(WORDS), principal=principal, headers=headers, stream=draw(st.booleans()))
    made.ended_s = made.received_s + draw(SECONDS)
    used = Used(draw(COUNTS), draw(COUNTS), cost_nanousd=draw(st.none() | COUNTS))
    made.cached = Cached(
        level=draw(st.sampled_from((Level.EXACT, Level.NEAR))),
        closed=draw(st.none() | st.sampled_from(Bypass)),
        entry_id=f"ce_{draw(COUNTS)}",
        age_s=draw(SECONDS),
        saved=draw(st.sampled_from((None, used))),
        deployment=draw(st.sampled_from((DEAR.name, "100%", "gone"))),
        model=draw(WORDS),
        lookup_s=draw(st.one_of(st.just(0.0), st.floats(0.00001, 60))),
    )
    draw(bystanders()).beside(made)
    return made


@given(st.lists(hits(), min_size=1, max_size=4))
def test_the_short_form_says_what_the_general_form_says(finished: list[Call]) -> None:
    told = Told()
    for one in finished:
        told.same(one)
    told.same_metrics()


def test_hits_of_one_kind_share_no_number() -> None:
    told = Told()
    second = hit()
    second.sent_bytes, second.status, second.ended_s = 7, 201, second.ended_s + 1
    assert second.cached is not None
    second.cached.entry_id, second.cached.age_s, second.cached.saved = "ce_2", 0.0, Used(1, 2, cost_nanousd=0)
    for one in (hit(), second, hit(), hit(Level.NEAR), hit(cost_nanousd=None), hit(stream=True)):
        told.same(one)
    told.same_metrics()
    assert len(told.hits._kinds) == 4


def test_a_reload_that_keeps_every_name_makes_another_kind() -> None:
    told = Told()
    told.same(hit())
    moved = hit()
    moved.route = replace(ROUTE, models=("elsewhere",))
    told.same(moved)
    told.same_metrics()


def _changed(**changes: object) -> Call:
    made = hit()
    for name, value in changes.items():
        setattr(made if hasattr(made, name) else made.cached, name, value)
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 502},
        {"error_code": "upstream_error"},
        {"cancelled": True},
        {"route": None},
        {"principal": None},
        {"replay_of": "req_1"},
        {"attempts": [attempt(Usage(1, 1))]},
        {"level": None},
        {"bypass": Bypass.LONG},
        {"joined": "req_1"},
        {"similarity": 0.9},
        {"risk": 0.1},
        {"bar": 0.1},
        {"veto": "numbers"},
        {"judged": True},
        {"lookup_s": 0.000001},
        {"cached": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_other_call_is_left_to_the_general_form(changes: dict[str, object]) -> None:
    told = Told()
    assert told.hits.take(_changed(**changes)) is None
    told.same_metrics()


def test_a_hit_by_meaning_and_one_that_waited_for_its_turn_take_the_general_form() -> None:
    waited = hit()
    waited.admitted = Charged(None)
    waited.admitted.waited_s = 0.5
    told = Told()
    assert told.hits.take(waited) is None
    assert told.hits.take(cached_hit()) is None


def test_what_callers_vary_at_will_does_not_pile_up() -> None:
    told = Told()
    for number in range(MOST_KINDS + 1):
        made = hit()
        made.headers = call(headers={"User-Agent": str(number)}).headers
        assert told.hits.take(made) is not None
    assert len(told.hits._kinds) == 1


class Charged(Admitted):
    """A call under limits, charged as a test says."""

    def __init__(self, charges: str | None) -> None:
        self._said = charges
        self.waited_s = 0.0

    def hit_charges(self) -> str | None:
        return self._said


@given(st.lists(st.none() | WORDS, min_size=1, max_size=3), st.lists(WORDS, max_size=2))
def test_whom_a_hit_is_charged_to_is_said_alike(charges: list[str | None], tags: list[str]) -> None:
    told = Told()
    principal = Principal("k", "n", org="acme", tags=tuple(tags))
    for said in charges:
        finished = hit()
        finished.principal, finished.admitted = principal, Charged(said)
        told.same(finished)
