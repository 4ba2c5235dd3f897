from __future__ import annotations

from adapters.base import EngineTimes
from gateway.call import Cached, Call
from gateway.records.ledger_rows import ledger_rows
from gateway.records.settlement import settle
from gateway.state.answers.store import Used
from policies.cache_rules import Bypass, Level
from policies.usage import Correction, Usage, UsageDetails
from policies.vocabulary import Failure, FailureKind, Period, Principal
from tests.gateway.calls import FREE_OF_PRICE, RECEIVED_AT_NS, attempt, call, from_an_engine
from tests.gateway.limited_calls import NOW_S, Gate, limit


def test_a_row_says_who_asked_whom_for_what_and_at_which_price() -> None:
    (row,) = ledger_rows(settle(call(attempt(Usage(100, 10, 40), first_token_s=1000.052), stream=True)))
    assert (row.key_id, row.key_name, row.team, row.user) == ("k_1234", "ci", "platform", "ada")
    assert (row.route, row.endpoint, row.model_requested) == ("smart", "chat/completions", "smart")
    assert (row.deployment, row.provider, row.model) == ("gpt-4o", "openai", "gpt-4o-2024-08-06")
    assert (row.outcome, row.status, row.error_code, row.stream, row.cancelled) == ("ok", 200, None, True, False)
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.estimated) == (100, 40, 10, False)
    assert row.cost_nanousd == 300_000
    parts = (row.input_nanousd, row.cached_input_nanousd, row.cache_write_nanousd, row.output_nanousd)
    assert parts == (150_000, 50_000, 0, 100_000)
    assert (row.price_id, row.price_source, row.price_as_of) == ("gpt-4o", "table", "2026-11-01")
    assert row.started_at_ms == RECEIVED_AT_NS // 1_000_000 + 2
    assert (row.duration_ms, row.ttft_ms) == (498, 50)


def test_each_attempt_has_its_row_with_its_own_end() -> None:
    refused = attempt(number=1, failure=Failure(FailureKind.STATUS, status=503))
    answered = attempt(Usage(1, 1), number=2, deployment=FREE_OF_PRICE)
    first, second = ledger_rows(settle(call(refused, answered)))
    assert (first.attempt, first.status, first.outcome, first.error_code) == (1, 503, "status", "status")
    assert (first.input_tokens, first.cost_nanousd, first.unpriced_reason) == (0, None, None)
    assert (second.attempt, second.status, second.outcome, second.error_code) == (2, 200, "ok", None)
    assert (second.cost_nanousd, second.unpriced_reason, second.price_id) == (None, "no_price", None)


def test_a_call_that_reached_no_upstream_leaves_no_row() -> None:
    assert ledger_rows(settle(call(status=401, error_code="invalid_api_key", principal=None))) == []


SAVED = Used(100, 10, cost_nanousd=300_000)


def a_hit(*, deployment: str = "gpt-4o", saved: Used | None = SAVED) -> Call:
    made = call()
    made.cached = Cached(level=Level.SEMANTIC, deployment=deployment, model="gpt-4o-2024-08-06", saved=saved)
    return made


