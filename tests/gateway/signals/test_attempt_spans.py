from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from gateway.records.settlement import settle
from gateway.signals.attempt_spans import attempt_span
from gateway.signals.conventions import Attr, UsageShown, Wording
from gateway.signals.span_values import Kind, Told
from policies.usage import Usage
from policies.vocabulary import Deployment, Endpoint, Failure, FailureKind
from tests.gateway.calls import RECEIVED_AT_NS, answered, attempt, call, from_an_engine

if TYPE_CHECKING:
    from gateway.call import Call
    from gateway.generation import Generation
    from gateway.signals.span_values import Span

USUAL = Wording()
LOST = Failure(FailureKind.TRUNCATED, "the stream broke off", maybe_billed=True)


def first(one: Call, wording: Wording = USUAL) -> Span:
    return attempt_span(one, settle(one).attempts[0], wording)


def used(span: Span) -> list[str]:
    return sorted(name for name in span.attributes if name.startswith("gen_ai.usage."))


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        (Endpoint.CHAT, "chat"),
        (Endpoint.RESPONSES, "chat"),
        (Endpoint.COMPLETIONS, "text_completion"),
        (Endpoint.EMBEDDINGS, "embeddings"),
        (Endpoint.RERANK, "rerank"),
    ],
)
def test_what_is_asked_is_the_operation_and_begins_the_name(endpoint: Endpoint, name: str) -> None:
    one = answered()
    one.request.endpoint = endpoint
    span = first(one)
    assert (span.name, span.attributes[Attr.OPERATION]) == (f"{name} gpt-4o-2024-08-06", name)


def test_a_model_that_runs_here_is_no_call_to_anybody() -> None:
    here, elsewhere = from_an_engine(), from_an_engine()
    for one in (here, elsewhere):
        one.attempts[0].deployment = Deployment("llama-8b", "local", "llama_cpp", "llama-8b")
    providers = {"local": SimpleNamespace(base_url="http://gpu-1:9000/v1")}
    elsewhere.generation = cast("Generation", SimpleNamespace(config=SimpleNamespace(providers=providers)))
    assert [first(one).kind for one in (here, elsewhere)] == [Kind.INTERNAL, Kind.CLIENT]
    assert Attr.SERVER_ADDRESS not in first(here).attributes
    attributes = first(elsewhere).attributes
    assert (attributes[Attr.SERVER_ADDRESS], attributes[Attr.SERVER_PORT]) == ("gpu-1", 9000)
    assert attributes[Attr.GPU_S] == 1.25


@pytest.mark.parametrize("how", ["failure", "cancelled"])
def test_a_stream_that_broke_off_ended_by_an_error(how: str) -> None:
    broken = attempt(Usage(1, 1), first_token_s=1000.05, text=("a",), failure=LOST if how == "failure" else None)
    broken.cancelled = how == "cancelled"
    span = first(call(broken, stream=True, status=200, error_code="upstream_incomplete"))
    assert span.attributes[Attr.FINISH_REASONS] == ("error",)
    whole = attempt(Usage(1, 1), failure=LOST, text=("a",))
    assert Attr.FINISH_REASONS not in first(call(whole)).attributes, "no stream"
    unbegun = attempt(failure=Failure(FailureKind.CONNECT), sent=False)
    assert Attr.FINISH_REASONS not in first(call(unbegun, stream=True)).attributes


def test_a_stream_that_said_why_it_ended_is_believed() -> None:
    cut = attempt(Usage(1, 1), first_token_s=1000.05, finish=("length",), cancelled=True)
    assert first(call(cut, stream=True)).attributes[Attr.FINISH_REASONS] == ("length",)


@pytest.mark.parametrize(
    ("shown", "of_a_root", "of_a_part"),
    [(UsageShown.ALWAYS, True, True), (UsageShown.NEVER, False, False), (UsageShown.WHEN_ROOT, True, False)],
)
def test_usage_is_told_as_the_policy_says(shown: UsageShown, *, of_a_root: bool, of_a_part: bool) -> None:
    root, part = answered(), answered()
    part.trace = replace(part.trace, parent_id="7" * 16)
    spans = [first(one, Wording(usage=shown)) for one in (root, part)]
    assert [bool(used(span)) for span in spans] == [of_a_root, of_a_part]
    assert [span.told.shows_usage for span in spans if span.told is not None] == [of_a_root, of_a_part]
    assert all(Attr.COST_TOTAL in span.attributes for span in spans)


def test_what_was_never_sent_has_no_usage_for_anybody() -> None:
    span = first(call(attempt(failure=Failure(FailureKind.STATUS, "no", status=429))))
    assert used(span) == []
    assert span.told == Told(Endpoint.CHAT, "gpt-4o-2024-08-06", "openai", None, None, shows_usage=True)
    assert (span.attributes[Attr.ERROR_TYPE], span.attributes[Attr.HTTP_STATUS], span.error) == ("429", 429, "no")


def test_an_upstreams_words_are_scrubbed() -> None:
    echoed = Failure(FailureKind.STATUS, "Incorrect API key provided: sk-canary-7Yq2vK9xPz4Lm8Rt.", status=401)
    span = first(call(attempt(failure=echoed)))
    assert span.error is not None
    assert "canary" not in span.error


@pytest.mark.parametrize(("late_s", "shown_s"), [(0.0, 0.0), (0.004, 0.0), (2.0, 2.0)])
def test_an_attempt_ends_with_its_call_unless_it_goes_on(late_s: float, shown_s: float) -> None:
    one = answered()
    one.attempts[0].ended_s = one.ended_s + late_s
    assert first(one).end_ns == RECEIVED_AT_NS + 503_000_000 + round(shown_s * 1e9)


def test_time_on_hardware_of_ones_own_is_told_wherever_it_was_measured() -> None:
    timed, told = answered(), answered()
    timed.attempts[0].gpu_us = 2_500_000
    assert first(timed).attributes[Attr.GPU_S] == 2.5
    assert Attr.GPU_S not in first(told).attributes
