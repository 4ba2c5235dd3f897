"""What OpenAI's API answers, always the same, so that a call with and without the gateway can be compared.

    async with ScriptedUpstream() as upstream:
        upstream.otherwise(forever(speaks_openai(asyncio.Event())))

The request decides: `tools` are called, a JSON schema is obeyed, `n` choices come, `encoding_format` is honoured. Some
models misbehave, by name: `status-429` answers that status, `flaky` fails once and is well then, `complains` breaks a
stream with an error event (when `onward` is set), `breaks-off` without one, `endless` never ends it, and `silent` sends
nothing at all.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

from tests.scripted_upstream import answer, chunk, chunked, events, head, request, send, stall, waits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tests.scripted_upstream import Peer, Received, Step

TEXT = "Grüße aus Genève! 🚆"
CALL = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
FLOATS = (0.25, -1.5, 3.0)
COMPLAINT = {"error": {"message": "The model broke.", "type": "server_error", "code": "server_error"}}
STATUSES = (400, 401, 403, 404, 422, 429, 500, 503)
MODELS = ("gpt-5-mini", "text-embedding-3-small", "flaky", "complains", "breaks-off", "endless", "silent")
RETRY_AFTER_S = 7


def speaks_openai(onward: asyncio.Event) -> Step:
    """Read one request and answer it."""

    async def step(peer: Peer) -> None:
        await request()(peer)
        received = peer.requests[-1]
        body = json.loads(received.body)
        model = str(body["model"])
        if model == "silent":
            await stall()(peer)
        if model in ("endless", "complains"):
            await send(head(content_type="text/event-stream", transfer_encoding="chunked"))(peer)
            await send(chunk(b"".join(chat_stream(body)[:2])))(peer)
            await (stall() if model == "endless" else waits(onward))(peer)
            await send(chunk(events(json.dumps(COMPLAINT))) + chunk(b""))(peer)
            return
        failures = sum(json.loads(earlier.body)["model"] == "flaky" for earlier in peer.upstream.requests)
        if model.startswith("status-") or (model == "flaky" and failures % 2):
            await send(refusal(int(model.removeprefix("status-")) if model != "flaky" else 503))(peer)
        else:
            await send(reply_to(received, body))(peer)

    return step


def refusal(status: int) -> bytes:
    error = {"message": f"No: {status}.", "type": "some_error", "param": "messages", "code": f"code_{status}"}
    headers = [("retry-after", str(RETRY_AFTER_S))] if status == 429 else []
    return answer(json.dumps({"error": error}).encode(), status=status, headers=headers)


def reply_to(received: Received, body: dict[str, Any]) -> bytes:
    """The bytes of a good answer; of a broken one where the model is known for it."""
    path = received.path.removeprefix("/v1/")
    if path == "embeddings":
        return answer(json.dumps(embeddings(body)).encode())
    if path == "rerank":
        return answer(json.dumps(ranking(body)).encode())
    build, cut, content_at = BUILDERS[path]
    if not body.get("stream"):
        return answer(json.dumps(build(body)).encode())
    pieces = cut(body)
    return chunked(*pieces[: content_at + 1] if body["model"] == "breaks-off" else pieces)


# chat


def usage(body: dict[str, Any]) -> dict[str, Any]:
    thought = 5 if body.get("reasoning_effort") else 0
    return {
        "prompt_tokens": 11,
        "completion_tokens": 7 + thought,
        "total_tokens": 18 + thought,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }


def text_for(body: dict[str, Any]) -> str:
    asked = (body.get("response_format") or (body.get("text") or {}).get("format") or {}).get("type")
    return TEXT if asked in (None, "text") else '{"city":"Paris","degrees":21}'


def calls_tool(body: dict[str, Any]) -> bool:
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def chat(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{body['model']}-2026-01-01",
        "choices": [_choice(body, number) for number in range(body.get("n") or 1)],
        "usage": usage(body),
        "service_tier": "default",
        "system_fingerprint": body.get("user") or "fp_1",
        "field_of_tomorrow": {"kept": True},
    }


def _choice(body: dict[str, Any], number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text_for(body), "refusal": None, "annotations": []}
    if calls_tool(body):
        message |= {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": CALL}]}
    return {
        "index": number,
        "message": message,
        "logprobs": _logprobs(text_for(body)) if body.get("logprobs") else None,
        "finish_reason": "tool_calls" if calls_tool(body) else "stop",
    }


def _logprobs(token: str) -> dict[str, Any]:
    found = {"token": token, "logprob": -0.125, "bytes": list(token.encode())}
    return {"content": [found | {"top_logprobs": [found]}], "refusal": None}


def chat_stream(body: dict[str, Any]) -> list[bytes]:
    """One chunk for the role, one a word or a piece of arguments, one for the end, one for usage if asked."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if calls_tool(body) else "", "refusal": None}]
    if calls_tool(body):
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": CALL["name"], "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": char}}]} for char in CALL["arguments"]]
    else:
        deltas += [{"content": word} for word in _words(text_for(body))]
    chunks: list[list[dict[str, Any]]] = []
    for number in range(body.get("n") or 1):
        logprobs = _logprobs("x") if body.get("logprobs") else None
        rows: list[dict[str, Any]] = [
            {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": None} for delta in deltas
        ]
        ended = "tool_calls" if calls_tool(body) else "stop"
        rows.append({"index": number, "delta": {}, "logprobs": None, "finish_reason": ended})
        chunks += [[row] for row in rows]
    start: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": f"{body['model']}-2026-01-01",
        "system_fingerprint": body.get("user") or "fp_1",
    }
    return _framed(body, start, chunks)


