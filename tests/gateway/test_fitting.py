from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from adapters.openai_request import parse
from gateway.fitting import fit, may_be_too_long
from gateway.needs import needs_of
from policies.choosing import Refused
from policies.matching import way_of
from policies.vocabulary import Deployment, Endpoint, Route, Strategy, Target
from tests.gateway.stages.a_call import a_call

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from gateway.fitting import Fit

TEXT = {"role": "user", "content": "x" * 1000}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a"}}]}
SMALL = Deployment("small", "p", "openai", "gpt-4o", context_tokens=400)
LARGE = Deployment("large", "p", "openai", "gpt-4.1", context_tokens=800)
OTHER = Deployment("other", "p", "openai", "llama", context_tokens=400)
UNKNOWN = Deployment("unknown", "p", "openai", "huge")


class Counts:
    def __init__(self, **tokens: int) -> None:
        self.tokens = {name.replace("_", "-"): count for name, count in tokens.items()}

    async def exact(self, _request: InferenceRequest, model: str, _context_tokens: int | None = None) -> int:
        return self.tokens[model]


def asking(message: dict[str, Any], *targets: Deployment, max_tokens: int | None = None) -> tuple[Call, Route]:
    body = {"model": "m", "messages": [message], **({"max_tokens": max_tokens} if max_tokens else {})}
    call, route = a_call(), Route("m", ("m",), Strategy.ORDERED, tuple(map(Target, targets)))
    call.request = parse(Endpoint.CHAT, json.dumps(body).encode())
    call.needs = needs_of(call, way_of(route))
    return call, route


async def fitted(
    tokens: int, *targets: Deployment, message: dict[str, Any] = TEXT, max_tokens: int | None = None
) -> Fit:
    call, route = asking(message, *targets, max_tokens=max_tokens)
    counts = Counts(**{d.model.replace("-", "_"): tokens for d in targets if d.context_tokens is not None})
    counts.tokens |= {deployment.model: tokens for deployment in targets}
    return await fit(call, way_of(route), targets, counts)


@pytest.mark.parametrize(
    ("targets", "worth"),
    [((SMALL, LARGE), True), ((SMALL,), True), ((LARGE,), False), ((UNKNOWN,), False), ((LARGE, UNKNOWN), True)],
)
def test_counting_is_worth_it_where_the_bytes_alone_may_rule_somebody_out(
    targets: tuple[Deployment, ...],
    worth: bool,  # noqa: FBT001 - a table's column
) -> None:
    call, route = asking(TEXT, *targets)
    assert may_be_too_long(way_of(route), call.needs, targets) is worth


async def test_each_is_held_against_its_own_window() -> None:
    found = await fitted(500, SMALL, LARGE, UNKNOWN)
    assert found.capable == (LARGE, UNKNOWN)
    assert [(rejection.deployment, rejection.reason) for rejection in found.rejected] == [(SMALL, Refused.CONTEXT)]
    assert found.input_tokens == 500


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.EMBEDDINGS, {"input": ["a text of some words"] * 2000}),
        (Endpoint.RERANK, {"query": "some words", "documents": ["a text of some words"] * 2000}),
    ],
)
async def test_many_texts_need_room_for_one_at_a_time(endpoint: Endpoint, body: dict[str, Any]) -> None:
    call, route = asking(TEXT, SMALL)
    call.request = parse(endpoint, json.dumps({"model": "m", **body}).encode())
    call.needs = needs_of(call, way_of(route))
    assert not may_be_too_long(way_of(route), call.needs, (SMALL,))
    assert (await fit(call, way_of(route), (SMALL,), Counts(**{SMALL.model.replace("-", "_"): 16_000}))).capable == (
        SMALL,
    )


async def test_the_limit_of_the_answer_counts_unless_nobody_has_room_for_it() -> None:
    assert (await fitted(300, SMALL, LARGE, max_tokens=200)).capable == (LARGE,)
    assert (await fitted(300, SMALL, LARGE, max_tokens=5000)).capable == (SMALL, LARGE)


async def test_what_may_be_counted_too_high_refuses_nobody() -> None:
    assert (await fitted(410, SMALL)).capable == (SMALL,)
    refused = await fitted(450, SMALL)
    assert (refused.capable, refused.rejected[0].detail) == ((), "at least 405 tokens, room for 400")
    assert (await fitted(900, OTHER)).capable == (OTHER,)
    assert (await fitted(900, OTHER, UNKNOWN)).capable == (UNKNOWN,)


async def test_bytes_that_were_taken_for_tokens_are_no_count() -> None:
    call, _ = asking(TEXT, SMALL)
    assert (await fitted(call.needs.input_tokens, SMALL)).capable == (SMALL,)


async def test_pictures_are_not_held_against_windows() -> None:
    found = await fitted(10**6, SMALL, LARGE, message=IMAGE)
    assert found.capable == (SMALL, LARGE)


async def test_who_only_takes_refused_content_is_nobody_to_begin_with() -> None:
    call, route = asking(TEXT, SMALL)
    route = Route("m", ("m",), Strategy.ORDERED, route.targets, content_fallbacks=(UNKNOWN,))
    found = await fit(call, way_of(route), (SMALL, UNKNOWN), Counts(gpt_4o=600))
    assert found.capable == ()
