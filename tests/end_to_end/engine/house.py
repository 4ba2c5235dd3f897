"""One gateway over engines of tiny models, each set up for what some tests look at, and a caller of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.gateway_process import KEY
from tests.scripted_gguf import scripted_model
from tests.tiny_gguf import TextShape, tiny_adapter, tiny_embedding_model, tiny_rerank_model, tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gateway_process import GatewayProcess

CHAT, COMPLETIONS, EMBEDDINGS, RERANK = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank"
WEATHER = '{"name": "weather", "arguments": {"city": "Paris"}}'
CLOCK = '{"name": "clock", "arguments": {"zone": "UTC+1", "exact": true}}'
SCRIPTS = {
    "A": "Grüße aus Ålesund: 三文魚 und ☃ für alle!",
    "B": f"<tool_call>\n{WEATHER}\n</tool_call>",
    "C": f"Let me see.\n<tool_call>\n{WEATHER}\n</tool_call>\n<tool_call>\n{CLOCK}\n</tool_call>",
    "D": "<think>\nThey greet me; I greet back.\n</think>\n\nGood day!",
    "E": '<tool_call>\n{"name": "weather", "arguments": {"city": \n',
    "F": 'A call is {"name": "weather"}, written <tool_call>.',
    "G": '<tool_call>\n{"name": "launch", "arguments": {}}\n</tool_call>',
    "H": "one END two END three",
}
_SMALL = {"kind": "llama_cpp", "threads": 1, "load": "on_demand"}


def policy(folder: Path) -> dict[str, Any]:
    """`steady` answers alike each time; `thrifty` has one slot and remembers it; `brief` ends its texts by itself."""
    text = _SMALL | {"model_path": str(tiny_text_model(folder))}
    brief = tiny_text_model(folder, TextShape(eos_logit=3.0), name="brief.gguf")
    small = text | {"slots": 1, "context_tokens": 256}
    providers = {
        "steady": text | {"slots": 2, "context_tokens": 1024, "deterministic": True},
        "thrifty": text | {"slots": 1, "context_tokens": 512},
        "brief": _SMALL | {"model_path": str(brief), "slots": 1, "context_tokens": 512},
        "scripted": _SMALL | {"model_path": str(scripted_model(folder, SCRIPTS)), "slots": 2, "context_tokens": 1024},
        "narrow": small,
        "cutting": small | {"on_overflow": "truncate"},
        "shifting": small | {"on_overflow": "shift"},
        "pooled": text | {"slots": 4, "context_tokens": 256, "kv": "unified"},
        "crowded": text | {"slots": 2, "context_tokens": 1024, "max_queue": 2},
        "styled": text
        | {"slots": 4, "context_tokens": 256, "deterministic": True, "adapters": {"loud": str(tiny_adapter(folder))}},
        "embed": _SMALL | {"model_path": str(tiny_embedding_model(folder))},
        "rank": _SMALL | {"model_path": str(tiny_rerank_model(folder))},
    }
    price = {"input": 1.0, "cached_input": 0.5, "output": 2.0}
    names = {name: name for name in providers} | {"loud": "styled:loud"}
    return {
        "providers": providers,
        "deployments": {
            name: {"provider": model.partition(":")[0], "model": model, "price": price} for name, model in names.items()
        },
        "routes": [{"model": name, "targets": [name], "retry": {"attempts": 1}} for name in names],
    }


@dataclass(frozen=True)
class Stream:
    """A stream that ended as it should."""

    chunks: list[dict[str, Any]]
    headers: httpx.Headers

    def text(self, choice: int = 0) -> str:
        return "".join(self._said(one) for one in self.choices(choice))

    def choices(self, index: int = 0) -> list[dict[str, Any]]:
        return [one for chunk in self.chunks for one in chunk["choices"] if one["index"] == index]

    def reason(self, choice: int = 0) -> str:
        """Why it is over, which is said once."""
        (reason,) = [one["finish_reason"] for one in self.choices(choice) if one["finish_reason"]]
        return str(reason)

    def logprobs(self) -> list[dict[str, Any]]:
        """Of a conversation's tokens."""
        return [token for one in self.choices() if one["logprobs"] for token in one["logprobs"]["content"]]

    @staticmethod
    def _said(choice: dict[str, Any]) -> str:
        return str(choice["text"] if "text" in choice else choice["delta"].get("content") or "")


class House:
    """The gateway as a caller and as an operator have it."""

    def __init__(self, gateway: GatewayProcess, admin: Callable[[str], tuple[int, str]]) -> None:
        self.gateway = gateway
        self.root = gateway.base_url.removesuffix("/v1")
        self.http = httpx.Client(base_url=self.root, headers={"authorization": f"Bearer {KEY}"}, timeout=30)
        self._admin = admin

    def post(self, path: str, body: object) -> httpx.Response:
        return self.http.post(path, json=body)

    def asked(self, path: str, body: object) -> dict[str, Any]:
        """A good answer."""
        answer = self.post(path, body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def chat(self, model: str, said: str | list[dict[str, Any]], **more: object) -> dict[str, Any]:
        return self.asked(CHAT, conversation(model, said) | more)

    def complete(self, model: str, prompt: object, **more: object) -> dict[str, Any]:
        return self.asked(COMPLETIONS, {"model": model, "prompt": prompt, "temperature": 0} | more)

    def refused(self, path: str, body: object, status: int = 400) -> dict[str, Any]:
        """The error, as OpenAI's clients read it."""
        answer = self.post(path, body)
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert isinstance(error["message"], str)
        assert {"type", "code", "param"} <= set(error)
        return dict(error)

    def stream(self, path: str, body: dict[str, Any]) -> Stream:
        with self.http.stream("POST", path, json=body | {"stream": True}) as answer:
            text = answer.read().decode()
        assert answer.status_code == 200, text
        assert answer.headers["content-type"].startswith("text/event-stream")
        *events, done, nothing = text.split("\n\n")
        assert (done, nothing) == ("data: [DONE]", "")
        told = [event for event in events if not event.startswith(":")]  # comments, such as what it cost
        return Stream([json.loads(event.removeprefix("data: ")) for event in told], answer.headers)

    def live(self, name: str) -> dict[str, Any]:
        """What operators see of a deployment's engine."""
        status, body = self._admin("/deployments")
        assert status == 200
        (found,) = [one for one in json.loads(body)["deployments"] if one["name"] == name]
        return dict(found["live"])

    def row(self, request_id: str) -> dict[str, Any]:
        """The one ledger row of a request."""
        until_s = time.monotonic() + 5
        while not (rows := [row for row in self.gateway.ledger() if row["request_id"] == request_id]):
            assert time.monotonic() < until_s, "no row"
            time.sleep(0.01)
        (row,) = rows
        return row

    def cancelled(self, name: str) -> list[dict[str, Any]]:
        """The rows of those who left the deployment, as far as they are written."""
        return [row for row in self.gateway.ledger() if row["deployment"] == name and row["cancelled"]]

    def until_idle(self, name: str) -> None:
        """Return once no call waits for the deployment's engine or runs there."""
        until_s = time.monotonic() + 5
        while (live := self.live(name))["in_engine"] or live["running"] or live["waiting"]:
            assert time.monotonic() < until_s, live
            time.sleep(0.01)


def conversation(model: str, said: str | list[dict[str, Any]]) -> dict[str, Any]:
    """A request at temperature 0. A text is what the user says."""
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
    return {"model": model, "messages": messages, "temperature": 0}


def rendered(*turns: tuple[str, str]) -> str:
    """What the tiny models' template makes of these roles and texts."""
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + "<|im_start|>assistant\n"
