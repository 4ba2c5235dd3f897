"""The bundled model as `make run` serves it, through the official SDKs: it answers, obeys, dies and comes back."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import openai
import pytest
import yaml
from anyio.from_thread import start_blocking_portal
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, ConfigDict

from tests.end_to_end.other_clients import CURRENT, NODE
from tests.gateway_process import KEY, ROOT, gateway_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.end_to_end.other_clients import Client
    from tests.gateway_process import GatewayProcess

NAME = "smollm2-135m"
SEA: Any = {"model": "local", "messages": [{"role": "user", "content": "Write one sentence about the sea."}]}
# Of these answers the model is sure: each token is far likelier than the next, so no rounding decides between them.
SUM: Any = {"model": "local", "messages": [{"role": "user", "content": "What is 2+2?"}]}
SURE: Any = {**SUM, "temperature": 0, "max_tokens": 24}
OTHER_SUM: Any = {**SURE, "messages": [{"role": "user", "content": "What is 3+4?"}], "max_tokens": 8}
ENDLESS: Any = {
    **SEA,
    "max_tokens": 1500,
    "logit_bias": {"2": -100, "0": -100},  # the two tokens that end an answer
}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "set_light",
            "parameters": {
                "type": "object",
                "properties": {"room": {"enum": ["kitchen", "hall"]}, "on": {"type": "boolean"}},
                "required": ["room", "on"],
                "additionalProperties": False,
            },
        },
    }
]


class Engine:
    """The gateway over config/local.yaml, and what its operators see of the engine."""

    def __init__(self, gateway: GatewayProcess, admin: Callable[[str], tuple[int, str]]) -> None:
        self.gateway = gateway
        self.base_url = gateway.base_url
        self._admin = admin

    @property
    def live(self) -> dict[str, Any]:
        status, body = self._admin("/deployments")
        assert status == 200
        (deployment,) = json.loads(body)["deployments"]
        assert (deployment["name"], deployment["ready"]) == (NAME, deployment["live"]["state"] == "ready")
        return dict(deployment["live"])

    def row(self, request_id: str) -> dict[str, Any]:
        """The one ledger row of a request."""
        until_s = time.monotonic() + 5
        while not (rows := [row for row in self.gateway.ledger() if row["request_id"] == request_id]):
            assert time.monotonic() < until_s, "no row"
            time.sleep(0.02)
        (row,) = rows
        return row

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels."""
        status, text = self._admin("/metrics")
        assert status == 200
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in samples}

    def kill(self) -> None:
        os.kill(self.live["pid"], signal.SIGKILL)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    policy = yaml.safe_load((ROOT / "config" / "local.yaml").read_text())
    for ours in ("server", "ledger", "keys"):
        del policy[ours]
    with start_blocking_portal() as portal:
        process = gateway_process(policy, tmp_path_factory.mktemp("local"))
        with portal.wrap_async_context_manager(process) as gateway:
            yield Engine(gateway, lambda path: portal.call(gateway.admin, path))


@pytest.fixture
def client(engine: Engine) -> Iterator[OpenAI]:
    with OpenAI(base_url=engine.base_url, api_key=KEY, max_retries=0, timeout=60) as made:
        yield made


# answers


def test_it_answers_and_says_what_it_took(engine: Engine, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**SURE)
    reply = raw.parse()

    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert raw.headers["x-pointsman-deployment"] == NAME
    assert reply.usage is not None
    assert 1 < reply.usage.completion_tokens <= 24
    row = engine.row(raw.headers["x-request-id"])
    told = (reply.usage.prompt_tokens, reply.usage.completion_tokens)
    assert (row["input_tokens"], row["output_tokens"]) == told
    assert (row["cost_nanousd"], row["unpriced_reason"], row["estimated"], row["outcome"]) == (0, None, 0, "ok")


