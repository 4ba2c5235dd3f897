"""Items 54 to 61 of the catalogue of bad inputs: well-formed bodies that mean nothing, or mean harm.

Item 58 holds at the top level only, for a tool may well have a property named `timeout`. Items 59, 62, 63 and 65 belong
to what the gateway does not do yet: fetch, keep files, remember idempotency keys, guard.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from adapters.openai_smuggled import OVERRIDES
from tests.end_to_end.siege import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    GOOD_BODY,
    INFERENCE,
    MESSAGES,
    RESPONSES,
    Case,
    besieged,
)
from tests.gateway_process import post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.siege import Siege

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODIES: dict[str, dict[str, Any]] = {
    CHAT: GOOD_BODY,
    COMPLETIONS: {"model": "m", "prompt": "hi"},
    EMBEDDINGS: {"model": "m", "input": "hi"},
    RESPONSES: {"model": "m", "input": "hi"},
}
GOOD = json.dumps(GOOD_BODY).encode()
ROUTING = (
    "api_base", "base_url", "api_key", "custom_llm_provider", "user_config", "extra_headers", "proxies", "timeout",
    "fallbacks", "mock_response",
)  # fmt: skip
NO_LISTS: tuple[Any, ...] = ("hi", {}, 7, None, [])
NO_SHARES: tuple[Any, ...] = (-0.1, 1.1, "all")
NO_FLAGS: tuple[Any, ...] = ("yes", 1, [], {})
NO_COUNTS: tuple[Any, ...] = (-1, 0, 1.5, "10", True, 2**63)
USER = {"role": "user", "content": "hi"}


def bad(item: int, field: str, value: Any, param: str | None = None, path: str = CHAT) -> Case:
    shown = repr(value) if len(repr(value)) < 30 else type(value).__name__
    body = BODIES[path] | {field: value}
    return Case(item, f"{field} {shown} {path}", post(path, body), {400}, None, param or field)


def without(field: str, path: str = CHAT) -> Case:
    body = {name: value for name, value in BODIES[path].items() if name != field}
    return Case(54, f"no {field} {path}", post(path, body), {400}, "missing_required_parameter", field)


def message(number: int, name: str, param: str, *messages: Any) -> Case:
    return Case(55, f"{number} {name}", post(CHAT, GOOD_BODY | {"messages": list(messages)}), {400}, None, param)


def raw_number(field: str, number: str) -> Case:
    body = GOOD[:-1] + f',"{field}":{number}}}'.encode()
    return Case(57, f"{field} {number}", post(CHAT, body), {400})


CASES = [
    *(without("model", path) for path in INFERENCE),
    *(bad(54, "model", model, path=path) for model in ("", 7, ["m"], None, "m" * 10_240) for path in INFERENCE),
    *(
        Case(
            54,
            f"unknown model {model!r}",
            post(CHAT, BODIES[CHAT] | {"model": model}),
            {404},
            "model_not_found",
            "model",
        )
        for model in (
            "nope",
            "M",
            " m",
            "m ",
            "../admin",
            "gpt-4o%0d%0a",
            "secret%2fmodel",
            "\u217f",
            "m\u0301",
            "\uff4d",
            "*",
            "?",
            "m/../m",
            "m" * 512,
            "a",
            "gpt-4o-mini",
            "{{7*7}}",
            "' OR 1=1 --",
        )
    ),
    Case(
        54, "line break in the model", post(CHAT, BODIES[CHAT] | {"model": "m\r\nX-Injected: 1"}), {400}, None, "model"
    ),
    without("messages"),
    *(bad(55, "messages", value) for value in NO_LISTS),
    message(1, "a text", "messages[0]", "hi"),
    message(2, "no role", "messages[0].role", {"content": "hi"}),
    message(3, "bad role", "messages[3].role", USER, USER, USER, {"role": "root", "content": "hi"}),
    message(4, "null content", "messages[3].content", USER, USER, USER, {"role": "user", "content": None}),
    message(5, "number content", "messages[1].content", USER, {"role": "user", "content": 7}),
    message(
        6, "unknown part", "messages[3].content", USER, USER, USER, {"role": "user", "content": [{"type": "smell"}]}
    ),
    message(7, "text part without text", "messages[0].content", {"role": "user", "content": [{"type": "text"}]}),
    message(
        8,
        "link to a file",
        "messages[0].content",
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
    ),
    *(bad(56, "max_tokens", value) for value in (*NO_COUNTS, 2**31, [1])),
    *(bad(56, "max_completion_tokens", value) for value in NO_COUNTS),
    *(bad(56, "max_tokens", value, path=COMPLETIONS) for value in NO_COUNTS),
    *(bad(56, "max_output_tokens", value, path=RESPONSES) for value in NO_COUNTS),
    *(bad(56, "dimensions", value, path=EMBEDDINGS) for value in NO_COUNTS),
    Case(56, "both maxima differ", post(CHAT, GOOD_BODY | {"max_tokens": 1, "max_completion_tokens": 2}), {400}),
    *(bad(57, "n", value) for value in (0, -1, 10**6, 1.5, "1", True)),
    *(bad(57, "best_of", value, path=COMPLETIONS) for value in (0, -1, 10**6, "2")),
    *(bad(57, "temperature", value) for value in ("hot", -1, 1e9, [1])),
    *(raw_number("temperature", number) for number in ("NaN", "1e999", "-Infinity")),
    *(bad(57, "top_p", value) for value in NO_SHARES),
    *(bad(57, "stream", value) for value in NO_FLAGS),
    *(bad(57, "stop", value) for value in ("s" * (5 << 20), ["a"] * 5, 7)),
    bad(57, "stop", [7], "stop[0]"),
    bad(57, "logit_bias", {str(number): 1 for number in range(10**6)}),
    *(bad(57, "logit_bias", value) for value in ({"1": 101}, {"1": "a"}, [1])),
    *(bad(57, "stream_options", value) for value in ({"include_usage": True}, "yes")),
    *(
        Case(
            58,
            f"{name} {path}",
            post(path, BODIES[path] | {name: "http://127.0.0.1:9/"}),
            {400},
            "unknown_parameter",
            name,
        )
        for name in ROUTING
        for path in INFERENCE
    ),
    *(
        Case(58, name, post(CHAT, BODIES[CHAT] | {name: {"a": 1}}), {400}, "unknown_parameter", name)
        for name in sorted(OVERRIDES - set(ROUTING))
    ),
    Case(
        58,
        "escaped name",
        post(CHAT, GOOD[:-1] + b',"api\\u005fbase":"http://127.0.0.1:9/"}'),
        {400},
        "unknown_parameter",
    ),
    bad(
        60,
        "tools",
        [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {
                        "$ref": "#/$defs/a",
                        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
                    },
                },
            }
        ],
    ),
    Case(
        60,
        "schema 100,000 deep",
        post(
            CHAT,
            GOOD[:-1]
            + b',"tools":[{"function":{"parameters":%b1%b}}]}' % (b'{"properties":' * 100_000, b"}" * 100_000),
        ),
        {400},
    ),
    bad(60, "tools", "all of them"),
    *(
        bad(61, "metadata", value)
        for value in ("a", {"a": 1}, {"a": "b" * 513}, {"k" * 65: "v"}, {str(n): "" for n in range(17)})
    ),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("semantics")) as siege:
        yield siege


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_bad_requests_are_refused(siege: Siege, case: Case) -> None:
    got = await siege.refuses(case)
    assert len(got.body) < 2048, "a refusal does not hand the body back"


@pytest.mark.parametrize(
    "field", ["max_tokens", "max_completion_tokens", "n", "temperature", "stop", "user", "metadata"]
)
async def test_null_is_as_good_as_absent(siege: Siege, field: str) -> None:
    await siege.accepts(post(CHAT, GOOD_BODY | {field: None}))


async def test_a_tool_may_have_any_property(siege: Siege) -> None:
    """Item 58 below the top level."""
    properties = {name: {"type": "string"} for name in ROUTING}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": properties}}}
    await siege.accepts(post(CHAT, {"model": "m", "messages": MESSAGES, "tools": [tool]}))
