from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

import gateway.records.intents as intents_module
from gateway.records.intents import Intents
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.journal.frames import intent_frame
from policies.estimate import OUTPUT_TOKENS_DEFAULT, OutputBound
from policies.limits import Hold, Kind
from policies.usage import Usage
from policies.vocabulary import Principal
from tests.gateway.calls import FREE_OF_PRICE, answered, attempt, call

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.state.ledger.schema import LedgerRow


class Written:
    def __init__(self) -> None:
        self.rows: list[LedgerRow] = []

    def intend(self, row: LedgerRow) -> None:
        self.rows.append(row)


def intent_of(made: Call, intents: Intents | None = None) -> LedgerRow:
    written = Written()
    (intents or Intents(written)).begin(made, made.attempts[-1])
    return written.rows[-1]


def test_an_intent_says_who_and_where_as_the_outcome_will() -> None:
    made = answered(Usage(12, 34), stream=True)
    made.principal = Principal("k_1", "ci", team="platform", user="ada", org="acme", tags=("cost-centre-7", "ci"))
    intent, (outcome,) = intent_of(made), ledger_rows(settle(made))
    for column in intent._fields[:13]:
        assert getattr(intent, column) == getattr(outcome, column), column
    assert (intent.stream, intent.org, intent.tags) == (1, "acme", '["cost-centre-7","ci"]')


def test_it_is_unknown_and_estimated_and_priced_at_the_bound() -> None:
    intent = intent_of(answered())
    assert (intent.outcome, intent.estimated, intent.status, intent.error_code) == ("unknown", 1, 0, None)
    assert intent.input_tokens == 120  # the body's bytes
    assert intent.output_tokens == OUTPUT_TOKENS_DEFAULT
    assert intent.input_nanousd == 120 * 2_500
    assert intent.output_nanousd == OUTPUT_TOKENS_DEFAULT * 10_000
    assert intent.cost_nanousd == intent.input_nanousd + intent.output_nanousd
    assert intent.price_id == "gpt-4o"
    assert intent.charges is None


def test_without_a_price_it_says_so() -> None:
    intent = intent_of(call(attempt(deployment=FREE_OF_PRICE)))
    assert (intent.cost_nanousd, intent.unpriced_reason, intent.price_id) == (None, "no_price", None)


@pytest.mark.parametrize(
    ("told", "added", "generations", "expected"),
    [(50, None, 1, 50), (None, 70, 1, 70), (50, None, 3, 150), (50, None, 0, 0), (10**18, None, 1, 100_000_000)],
)
def test_output_is_bounded_by_what_the_upstream_is_told(
    told: int | None, added: int | None, generations: int, expected: int
) -> None:
    made = answered()
    made.request.output_tokens_max, made.request.output_tokens_added = told, added
    made.request.generations = generations
    intent = intent_of(made)
    assert intent.output_tokens == expected
    assert intent_frame(intent)


def test_what_was_reserved_is_what_it_stands_at() -> None:
    made = answered()
    (at,) = made.attempts
    held = [
        SimpleNamespace(
            has_calendar=True,
            tenant="acme",
            attempts=[at],
            holds=[Hold("month:ada", Kind.CALENDAR, 900, window_s=86_400.0), Hold("rpm:ada", Kind.RATE, 1)],
        ),
        SimpleNamespace(
            has_calendar=True, tenant="acme", attempts=[], holds=[Hold("day:ada", Kind.CALENDAR, 7, window_s=86_400.0)]
        ),
    ]
    demand = SimpleNamespace(input_tokens=40, output=OutputBound(60, None))
    made.admitted = cast("Any", SimpleNamespace(demand=demand, holdings=held))
    intent = intent_of(made)
    assert (intent.input_tokens, intent.output_tokens) == (40, 60)
    assert intent.charges == '[["acme|month:ada",86400.0,900]]'
    made.admitted = cast("Any", SimpleNamespace(demand=None, holdings=[]))
    assert intent_of(made).charges is None


def test_kinds_are_told_apart_and_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents_module, "MOST_KINDS", 4)
    written = Written()
    intents = Intents(written, lambda _: 7)
    made = [call(attempt(), model=f"gpt-{number}") for number in range(10)]
    for one in made * 2:
        intents.begin(one, one.attempts[0])
    assert [row.model_requested for row in written.rows] == [one.request.model for one in made * 2]
    assert {row.input_tokens for row in written.rows} == {7}
    assert len(intents._kinds) <= 4


def test_a_call_of_nobody_has_an_intent_too() -> None:
    intent = intent_of(call(attempt(), principal=None, route=None))
    assert intent[3:8] == (None,) * 5
    assert (intent.org, intent.tags) == (None, None)
