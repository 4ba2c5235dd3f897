"""What is sent and what is answered: one chat request of a given size, one completion, one stream."""

from __future__ import annotations

import json
import random

PROSE = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up what said its about"
)
COMPLETION = {
    "id": "chatcmpl-mocked0000000000000000000001",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The capital of France is Paris. It has been the political and cultural centre of the "
                "country for many centuries, and it remains its largest city by population today.",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 187,
        "completion_tokens": 34,
        "total_tokens": 221,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_0123456789",
}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def request_body(model: str, size_bytes: int = 1024, *, stream: bool = False) -> bytes:
    """A chat request of about `size_bytes`: the same words every time."""
    asked = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    words = random.Random(7).choices(PROSE.split(), k=size_bytes // 3)
    room = size_bytes - len(_chat(model, "", asked))
    return _chat(model, " ".join(words)[: max(room, 1)], asked)


def _chat(model: str, text: str, asked: dict[str, object]) -> bytes:
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]
    return compact({"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 128, **asked})


def _chunk(choices: list[object], usage: object = None) -> bytes:
    head = {key: COMPLETION[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")}
    body = {**head, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + compact(body) + b"\n\n"


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> object:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


CLOCK = b"9" * 16  # where the send time goes
FIRST_EVENT = _chunk([_choice({"role": "assistant", "content": ""})])
TEXT_BEFORE, TEXT_AFTER = _chunk([_choice({"content": f"t{CLOCK.decode()} "})]).split(CLOCK)
LAST_EVENTS = (_chunk([_choice({}, "stop")]), _chunk([], COMPLETION["usage"]), b"data: [DONE]\n\n")
