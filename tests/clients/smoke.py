"""What an application does with the official SDK, told as one JSON line. Runs where only that SDK is installed.

Usage: BASE_URL=... KEY=... python smoke.py [CHECK...]. `leave` ends the list: it leaves a stream, says so, and waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import openai
from pydantic import BaseModel

CHAT: Any = {
    "model": os.environ.get("MODEL", "gpt-5-mini"),
    "messages": [{"role": "user", "content": "What is 2+2?"}],
    "temperature": 0,
    "max_tokens": 24,
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
REFUSED: dict[str, Any] = {
    "400": {"model": "gpt-5-mini", "temperature": 3},
    "404": {"model": "gpt-9"},
    "422": {"model": "status-422"},
    "429": {"model": "status-429"},
    "500": {"model": "status-500"},
}

client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["KEY"], max_retries=0)
stranger = client.with_options(api_key="sk-of-nobody-at-all-0123456789")


class Weather(BaseModel):
    city: str
    degrees: int


def chat() -> Any:
    reply = client.chat.completions.create(**CHAT)
    [choice] = reply.choices
    return {"text": choice.message.content, "finish": choice.finish_reason, "usage": bool(reply.usage)}


async def _async_chat() -> Any:
    async with openai.AsyncOpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["KEY"]) as away:
        reply = await away.chat.completions.create(**CHAT)
        chunks = [chunk async for chunk in await away.chat.completions.create(**CHAT, stream=True)]
    return [reply.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)]


def async_chat() -> Any:
    return asyncio.run(_async_chat())


def stream() -> Any:
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    metered = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
    last = metered[-1]
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "usage": [chunk.usage for chunk in chunks if chunk.usage],
        "last": [len(last.choices), last.usage.total_tokens if last.usage else None],
    }


def stream_helper() -> Any:
    with client.chat.completions.stream(**CHAT) as streamed:
        return streamed.get_final_completion().choices[0].message.content


def tools() -> Any:
    calls = client.chat.completions.create(**CHAT, tools=[WEATHER]).choices[0].message.tool_calls or []
    with client.chat.completions.stream(**CHAT, tools=[WEATHER]) as streamed:
        calls += streamed.get_final_completion().choices[0].message.tool_calls or []
    return [[call.function.name, json.loads(call.function.arguments)] for call in calls if call.type == "function"]


def structured() -> Any:
    parsed = client.chat.completions.parse(**CHAT, response_format=Weather).choices[0].message.parsed
    return parsed.model_dump() if parsed else None


def embeddings() -> Any:
    return [each.embedding for each in client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data]


def completion() -> Any:
    return client.completions.create(model="gpt-5-mini", prompt="Hi").choices[0].text


def responses() -> Any:
    whole = client.responses.create(model="gpt-5-mini", input="Hi").output_text
    with client.responses.stream(model="gpt-5-mini", input="Hi") as streamed:
        return [whole, streamed.get_final_response().output_text]


def models() -> Any:
    return [client.models.list().data[0].id, client.models.retrieve("gpt-5-mini").id]


def request_id() -> Any:
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    shown = {str(raw.headers["x-request-id"]), str(raw.parse()._request_id)}
    return [len(shown), shown.pop()[:4], raw.headers["x-pointsman-deployment"], raw.headers["x-pointsman-attempts"]]


def errors() -> Any:
    found = {}
    for name, ask in {"401": CHAT, **REFUSED}.items():
        try:
            (stranger if name == "401" else client).chat.completions.create(**CHAT | ask)
        except openai.APIStatusError as error:
            told = [error.status_code, error.code, error.type, error.param, (error.request_id or "")[:4]]
            found[name] = [type(error).__name__, *told]
    return found


def broken_stream() -> Any:
    try:
        list(client.chat.completions.create(**CHAT | {"model": "breaks-off"}, stream=True))
    except openai.APIConnectionError:
        return "a lost connection"
    except openai.APIError as error:
        return error.code
    return "taken for a success"


def versions() -> Any:
    return [openai.__version__, ".".join(map(str, sys.version_info[:3]))]


def leave() -> None:
    streamed = client.chat.completions.create(**CHAT | {"model": "endless"}, stream=True)
    next(iter(streamed))
    streamed.close()
    print("left", flush=True)  # noqa: T201 - what the test waits for
    sys.stdin.read()


CHECKS = {
    check.__name__: check
    for check in (
        chat, async_chat, stream, stream_helper, tools, structured, embeddings, completion, responses, models,
        request_id, errors, broken_stream, versions,
    )
}  # fmt: skip

if __name__ == "__main__":
    asked = [name for name in sys.argv[1:] if name != "leave"] or CHECKS
    print(json.dumps({name: CHECKS[name]() for name in asked}), flush=True)  # noqa: T201 - the report
    if "leave" in sys.argv:
        leave()
