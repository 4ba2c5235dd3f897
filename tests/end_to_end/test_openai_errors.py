"""What goes wrong reaches the SDK as its own exceptions, with everything that callers branch on, and nothing is retried
behind anyone's back.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.end_to_end.conftest import EXPIRED_KEY, NARROW_KEY, UPSTREAM_KEY, eventually
from tests.gateway_process import KEY
from tests.openai_upstream import RETRY_AFTER_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from tests.end_to_end.conftest import Service

BROKEN: Any = {"model": "breaks-off", "stream": True}
MESSAGES: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=service.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=service.base_url, api_key=KEY, max_retries=0) as made:
        yield made


class Refusal(NamedTuple):
    """A call, and the exception that it must raise."""

    kind: type[openai.APIStatusError]
    status: int
    code: str
    type: str
    ask: dict[str, Any]
    key: str = KEY
    param: str | None = None


REQUEST, PROVIDER, LIMIT = "invalid_request_error", "api_error", "rate_limit_error"
AUTHENTICATION, PERMISSION = "authentication_error", "permission_error"
GOOD = {"model": "gpt-5-mini"}
REFUSALS = {
    "temperature": Refusal(
        openai.BadRequestError, 400, "invalid_value", REQUEST, {**GOOD, "temperature": 3}, param="temperature"
    ),
    "no messages": Refusal(
        openai.BadRequestError, 400, "invalid_value", REQUEST, {**GOOD, "messages": []}, param="messages"
    ),
    "wrong key": Refusal(
        openai.AuthenticationError, 401, "invalid_api_key", AUTHENTICATION, GOOD, "sk-of-nobody-at-all-01234"
    ),
    "expired key": Refusal(openai.AuthenticationError, 401, "key_expired", AUTHENTICATION, GOOD, EXPIRED_KEY),
    "a model of others": Refusal(
        openai.PermissionDeniedError, 403, "model_not_allowed", PERMISSION, {"model": "flaky"}, NARROW_KEY, "model"
    ),
    "unknown model": Refusal(
        openai.NotFoundError, 404, "model_not_found", REQUEST, {"model": "gpt-9"}, param="model"
    ),
    # What the provider says of the request comes through; what it holds against the gateway's own key does not.
    "upstream 400": Refusal(
        openai.BadRequestError, 400, "code_400", REQUEST, {"model": "status-400"}, param="messages"
    ),
    "upstream 401": Refusal(
        openai.InternalServerError, 502, "upstream_auth_error", PROVIDER, {"model": "status-401"}
    ),
    "upstream 403": Refusal(
        openai.InternalServerError, 502, "upstream_auth_error", PROVIDER, {"model": "status-403"}
    ),
    "upstream 404": Refusal(openai.NotFoundError, 404, "code_404", REQUEST, {"model": "status-404"}, param="messages"),
    "upstream 422": Refusal(
        openai.UnprocessableEntityError, 422, "code_422", REQUEST, {"model": "status-422"}, param="messages"
    ),
    "upstream 429": Refusal(openai.RateLimitError, 429, "upstream_rate_limit", LIMIT, {"model": "status-429"}),
    "upstream 500": Refusal(openai.InternalServerError, 502, "upstream_error", PROVIDER, {"model": "status-500"}),
    "upstream 503": Refusal(openai.InternalServerError, 502, "upstream_error", PROVIDER, {"model": "status-503"}),
}  # fmt: skip


def check(raised: openai.APIStatusError, refusal: Refusal) -> None:
    assert type(raised) is refusal.kind
    assert raised.status_code == refusal.status
    assert (raised.code, raised.type, raised.param) == (refusal.code, refusal.type, refusal.param)
    assert raised.request_id is not None
    assert raised.request_id.startswith("req_")
    assert isinstance(raised.body, dict)
    assert raised.body["request_id"] == raised.request_id
    assert raised.body["message"]
    assert UPSTREAM_KEY not in str(raised)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_the_right_exception(service: Service, name: str, stream: bool) -> None:  # noqa: FBT001
    refusal = REFUSALS[name]
    with (
        OpenAI(base_url=service.base_url, api_key=refusal.key, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(**{"messages": MESSAGES, "stream": stream} | refusal.ask)

    check(caught.value, refusal)


@pytest.mark.parametrize("name", ["temperature", "wrong key", "unknown model", "upstream 422", "upstream 429"])
async def test_async_raises_it_too(service: Service, name: str) -> None:
    refusal = REFUSALS[name]
    async with AsyncOpenAI(base_url=service.base_url, api_key=refusal.key, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(**{"messages": MESSAGES} | refusal.ask)

    check(caught.value, refusal)


def test_other_endpoints_raise_the_same(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model_not_found"):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.BadRequestError, match="must not be empty"):
        client.embeddings.create(model="text-embedding-3-small", input="")
    with pytest.raises(openai.UnprocessableEntityError, match="code_422"):
        client.responses.create(model="status-422", input="Hi")
    with pytest.raises(openai.RateLimitError, match="upstream_rate_limit"):
        client.completions.create(model="status-429", prompt="Hi")
    with pytest.raises(openai.NotFoundError, match="unknown_url"):
        client.images.generate(prompt="a cat")


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500])
def test_the_providers_words_reach_the_caller(client: OpenAI, status: int) -> None:
    with pytest.raises(openai.APIStatusError, match=rf"No: {status}\."):
        client.chat.completions.create(model=f"status-{status}", messages=MESSAGES)


@pytest.mark.parametrize("status", [401, 403])
def test_its_words_on_the_gateways_credential_do_not(client: OpenAI, status: int) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=f"status-{status}", messages=MESSAGES)

    assert "No:" not in caught.value.message


# retries


def test_nothing_is_tried_twice_by_itself(service: Service, client: OpenAI) -> None:
    before = len(service.upstream.requests)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="status-500", messages=MESSAGES)

    assert len(service.upstream.requests) == before + 1


def test_retry_after_reaches_the_sdk(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="status-429", messages=MESSAGES)

    assert caught.value.response.headers["retry-after"] == str(RETRY_AFTER_S)


def test_the_sdks_own_retry_gets_its_answer(service: Service, client: OpenAI) -> None:
    before = len(service.upstream.requests)
    raw = client.with_options(max_retries=1).chat.completions.with_raw_response.create(model="flaky", messages=MESSAGES)

    assert raw.retries_taken == 1
    assert raw.headers["x-pointsman-attempts"] == "1"
    assert len(service.upstream.requests) == before + 2


def test_a_mistake_is_not_retried_by_the_sdk(service: Service) -> None:
    before = len(service.upstream.requests)
    with (
        OpenAI(base_url=service.base_url, api_key=KEY, max_retries=2) as client,
        pytest.raises(openai.UnprocessableEntityError),
    ):
        client.chat.completions.create(model="status-422", messages=MESSAGES)

    assert len(service.upstream.requests) == before + 1


# streams that fail under way, and callers that leave


@pytest.mark.parametrize(("model", "code"), [("complains", "upstream_error"), ("breaks-off", "upstream_incomplete")])
def test_a_stream_that_fails_raises_after_what_came(service: Service, client: OpenAI, model: str, code: str) -> None:
    service.portal.call(service.onward.clear)
    stream = client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "Grüße"]
    service.portal.call(service.onward.set)
    with pytest.raises(openai.APIError) as caught:
        next(stream)

    assert not isinstance(caught.value, openai.APIConnectionError)
    assert (caught.value.code, caught.value.type) == (code, "api_error")
    assert isinstance(caught.value.body, dict)
    (row,) = service.ledger_rows(caught.value.body["request_id"])
    assert row["outcome"] != "ok"
    assert row["output_tokens"] > 0


@pytest.mark.parametrize("endpoint", ["completions", "responses"])
def test_streams_of_other_endpoints_raise_too(client: OpenAI, endpoint: str) -> None:
    if endpoint == "completions":
        texts = [piece.choices[0].text for piece in failing(client.completions.create(**BROKEN, prompt="Hi"))]
    else:
        events = failing(client.responses.create(**BROKEN, input="Hi"))
        texts = [event.delta for event in events if event.type == "response.output_text.delta"]

    assert texts == ["Grüße"]


def failing(stream: Iterable[Any]) -> list[Any]:
    """What a stream brought before it failed as a broken one must."""
    got = []
    try:
        for piece in stream:
            got.append(piece)  # noqa: PERF402 - what came before the exception counts
    except openai.APIError as error:
        assert error.code == "upstream_incomplete"  # noqa: PT017 - as above
        return got
    pytest.fail("the stream was taken for a success")


async def test_a_stream_that_fails_raises_in_async_too(async_client: AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(model="breaks-off", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass

    assert caught.value.code == "upstream_incomplete"


def test_a_caller_that_closes_its_stream_ends_the_providers_work(service: Service, client: OpenAI) -> None:
    with client.chat.completions.create(model="endless", messages=MESSAGES, stream=True) as stream:
        assert next(stream).choices[0].delta.content == ""
        assert next(stream).choices[0].delta.content == "Grüße"
        request_id = stream.response.headers["x-request-id"]

    assert service.hung_up_within(1.0)
    (row,) = service.ledger_rows(request_id)
    assert (row["cancelled"], row["estimated"], row["outcome"]) == (1, 1, "client_cancelled")
    assert row["cost_nanousd"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_caller_that_gives_up_waiting_ends_the_providers_work(
    service: Service,
    client: OpenAI,
    stream: bool,  # noqa: FBT001
) -> None:
    began_s = time.monotonic()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="silent", messages=MESSAGES, stream=stream)

    assert service.hung_up_within(1.0)
    assert time.monotonic() - began_s < 2


async def test_a_cancelled_task_ends_the_providers_work(service: Service, async_client: AsyncOpenAI) -> None:
    before = len(service.upstream.requests)
    task = asyncio.ensure_future(async_client.chat.completions.create(model="silent", messages=MESSAGES))
    assert await asyncio.to_thread(eventually, lambda: len(service.upstream.requests) > before, 5.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await asyncio.to_thread(service.hung_up_within, 1.0)