def _framed(body: dict[str, Any], start: dict[str, Any], chunks: list[list[dict[str, Any]]]) -> list[bytes]:
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    extra = {"usage": None} if wants_usage else {}
    framed = [events(json.dumps(start | {"choices": choices} | extra)) for choices in chunks]
    if wants_usage:
        framed.append(events(json.dumps(start | {"choices": [], "usage": usage(body)})))
    return [*framed, events("[DONE]")]


def _words(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


# completions and embeddings


def completion(body: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
    start = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
    return start | {"choices": [choice], "usage": usage(body)}


def completion_stream(body: dict[str, Any]) -> list[bytes]:
    texts = [(word, None) for word in _words(TEXT)] + [("", "stop")]
    chunks = [[{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}] for text, reason in texts]
    return _framed(body, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}, chunks)


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    packed = base64.b64encode(struct.pack(f"<{len(FLOATS)}f", *FLOATS)).decode()
    vector = packed if body.get("encoding_format") == "base64" else list(FLOATS)
    inputs = body["input"] if isinstance(body["input"], list) and not isinstance(body["input"][0], int) else [0]
    data = [{"object": "embedding", "index": number, "embedding": vector} for number in range(len(inputs))]
    return {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 6, "total_tokens": 6}}


def ranking(body: dict[str, Any]) -> dict[str, Any]:
    """The later a document, the better. Usage as Jina has it."""
    results = [{"index": at, "relevance_score": at / 8} for at in reversed(range(len(body["documents"])))]
    return {"model": body["model"], "results": results[: body.get("top_n")], "usage": {"total_tokens": 24}}


# responses


def response(body: dict[str, Any], *, done: bool = True) -> dict[str, Any]:
    """A response, complete or only begun."""
    counts = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 18,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed" if done else "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "model": f"{body['model']}-2026-01-01",
        "output": [_message(text_for(body))] if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "metadata": body.get("metadata") or {},
        "usage": counts if done else None,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(text: str | None) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    status = "in_progress" if text is None else "completed"
    return {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": content}


def response_stream(body: dict[str, Any]) -> list[bytes]:
    text = text_for(body)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    said: list[dict[str, Any]] = [
        {"type": "response.created", "response": response(body, done=False)},
        {"type": "response.in_progress", "response": response(body, done=False)},
        {"type": "response.output_item.added", "output_index": 0, "item": _message(None)},
        {"type": "response.content_part.added", **place, "part": _part("")},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in _words(text)),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": _part(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": _message(text)},
        {"type": "response.completed", "response": response(body)},
    ]
    numbered = [event | {"sequence_number": number} for number, event in enumerate(said)]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in numbered]


# By path: the whole answer, the pieces of a stream, and which of these is the first with content.
BUILDERS: dict[str, tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], list[bytes]], int]] = {
    "chat/completions": (chat, chat_stream, 1),
    "completions": (completion, completion_stream, 0),
    "responses": (response, response_stream, 4),
}