def test_a_stream_says_the_same_piece_by_piece(client: OpenAI) -> None:
    whole = client.chat.completions.create(**SURE)
    chunks = list(client.chat.completions.create(**SURE, stream=True, stream_options={"include_usage": True}))

    *others, last = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in others) == whole.choices[0].message.content
    assert len(others) > 5
    assert others[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.usage is not None
    assert whole.usage is not None
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


async def test_async_says_the_same(engine: Engine, client: OpenAI) -> None:
    whole = client.chat.completions.create(**SURE).choices[0].message.content
    async with AsyncOpenAI(base_url=engine.base_url, api_key=KEY) as away:
        reply = await away.chat.completions.create(**SURE)
        async with away.chat.completions.stream(**SURE) as stream:
            streamed = await stream.get_final_completion()

    assert reply.choices[0].message.content == streamed.choices[0].message.content == whole


@pytest.mark.parametrize("other", [CURRENT, NODE], ids=["current Python SDK", "Node SDK"])
def test_other_sdks_chat_with_it(engine: Engine, other: Client) -> None:
    told = other.report(engine.base_url, "chat", "async_chat", "stream", "stream_helper", model="local")

    text = told["chat"]["text"]
    assert text
    assert told["chat"] == {"text": text, "finish": "stop", "usage": True}
    assert told["async_chat"] == [text, text]
    assert (told["stream"]["text"], told["stream_helper"]) == (text, text)
    assert told["stream"]["last"][0] == 0
    assert told["stream"]["usage"] == []


def test_completions_go_on_with_a_text(client: OpenAI) -> None:
    whole = client.completions.create(model="local", prompt="One, two, three,", temperature=0, max_tokens=6)
    pieces = list(
        client.completions.create(model="local", prompt="One, two, three,", temperature=0, max_tokens=6, stream=True)
    )

    assert "four" in whole.choices[0].text
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text


# obedience


class Harbour(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sea: Literal["north", "south"]
    ships: Literal[1, 2, 3]
    deep: bool


def test_structured_output_parses(client: OpenAI) -> None:
    reply = client.chat.completions.parse(**SEA, response_format=Harbour, temperature=1, seed=3)

    assert isinstance(reply.choices[0].message.parsed, Harbour)
    assert reply.choices[0].finish_reason == "stop"


def test_structured_output_parses_from_a_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(**SEA, response_format=Harbour, temperature=1, seed=4) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Harbour)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "set_light"}}])
def test_a_forced_tool_is_called(client: OpenAI, choice: Any) -> None:
    reply = client.chat.completions.create(**SEA, tools=TOOLS, tool_choice=choice, seed=1)
    with client.chat.completions.stream(**SEA, tools=TOOLS, tool_choice=choice, seed=1) as stream:
        streamed = stream.get_final_completion()

    for one in (reply, streamed):
        (call,) = one.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert call.id.startswith("call_")
        assert call.function.name == "set_light"
        arguments = json.loads(call.function.arguments)
        assert (arguments["room"] in ("kitchen", "hall"), type(arguments["on"])) == (True, bool)
        assert one.choices[0].finish_reason == "tool_calls"
        assert not one.choices[0].message.content


def test_it_stops_before_a_stop_word(client: OpenAI) -> None:
    whole = client.chat.completions.create(**SURE).choices[0].message.content or ""
    word = whole.split()[3]
    stopped = client.chat.completions.create(**SURE, stop=[word, "never said"]).choices[0]
    pieces = list(client.chat.completions.create(**SURE, stop=word, stream=True))

    assert stopped.finish_reason == "stop"
    assert stopped.message.content == whole[: whole.index(word)]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == stopped.message.content


def test_a_seed_makes_chance_repeatable(client: OpenAI) -> None:
    def said(seed: int) -> object:
        return client.chat.completions.create(**SEA, temperature=1, max_tokens=12, seed=seed).choices[0].message.content

    said(1)  # from here on the prompt is known, which changes the last digit of a probability
    assert said(7) == said(7)
    assert len({said(seed) for seed in (7, 8, 9)}) > 1


def test_logprobs_add_up_to_the_text(client: OpenAI) -> None:
    choice = client.chat.completions.create(**SURE, logprobs=True, top_logprobs=3).choices[0]

    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    joined = b"".join(bytes(token.bytes or []) for token in tokens).decode()
    assert joined == choice.message.content
    for token in tokens:
        best = token.top_logprobs[0]
        assert [token.logprob, token.token] == [best.logprob, best.token]  # temperature 0 takes the likeliest
        assert len(token.top_logprobs) == 3
        assert token.logprob <= 0


def test_two_choices_come_of_one_call(client: OpenAI) -> None:
    two: Any = {**SEA, "n": 2, "temperature": 1, "seed": 1, "max_tokens": 12}
    client.chat.completions.create(**two)  # from here on the prompt is known, which changes the last digits
    reply = client.chat.completions.create(**two)
    pieces = list(client.chat.completions.create(**two, stream=True))

    texts = [choice.message.content for choice in reply.choices]
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert texts[0] != texts[1]
    choices = list(itertools.chain.from_iterable(piece.choices for piece in pieces))
    assert ["".join(c.delta.content or "" for c in choices if c.index == index) for index in (0, 1)] == texts


# refusals


