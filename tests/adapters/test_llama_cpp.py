from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.llama_cpp import ignored_members, job_of
from adapters.llama_cpp_job import Job, Sampling, ToolSpec
from adapters.openai_request import parse
from adapters.schema import InferenceRequest, InvalidRequest
from policies.vocabulary import Endpoint

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
SPEC = ToolSpec("add", "adds", '{"type": "object"}')
BARE = {"type": "function", "function": {"name": "stop-it"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def job(endpoint: Endpoint = Endpoint.CHAT, **body: Any) -> Job:
    body = {"model": "m"} | ({"messages": HI} if endpoint is Endpoint.CHAT else {}) | body
    return job_of(parse(endpoint, json.dumps(body).encode()), 7)


def test_a_plain_request_takes_the_defaults() -> None:
    assert job() == Job(7, messages=HI)
    assert job(Endpoint.COMPLETIONS, prompt="x") == Job(7, prompt="x", max_tokens=16)


def test_everything_that_shapes_sampling_arrives() -> None:
    made = job(
        temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, presence_penalty=1, frequency_penalty=-1, repeat_penalty=1.1,
        logit_bias={"5": -100, "6": 2.5}, seed=-3, logprobs=True, top_logprobs=4, stop="END", n=2,
        max_completion_tokens=9,
    )  # fmt: skip
    assert made.sampling == Sampling(0.5, 0.9, 40, 0.05, 1, -1, 1.1, ((5, float("-inf")), (6, 2.5)), -3, 4)
    assert (made.stop, made.choices, made.max_tokens) == (("END",), 2, 9)


@pytest.mark.parametrize(
    ("body", "top_logprobs"), [({"logprobs": True}, 0), ({"logprobs": False}, None), ({"logprobs": None}, None)]
)
def test_chat_asks_for_logprobs_with_a_flag(body: dict[str, Any], top_logprobs: int | None) -> None:
    assert job(**body).sampling.top_logprobs == top_logprobs


@pytest.mark.parametrize(("asked", "top_logprobs"), [(0, 0), (5, 5), (None, None)])
def test_completions_ask_for_logprobs_with_a_number(asked: int | None, top_logprobs: int | None) -> None:
    assert job(Endpoint.COMPLETIONS, prompt=["x"], logprobs=asked).sampling.top_logprobs == top_logprobs


@pytest.mark.parametrize(
    ("response_format", "schema", "strict"),
    [
        (None, None, False),
        ({"type": "text"}, None, False),
        ({"type": "json_object"}, "{}", False),
        ({"type": "json_object", "schema": {"const": 1}, "strict": True}, '{"const": 1}', False),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}}, '{"type": "null"}', False),
        ({"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {}}}, "{}", True),
    ],
)
def test_response_formats(response_format: Any, schema: str | None, strict: bool) -> None:  # noqa: FBT001
    made = job(response_format=response_format)
    assert (made.schema, made.strict) == (schema, strict)


@pytest.mark.parametrize(
    ("choice", "shown", "forced"),
    [
        (None, [TOOL, BARE], ()),
        ("auto", [TOOL, BARE], ()),
        ("none", None, ()),
        ("required", [TOOL, BARE], (SPEC, ToolSpec("stop-it", "", None))),
        ({"type": "function", "function": {"name": "add"}}, [TOOL, BARE], (SPEC,)),
    ],
)
def test_tool_choices(choice: Any, shown: Any, forced: tuple[ToolSpec, ...]) -> None:
    made = job(tools=[TOOL, BARE], tool_choice=choice)
    assert (made.tools, made.forced_tools) == (shown, forced)


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (Endpoint.CHAT, {"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content"),
        (Endpoint.CHAT, {"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        (Endpoint.CHAT, {"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        (Endpoint.CHAT, {"modalities": ["text", "audio"]}, "modalities"),
        (Endpoint.CHAT, {"functions": [{"name": "f"}]}, "functions"),
        (Endpoint.CHAT, {"web_search_options": {}}, "web_search_options"),
        (Endpoint.CHAT, {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        (Endpoint.CHAT, {"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
        (Endpoint.CHAT, {"tools": [{"type": "function", "function": {"name": "a\n"}}]}, "tools"),
        (Endpoint.CHAT, {"tool_choice": "required"}, "tool_choice"),
        (
            Endpoint.CHAT,
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "no"}}},
            "tool_choice",
        ),
        (Endpoint.CHAT, {"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        (
            Endpoint.CHAT,
            {"tools": [TOOL], "tool_choice": "required", "response_format": {"type": "json_object"}},
            "tool_choice",
        ),
        (Endpoint.CHAT, {"response_format": {"type": "xml"}}, "response_format"),
        (Endpoint.CHAT, {"response_format": {}}, "response_format"),
        (Endpoint.CHAT, {"response_format": {"type": "json_object", "schema": 1}}, "response_format"),
        (Endpoint.CHAT, {"response_format": {"type": "json_schema"}}, "response_format"),
        (Endpoint.CHAT, {"logit_bias": {"x": 1}}, "logit_bias"),
        (Endpoint.CHAT, {"logit_bias": {"٣": 1}}, "logit_bias"),
        (Endpoint.CHAT, {"presence_penalty": 3}, "presence_penalty"),
        (Endpoint.CHAT, {"top_logprobs": 2}, "top_logprobs"),
        (Endpoint.CHAT, {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        (Endpoint.CHAT, {"n": 17}, "n"),
        (Endpoint.CHAT, {"stop": [""]}, "stop"),
        (Endpoint.CHAT, {"top_k": -1}, "top_k"),
        (Endpoint.COMPLETIONS, {"prompt": ["a"] * 65}, "prompt"),
        (Endpoint.COMPLETIONS, {"prompt": ["a"] * 64, "n": 3}, "prompt"),
        (Endpoint.COMPLETIONS, {"prompt": "x", "echo": True, "logprobs": 0}, "echo"),
        (Endpoint.COMPLETIONS, {"prompt": "x", "suffix": "y"}, "suffix"),
        (Endpoint.COMPLETIONS, {"prompt": "x", "best_of": 2}, "best_of"),
        (Endpoint.COMPLETIONS, {"prompt": "x", "logprobs": True}, "logprobs"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_engine_cannot_do_is_refused_by_name(endpoint: Endpoint, body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        job(endpoint, **body)
    assert refusal.value.param == param
    assert param.split("[", maxsplit=1)[0] in refusal.value.message


@pytest.mark.parametrize(
    ("prompt", "made"),
    [
        ("a", Job(7, prompt="a")),
        ([1, 2], Job(7, prompt_tokens=(1, 2))),
        (["a", "b"], Job(7, prompt="a", more_prompts=("b",))),
        ([[1, 2], [3]], Job(7, prompt_tokens=(1, 2), more_prompts=((3,),))),
    ],
)
def test_a_completion_may_have_several_prompts(prompt: Any, made: Job) -> None:
    assert job(Endpoint.COMPLETIONS, prompt=prompt, max_tokens=5) == replace(made, max_tokens=5)
    assert job(Endpoint.COMPLETIONS, prompt=prompt, n=2).answers == 2 * (1 + len(made.more_prompts))


@pytest.mark.parametrize("prompt", [[], [[]], ["a", [1, -1]], [[1, 2**31]], [True], [1, "a"], [["a"]]])
def test_a_prompt_that_is_none_is_refused(prompt: Any) -> None:
    raw = {"model": msgspec.Raw(b'"m"'), "prompt": msgspec.Raw(json.dumps(prompt).encode())}
    request = InferenceRequest(Endpoint.COMPLETIONS, "m", False, False, raw, 9)
    with pytest.raises(InvalidRequest) as refusal:
        job_of(request, 7)
    assert refusal.value.param == "prompt"


def test_options_of_completions_arrive() -> None:
    made = job(Endpoint.COMPLETIONS, prompt="x", echo=True, ignore_eos=True)
    assert (made.echo, made.ignore_eos) == (True, True)
    assert job(echo=True).echo is False


def test_null_and_empty_members_are_as_good_as_absent() -> None:
    assert job(audio=None, functions=[], suffix=None, tools=None, seed=None, stop=None, modalities=["text"]) == job()


def test_members_without_effect_are_listed_unless_they_never_have_one_here() -> None:
    body = {"model": "m", "messages": HI, "user": "u", "store": True, "verbosity": "low", "future": 1}
    assert ignored_members(parse(Endpoint.CHAT, json.dumps(body).encode())) == ["verbosity", "future"]


def test_a_limit_of_ours_stands_in_for_the_callers() -> None:
    for endpoint, body in ((Endpoint.CHAT, {"messages": HI}), (Endpoint.COMPLETIONS, {"prompt": "x"})):
        for asked, limit in ((None, 77), (5, 5)):
            request = parse(endpoint, json.dumps({"model": "m", "max_tokens": asked} | body).encode())
            request.output_tokens_added = 77
            assert job_of(request, 7).max_tokens == limit


def test_what_a_chat_template_may_ask_for_is_passed_on() -> None:
    assert job().template_options is None
    assert job(chat_template_kwargs={"enable_thinking": False}).template_options == {"enable_thinking": False}
    thinks = {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}
    assert job(reasoning_effort="high").template_options == thinks
    assert job(reasoning_effort="none").template_options == {"enable_thinking": False, "thinking": False}
    mixed = job(reasoning_effort="high", chat_template_kwargs={"thinking": False}).template_options
    assert mixed == thinks | {"thinking": False}


def test_what_a_template_may_ask_for_is_short() -> None:
    with pytest.raises(InvalidRequest, match="up to 65536 bytes") as refusal:
        job(chat_template_kwargs={"documents": [[]] * 30_000})
    assert (refusal.value.param, refusal.value.code) == ("chat_template_kwargs", "unsupported_parameter")
