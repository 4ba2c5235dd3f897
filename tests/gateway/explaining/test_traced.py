from __future__ import annotations

import msgspec

from gateway.explaining.decisions import kept
from gateway.explaining.traced import NOT_IN_MEMORY, Sources, TracedCall, traced
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.signals.conventions import Mark
from gateway.state.ledger.lookup import Found
from policies.usage import Usage
from policies.vocabulary import Failure, FailureKind
from tests.gateway.calls import PRICE, RECEIVED_S, attempt, cached_hit, call

NOTHING = Found([], {})


def told(sources: Sources) -> TracedCall:
    found = traced("req_1", sources)
    assert found is not None
    return found


def fallen_back() -> tuple[Sources, Found]:
    """What memory has of a call of two attempts, with nothing in the ledger; and what the ledger will have."""
    failed = attempt(number=1, failure=Failure(FailureKind.STATUS, status=503))
    made = call(failed, attempt(Usage(100, 10), number=2))
    made.marks = [(Mark.AUTH, RECEIVED_S + 0.001), (Mark.READ, RECEIVED_S + 0.0015)]
    settled = settle(made)
    rows = ledger_rows(settled)
    return Sources(kept(made, rows, settled.outcome), NOTHING), Found(rows, {PRICE.id: PRICE})


def test_nobody_knows_what_is_nowhere() -> None:
    assert traced("req_1", Sources(None, NOTHING)) is None


def test_memory_and_ledger_agree_and_each_says_what_it_lacks() -> None:
    memory, ledger = fallen_back()
    fresh, both, old = told(memory), told(memory._replace(ledger=ledger)), told(Sources(None, ledger))
    assert fresh.attempts == both.attempts == old.attempts
    assert fresh.cost_nanousd == both.cost_nanousd == old.cost_nanousd == 350_000
    assert both.unknown == []
    assert old.unknown == [NOT_IN_MEMORY]
    assert fresh.unknown == ["whether the ledger has 2 of its rows: it has not written them yet"]
    assert (old.decision, old.timings, old.outcome) == (None, None, None)
    assert both.outcome == "ok"
    assert both.decision is not None
    assert [step.attempt for step in both.decision.attempts] == [1, 2]
    assert msgspec.structs.replace(both.call, at_ms=0) == msgspec.structs.replace(old.call, at_ms=0)


def test_stages_follow_each_other() -> None:
    timings = told(fallen_back()[0]).timings
    assert timings is not None
    assert [(one.stage, one.began_ms, one.ended_ms) for one in timings.stages] == [
        ("auth", 0.0, 1.0),
        ("read", 1.0, 1.5),
    ]
    assert timings.total_ms == 503.0


def test_a_ledger_that_has_other_rows_than_it_was_handed_is_told() -> None:
    memory, ledger = fallen_back()
    changed = Found([ledger.rows[0], ledger.rows[1]._replace(cost_nanousd=1)], ledger.prices)
    found = told(memory._replace(ledger=changed))
    assert (found.disagreeing, found.cost_nanousd) == ([2], 1)
    assert [one.part for one in found.attempts[1].mismatches] == ["total"]


def test_a_ledger_that_cannot_be_asked_keeps_nothing_back_of_what_memory_has() -> None:
    memory, _ = fallen_back()
    found = told(memory._replace(trouble="it cannot be asked now"))
    assert found.cost_nanousd == 350_000
    assert found.unknown == ["what the ledger has of it: it cannot be asked now"]


def test_a_price_that_is_lost_is_said_and_the_cost_stays() -> None:
    _, ledger = fallen_back()
    found = told(Sources(None, ledger._replace(prices={})))
    assert found.cost_nanousd == 350_000
    assert found.unknown == [NOT_IN_MEMORY, "the rates of attempt 2: the ledger does not have the price gpt-4o"]


def test_a_hit_is_attempt_nought_and_what_it_saved() -> None:
    made = cached_hit()
    (one,) = told(Sources(kept(made, ledger_rows(settle(made)), "ok"), NOTHING)).attempts
    assert (one.attempt, one.cache, one.cost_nanousd, one.saved_nanousd) == (0, "semantic", 0, 350_000)


def test_a_call_that_was_sent_to_nobody_is_known_from_memory() -> None:
    found = told(Sources(kept(call(status=404, error_code="model_not_found", route=None), (), "client_error"), NOTHING))
    assert (found.attempts, found.cost_nanousd, found.unknown) == ([], None, [])
    assert (found.call.key, found.call.team, found.call.model) == ("ci", "platform", "smart")
    stranger = told(Sources(kept(call(status=401, principal=None, route=None), (), "denied_auth"), NOTHING))
    assert (stranger.call.key, stranger.outcome) == (None, "denied_auth")


def test_what_could_not_be_recorded_is_said() -> None:
    found = told(Sources(kept(call(attempt(Usage(1, 1)))), NOTHING))
    assert found.attempts == []
    assert "could not be recorded" in found.unknown[0]


def test_tags_that_are_none_are_left_out() -> None:
    _, ledger = fallen_back()
    rows = [row._replace(tags="{") for row in ledger.rows]
    assert told(Sources(None, Found(rows, {}))).call.tags == []
