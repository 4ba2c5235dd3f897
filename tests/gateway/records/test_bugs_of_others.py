"""Every bug that other gateways and tools had with money, by its number there, with the right amount worked out.

Where the report named tokens and prices they are its own, and `wrong` is what was billed instead. Amounts are in USD,
rates in USD per million tokens. Each report goes the way that answers go: through the adapter, then priced.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from adapters.openai_answer import read_answer
from adapters.openai_stream import ChatDecoder
from adapters.schema import InferenceRequest
from gateway.records.settlement import settle
from gateway.signals.profiles.langfuse import cost_details, usage_details
from policies.pricing import cost_of
from policies.tariffs import Price, RareRates, Rates, Tariff, Tier
from policies.usage import Cost, Usage
from policies.vocabulary import Deployment, Endpoint, Failure, FailureKind
from tests.gateway.calls import answered, attempt, call
from tests.gateway.records.test_recorder import tell

if TYPE_CHECKING:
    from gateway.call import Attempt

Report = dict[str, Any]


def rates(words: dict[str, str]) -> Rates:
    nano = {f"{word}_nanousd": int(Decimal(usd) * 10**9) for word, usd in words.items()}
    rare = {name: nano.pop(name) for name in RareRates._fields if name in nano}
    return Rates(**nano, rare=RareRates(**rare) if rare else None)


def price(
    words: dict[str, str],
    above: tuple[tuple[int, dict[str, str]], ...] = (),
    services: dict[str, Tariff] | None = None,
) -> Price:
    base = rates(words)
    return Price(
        "p", "table", "", base.input_nanousd, base.cached_input_nanousd, base.cache_write_nanousd, base.output_nanousd,
        base.rare, tuple(Tier(tokens, rates(words | more)) for tokens, more in above), tuple((services or {}).items()),
    )  # fmt: skip


class Bug(NamedTuple):
    report: Report
    price: Price
    right: str
    wrong: str | None = None
    service: str | None = None


GPT5 = price({"input": "1.25", "cached_input": "0.125", "output": "10"})
SONNET = {"input": "3", "cached_input": "0.3", "cache_write": "3.75", "cache_write_1h": "6", "output": "15"}
OPUS = {"input": "5", "cached_input": "0.5", "cache_write": "6.25", "cache_write_1h": "10", "output": "25"}
GEMINI = price(
    {"input": "1.25", "cached_input": "0.125", "output": "10"}, ((200_000, {"input": "2.5", "output": "15"}),)
)
LONG_5_5 = {"input": "10", "output": "45"}
GPT5_5 = price(
    {"input": "5", "output": "30"},
    ((272_000, LONG_5_5),),
    {
        name: Tariff(rates({"input": "2.5", "output": "15"}), (Tier(272_000, rates({"input": "5", "output": "22.5"})),))
        for name in ("flex", "batch")
    },
)


def chat(prompt: int, completion: int, **more: object) -> Report:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def written(tokens: int, hour: int) -> Report:
    """As Anthropic reports a write to its cache."""
    split = {"ephemeral_5m_input_tokens": tokens - hour, "ephemeral_1h_input_tokens": hour}
    return {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": tokens, "cache_creation": split}


BUGS = {
    # 51,232 fresh at 1.25, 1,188,096 cached at 0.125, 12,909 written at 10.
    "Bifrost #904: cached counted as full input": Bug(
        chat(1_239_328, 12_909, prompt_tokens_details={"cached_tokens": 1_188_096}), GPT5, "0.341642", "1.67825"
    ),
    # 3 at 3, 12,304 at 3.75, 550 at 15.
    "LiteLLM #9812: a cache write billed as input as well": Bug(
        {"input_tokens": 3, "cache_creation_input_tokens": 12_304, "cache_read_input_tokens": 0, "output_tokens": 550},
        price(SONNET), "0.054399", "0.091311",
    ),
    # 6 at 5, 159,217 at 6.25, 2,745 at 25.
    "Bifrost #3451: the same, of a stream": Bug(
        {"input_tokens": 6, "cache_creation_input_tokens": 159_217, "output_tokens": 2_745},
        price(OPUS), "1.06376125", "1.85984625",
    ),
    # A price of the operator's own: 1,000 fresh at 2, 8,000 written at 2.5, 1,000 read at 0.2, 500 at 8.
    "LiteLLM #40006: a custom price without its cache rates": Bug(
        chat(10_000, 500, prompt_tokens_details={"cached_tokens": 1_000, "cache_creation_tokens": 8_000}),
        price({"input": "2", "cached_input": "0.2", "cache_write": "2.5", "output": "8"}), "0.0262", "0.024",
    ),
    "LiteLLM #40016: a custom price and a write billed twice": Bug(
        chat(10_000, 500, cache_read_input_tokens=1_000, cache_creation_input_tokens=8_000),
        price({"input": "2", "cached_input": "0.2", "cache_write": "2.5", "output": "8"}), "0.0262", "0.0422",
    ),
    # 344,139 at 10, not 6.25.
    "oh-my-pi #6876: a write for an hour at the price of five minutes": Bug(
        written(344_139, 344_139), price(OPUS), "3.44139", "2.15086875"
    ),
    # 600,000 at 6.25 and 400,000 at 10.
    "pi #5603: a write for both": Bug(written(1_000_000, 400_000), price(OPUS), "7.75", "6.25"),
    "otari #357: one rate for all writes": Bug(written(1_000_000, 1_000_000), price(SONNET), "6", "3.75"),
    "Portkey models #627: no rate for an hour": Bug(written(250_000, 100_000), price(SONNET), "1.1625", "0.9375"),
    # 2,000 fresh at 3, 80,000 read at 0.3, 5,000 written at 3.75, 1,000 at 15.
    "zerostack #172: caches beside the input left out": Bug(
        {"input_tokens": 2_000, "cache_read_input_tokens": 80_000, "cache_creation_input_tokens": 5_000,
         "output_tokens": 1_000},
        price(SONNET), "0.06375", "0.021",
    ),
    # 250,000 at 2.5; 3,000 written, 2,000 of them thoughts, at 15.
    "LiteLLM #35925: thoughts at the rate of short prompts": Bug(
        chat(250_000, 3_000, completion_tokens_details={"reasoning_tokens": 2_000}), GEMINI, "0.67", "0.66"
    ),
    # 1,000 at 0.025, 2,000 at 0.2.
    "LiteLLM #13810: flex billed as standard": Bug(
        chat(1_000, 2_000),
        price({"input": "0.05", "output": "0.4"}, (), {"flex": Tariff(rates({"input": "0.025", "output": "0.2"}))}),
        "0.000425", "0.00085", "flex",
    ),
    # 200,001 at 2.5, 10 at 15; one token less is in the tier below.
    "LiteLLM #30135: a tier that was ignored": Bug(chat(200_001, 10), GEMINI, "0.5001525", "0.25010125"),
    "LiteLLM #30135: the boundary is not above it": Bug(chat(200_000, 10), GEMINI, "0.2501", "0.50015"),
    # 144,519 at 6, 45 at 15 as the report has it.
    "LiteLLM #15338: xAI above 128k": Bug(
        chat(144_519, 45), price({"input": "3", "output": "15"}, ((128_000, {"input": "6"}),)), "0.867789", "0.434232"
    ),
    # 130,000 at 0.4, 1,000 at 1.
    "LiteLLM #14834: xAI above 128k, fast": Bug(
        chat(130_000, 1_000), price({"input": "0.2", "output": "0.5"}, ((128_000, {"input": "0.4", "output": "1"}),)),
        "0.053", "0.0265",
    ),
    # 250,000 of pictures at 2.5.
    "LiteLLM #28481: pictures above 200k": Bug(
        chat(250_000, 0, prompt_tokens_details={"image_tokens": 250_000}), GEMINI, "0.625", "0.3125"
    ),
    # 300,000 at 0.25 each, not 256,000 at 0.05 first.
    "LiteLLM #28047: Dashscope by slices": Bug(
        chat(300_000, 0), price({"input": "0.05", "output": "0.4"}, ((256_000, {"input": "0.25", "output": "2"}),)),
        "0.075", "0.0238",
    ),
    # 100,000 fresh at 2.5, 150,000 cached at 0.25, 1,000 at 15: what is cached counts for the tier.
    "Opik #6982: a tier by what is not cached": Bug(
        chat(250_000, 1_000, prompt_tokens_details={"cached_tokens": 150_000}),
        price({"input": "1.25", "cached_input": "0.125", "output": "10"},
              ((200_000, {"input": "2.5", "cached_input": "0.25", "output": "15"}),)),
        "0.3025", "0.15375",
    ),
    # 300,000 at 5, 1,000 at 22.5: half of what long prompts cost otherwise.
    "LiteLLM #39861: a batch above 272k": Bug(chat(300_000, 1_000), GPT5_5, "1.5225", "3.045", "batch"),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_report_costs_what_its_provider_bills(bug: Bug) -> None:
    assert bug.wrong != bug.right
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": bug.report, "service_tier": bug.service}
    whole = read_answer(Endpoint.CHAT, json.dumps(body).encode()).usage
    decoder = ChatDecoder(InferenceRequest(Endpoint.CHAT, "m", True, include_usage=False, members={}, body_bytes=0))
    piece: Report = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}
    last: Report = {"choices": [], "usage": bug.report, "service_tier": bug.service}
    for one in (piece, last):
        decoder.feed(b"data: %b\n\n" % json.dumps(one).encode())
    for usage in (whole, decoder.tally.usage):
        assert usage is not None
        cost = cost_of(usage, bug.price)
        assert isinstance(cost, Cost)
        assert Decimal(cost.total_nanousd) / 10**9 == Decimal(bug.right)


def test_litellm_11789_a_stream_bills_what_was_cached_as_such() -> None:
    """1,000 fresh at 3, 99,000 cached at 0.3, 100 written at 15: 0.0342 USD, and not 0.3015."""
    decoder = ChatDecoder(InferenceRequest(Endpoint.CHAT, "m", True, include_usage=False, members={}, body_bytes=0))
    for usage in (None, chat(100_000, 100, prompt_tokens_details={"cached_tokens": 99_000})):
        chunk = {"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": usage}
        decoder.feed(b"data: %b\n\n" % json.dumps(chunk).encode())
    assert decoder.tally.usage is not None
    cost = cost_of(decoder.tally.usage, price(SONNET))
    assert isinstance(cost, Cost)
    assert cost.total_nanousd == 34_200_000


LOST = Failure(FailureKind.RESET, maybe_billed=True)
# The counter of these tests finds 10 tokens in any prompt and one in each word: at 2.50 and 10 USD a million.
DISCONNECTS = {
    "LiteLLM #33736: the caller leaves a stream": (
        attempt(cancelled=True, text=("one two three",), first_token_s=1000.1), 55_000
    ),
    "LiteLLM #30630: the caller leaves before the first token": (attempt(cancelled=True), 25_000),
    "LiteLLM #37558: the upstream breaks off, then the caller leaves": (
        attempt(failure=LOST, cancelled=True, text=("one",)), 35_000
    ),
    "LiteLLM #13245: a usage seen early is a part of what was used": (
        attempt(Usage(10, 1), cancelled=True, text=("one two three four",)), 65_000
    ),
    "open-ace #3422: the caller has all and leaves just before its usage": (
        attempt(cancelled=True, text=("one two three",), finish=("stop",)), 55_000
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tried", "nanousd"), DISCONNECTS.values(), ids=DISCONNECTS)
async def test_who_leaves_early_pays_for_what_was_made(tried: Attempt, nanousd: int) -> None:
    heard = await tell(call(tried, cancelled=True, error_code="client_disconnected", stream=True))
    (row,) = heard.rows
    assert (row.cost_nanousd, row.estimated, row.price_source) == (nanousd, 1, "estimated")


async def test_litellm_37992_an_explicit_zero_is_no_gap_to_fill() -> None:
    """Of an answer without text: whoever claims nothing and wrote something is counted."""
    zero, claimed = [
        await tell(call(attempt(Usage(), cancelled=True, text=text, finish=("stop",)), cancelled=True, stream=True))
        for text in ((), ("one two",))
    ]
    assert [(row.cost_nanousd, row.estimated) for row in zero.rows] == [(0, 0)]
    assert [(row.cost_nanousd, row.estimated) for row in claimed.rows] == [(45_000, 1)]


async def test_litellm_36426_a_whole_answer_has_its_row_as_a_stream_has() -> None:
    """12 at 2.50 and 34 at 10: 370,000 nano-USD each."""
    heard = await tell(answered(), answered(stream=True))
    assert [row.cost_nanousd for row in heard.rows] == [370_000, 370_000]


@pytest.mark.parametrize("number", [12306, 10592, 17117, 13571])
def test_langfuse_adds_no_token_twice(number: int) -> None:
    """It sums whatever kinds it is told: 100 of input hold 64 read from a cache and 16 written to it, 30 of output 20
    thoughts; 20 at 3, 64 at 0.3, 16 at 3.75, 30 at 15 are 0.0005892 USD.
    """
    usage = Usage(100, 30, 64, 16, 20)
    told = usage_details(usage)
    assert told.pop("total") == sum(told.values()) == 130, number
    assert (told["input"], told["input_cached_tokens"], told["input_cache_creation"]) == (20, 64, 16)
    place = Deployment("d", "anthropic", "openai", "m", price=price(SONNET))
    settled = settle(call(attempt(usage, deployment=place, finish=("stop",))))
    cost = settled.attempts[0].cost
    assert cost is not None
    amounts = cost_details(cost)
    assert round(amounts.pop("total") * 10**9) == round(sum(amounts.values()) * 10**9) == 589_200