def test_a_prompt_that_does_not_fit_is_the_callers_mistake(client: OpenAI) -> None:
    long: Any = {"model": "local", "messages": [{"role": "user", "content": "word " * 10_000}]}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="maximum context length") as caught:
            client.chat.completions.create(**long, stream=stream)
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_what_it_cannot_do_is_refused_by_name(client: OpenAI) -> None:
    image: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError, match="does not offer embeddings") as caught:
        client.embeddings.create(model="local", input="x")
    assert caught.value.code == "unsupported_endpoint"
    with pytest.raises(openai.BadRequestError, match="does not offer responses"):
        client.responses.create(model="local", input="x")
    with pytest.raises(openai.BadRequestError, match="takes images") as caught:
        client.chat.completions.create(model="local", messages=[{"role": "user", "content": [image]}])
    assert caught.value.code == "no_capable_deployment"


# many callers, callers who leave, an engine that dies


def test_two_callers_at_once_each_get_their_own(client: OpenAI) -> None:
    asks = [SURE, OTHER_SUM]
    alone = [client.chat.completions.create(**ask).choices[0].message.content for ask in asks]
    together: list[str | None] = [None, None]

    def ask(number: int) -> None:
        stream = client.chat.completions.create(**asks[number], stream=True)
        together[number] = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert together == alone
    assert alone[0] != alone[1]


def test_a_caller_who_leaves_frees_the_engine_within_a_second(engine: Engine, client: OpenAI) -> None:
    client.chat.completions.create(**SURE)
    began_s = time.monotonic()
    client.chat.completions.create(**SURE)
    usual_s = time.monotonic() - began_s
    with client.chat.completions.create(**ENDLESS, stream=True) as stream:
        while not (next(stream).choices[0].delta.content):
            pass
        request_id = stream.response.headers["x-request-id"]

    began_s = time.monotonic()
    client.chat.completions.create(**SURE)
    assert time.monotonic() - began_s < 2 * usual_s + 1
    row = engine.row(request_id)
    assert (row["outcome"], row["cancelled"], row["estimated"]) == ("client_cancelled", 1, 1)
    assert 0 < row["output_tokens"] < 1500


def test_an_engine_that_is_killed_says_so_and_comes_back(engine: Engine, client: OpenAI) -> None:
    restarts = engine.live["restarts"]
    answer = client.chat.completions.create(**ENDLESS, stream=True)
    while not (next(answer).choices[0].delta.content):
        pass
    engine.kill()
    with pytest.raises(openai.APIError) as caught:
        list(answer)
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert (caught.value.code, caught.value.type) == ("engine_crashed", "api_error")
    assert isinstance(caught.value.body, dict)
    assert engine.row(caught.value.body["request_id"])["outcome"] == "crashed"

    assert client.chat.completions.create(**SURE).choices[0].message.content
    assert engine.live["restarts"] == restarts + 1


def test_a_call_that_had_nothing_yet_is_tried_once_more(engine: Engine, client: OpenAI) -> None:
    restarts = engine.live["restarts"]
    killer = threading.Thread(target=lambda: _kill_once_busy(engine))
    killer.start()
    reply = client.chat.completions.create(**{**ENDLESS, "max_tokens": 80})
    killer.join()
    assert reply.choices[0].message.content
    assert engine.live["restarts"] == restarts + 1


def _kill_once_busy(engine: Engine) -> None:
    while not engine.live["in_engine"]:
        time.sleep(0.01)
    engine.kill()


def test_operators_see_the_engine(engine: Engine, client: OpenAI) -> None:
    before = engine.live
    client.chat.completions.create(**SURE)
    after = engine.live

    assert after["state"] == "ready"
    assert after["served"] == before["served"] + 1
    assert after["generated_tokens"] > before["generated_tokens"]
    assert (after["in_engine"], after["queued"]) == (0, 0)
    assert after["context_tokens"] >= 2048
    assert after["threads"] >= 1
    assert after["pid"] != engine.gateway.process.pid


def test_metrics_and_ledger_tell_where_an_answers_time_went(engine: Engine, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**SURE)
    row = engine.row(raw.headers["x-request-id"])
    samples = engine.metrics()

    assert 0 < row["engine_ms"] <= row["duration_ms"] + 1
    assert samples[f'pointsman_local_up{{deployment="{NAME}"}}'] == 1
    assert samples[f'pointsman_local_slots{{deployment="{NAME}"}}'] >= 1
    assert samples['pointsman_local_kv_cells{engine="bundled"}'] > 0
    assert 0 < samples[f'pointsman_local_kv_used_ratio{{deployment="{NAME}"}}'] <= 1
    assert samples['pointsman_local_tokens_total{engine="bundled",kind="decode"}'] > 0
    assert samples['pointsman_local_cold_start_seconds{engine="bundled"}'] > 0
    assert samples[f'pointsman_local_phase_seconds_count{{deployment="{NAME}",phase="decode"}}'] > 0
    compute_s = samples[f'pointsman_local_compute_seconds_total{{deployment="{NAME}",team="none"}}']
    assert compute_s * 1000 >= row["engine_ms"] - 1