def test_a_hit_has_one_row_that_cost_nothing_and_says_what_it_saved() -> None:
    (row,) = ledger_rows(settle(a_hit()))
    assert (row.attempt, row.outcome, row.status, row.cache_level) == (0, "cache_hit", 200, "semantic")
    assert (row.deployment, row.provider, row.model) == ("gpt-4o", "openai", "gpt-4o-2024-08-06")
    assert (row.key_name, row.route, row.org) == ("ci", "smart", "default")
    amounts = (row.cost_nanousd, row.input_nanousd, row.cached_input_nanousd, row.cache_write_nanousd)
    assert (*amounts, row.output_nanousd, row.input_tokens, row.output_tokens) == (0,) * 7
    assert (row.saved_nanousd, row.saved_tokens, row.unpriced_reason) == (300_000, 110, None)
    assert (row.started_at_ms, row.duration_ms, row.charges) == (RECEIVED_AT_NS // 1_000_000, 503, None)


def test_a_hit_on_an_answer_of_a_deployment_that_is_gone_still_has_its_row() -> None:
    (row,) = ledger_rows(settle(a_hit(deployment="gone", saved=None)))
    assert (row.deployment, row.provider) == ("gone", "unknown")
    assert (row.saved_nanousd, row.saved_tokens) == (None, None)


def test_a_miss_and_a_bypass_have_the_rows_of_their_attempts_alone() -> None:
    for cached in (Cached(similarity=0.8), Cached(bypass=Bypass.TEMPERATURE)):
        missed = call(attempt(Usage(1, 1)))
        missed.cached = cached
        (row,) = ledger_rows(settle(missed))
        assert (row.attempt, row.cache_level, row.saved_nanousd) == (1, None, None)
        refused = call(status=429)
        refused.cached = cached
        assert ledger_rows(settle(refused)) == []


async def test_a_hit_that_is_charged_says_to_what() -> None:
    gate = Gate(limit("tokens", 1000, Period.DAY, "org"))
    finished = await gate.admit(gate.call(output_tokens_max=9))
    finished.cached = Cached(level=Level.EXACT, saved=Used(3, 4))
    assert finished.admitted is not None
    finished.admitted.charge_hit(Used(3, 4))
    finished.scope.close()
    (row,) = ledger_rows(settle(finished))
    assert row.charges == f'[["acme|org.tokens.day:acme",{NOW_S},7]]'


def test_what_the_caller_wrote_cannot_break_a_line() -> None:
    (row,) = ledger_rows(settle(call(attempt(Usage(1, 1)), model="a\nb\x1b[2J\ud800" + "x" * 999)))
    assert row.model_requested.startswith("a\\nb\\x1b[2J\\ud800xxx")
    assert len(row.model_requested) <= 256


def test_a_row_says_how_long_an_engine_of_ours_worked_for_it() -> None:
    (row,) = ledger_rows(settle(from_an_engine()))
    (other,) = ledger_rows(settle(call(attempt(Usage(1, 1)))))
    assert (row.engine_ms, other.engine_ms) == (1250, None)


def test_a_row_says_who_pays() -> None:
    principal = Principal("k", "n", org="acme", tags=("lab", 'a "quote"'))
    (row,) = ledger_rows(settle(call(attempt(Usage(1, 1)), principal=principal)))
    assert (row.org, row.tags, row.charges) == ("acme", '["lab","a \\"quote\\""]', None)
    (row,) = ledger_rows(settle(call(attempt(Usage(1, 1)), principal=None)))
    assert (row.org, row.tags) == (None, None)


async def test_a_row_says_what_its_attempt_was_charged_to() -> None:
    gate = Gate(limit("tokens", 1000, Period.DAY, "org"))
    finished = await gate.admit(gate.call(output_tokens_max=9))
    gate.attempt(finished, Usage(3, 4))
    finished.scope.close()
    (row,) = ledger_rows(settle(finished))
    assert row.charges == f'[["acme|org.tokens.day:acme",{NOW_S},7]]'


def test_time_on_hardware_is_as_it_was_measured_else_an_engines_own() -> None:
    timed, told = attempt(Usage(1, 1)), attempt(Usage(1, 1))
    timed.gpu_us = 7
    for one in (timed, told):
        assert one.tally is not None
        one.tally.engine = EngineTimes(compute_s=0.5)
    nobody = attempt(Usage(1, 1))
    assert [ledger_rows(settle(call(one)))[0].gpu_us for one in (timed, told, nobody)] == [7, 500_000, None]


def test_that_counts_were_corrected_is_no_matter_of_the_ledgers() -> None:
    why = UsageDetails(corrected=(Correction.PART_ABOVE_WHOLE,))
    (row,) = ledger_rows(settle(call(attempt(Usage(100, 10, 100, details=why)))))
    (plain,) = ledger_rows(settle(call(attempt(Usage(100, 10, 100)))))
    assert (row.service, row.usage_details) == (None, None)
    assert row._replace(request_id=plain.request_id) == plain
    (found,) = ledger_rows(settle(call(attempt(Usage(100, 10, details=why._replace(searches=2, service="flex"))))))
    assert (found.service, found.usage_details) == ("flex", '{"searches":2}')
