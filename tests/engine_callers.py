"""Random callers of a whole gateway with engines of its own: what they send, and whether each answer is one answer."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.gateway_process import post
from tests.tiny_gguf import tiny_embedding_model, tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway_process import GatewayProcess

KEYS = {f"tenant-{number}": f"sk-a-key-of-tenant-{number}-0123456789" for number in range(3)}
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
ANSWERED_WITHIN_S = 30.0
SHARED = "you are a patient and careful clerk in the archive of a small town by the sea. " * 5


def engines_policy(folder: Path) -> dict[str, Any]:
    """A model of text, one whose chat template always fails, and one of vectors, for three orgs."""
    text, vectors = tiny_text_model(folder), tiny_embedding_model(folder)
    (folder / "broken.jinja").write_text("{{ raise_exception('never') }}")
    engine = {"kind": "llama_cpp", "threads": 1, "model_path": str(text), "slots": 4, "context_tokens": 1024}
    price = {"input": 1, "output": 2}
    return {
        "version": 1,
        "providers": {
            "text": engine,
            "broken": engine | {"slots": 1, "chat_template": str(folder / "broken.jinja")},
            "vectors": {"kind": "llama_cpp", "threads": 1, "model_path": str(vectors)},
        },
        "deployments": {name: {"provider": name, "model": name, "price": price} for name in ("text", "broken")}
        | {"vectors": {"provider": "vectors", "model": "vectors", "price": {"input": 1}}},
        "routes": [{"model": name, "targets": [name]} for name in ("text", "broken", "vectors")],
        "orgs": {name: {"weight": 1 + number} for number, name in enumerate(KEYS)},
        "keys": [{"name": name, "secret": secret, "org": name} for name, secret in KEYS.items()],
    }


@dataclass
class Exchange:
    """What one caller sent and got; nothing, where it hung up first."""

    kind: str
    answer: bytes = b""
    left: bool = False

    @property
    def status(self) -> int:
        return int(self.answer.split(maxsplit=2)[1])

    @property
    def request_id(self) -> str:
        head = self.answer.partition(b"\r\n\r\n")[0].decode().lower()
        return next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("x-request-id"))


@dataclass
class Callers:
    gateway: GatewayProcess
    seed: int
    exchanges: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    async def come_and_go(self, seconds: float, per_s: float) -> None:
        """Random calls at random times; returns when the last has ended."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            while loop.time() < until_s:
                await asyncio.sleep(self.rng.expovariate(per_s))
                for _ in range(16 if self.rng.random() < 0.03 else 1):
                    kind, path, body = self._draw()
                    data = post(path, body, key=self.rng.choice(list(KEYS.values())))
                    leaves_s = self.rng.choice((0.001, 0.02, 0.1)) if self.rng.random() < 0.25 else None
                    self.exchanges.append(exchange := Exchange(kind, left=leaves_s is not None))
                    group.create_task(self._call(exchange, data, leaves_s))

    def _draw(self) -> tuple[str, str, dict[str, Any]]:
        rng = self.rng
        if rng.random() < 0.15:
            texts = ["the cat and the sea " * rng.randrange(1, 9) for _ in range(rng.randrange(1, 6))]
            return "vectors", EMBEDDINGS, {"model": "vectors", "input": texts}
        kind, more = rng.choice(KINDS)
        text = (SHARED if rng.random() < 0.4 else "") + " ".join(rng.choices(("hello", "sea", "7", "übel"), k=6))
        body = {
            "model": "text", "messages": [{"role": "user", "content": text}], "max_tokens": rng.randrange(1, 50),
            "temperature": rng.choice((0, 1)), "stream": rng.random() < 0.6, **more,
        }  # fmt: skip
        return kind, CHAT, body

    async def _call(self, exchange: Exchange, data: bytes, leaves_s: float | None) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        writer.write(data)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S if leaves_s is None else leaves_s):
                exchange.answer = await reader.read()
                exchange.left = False
        except TimeoutError:
            if leaves_s is None:
                raise
        finally:
            writer.transport.abort()

    def check(self) -> Counter[str]:
        """Every call that stayed got one whole answer, of a kind that fits. How often each was seen."""
        seen: Counter[str] = Counter()
        for exchange in self.exchanges:
            if exchange.left:
                seen[f"{exchange.kind}: left"] += 1
            else:
                check_answer(exchange)
                seen[f"{exchange.kind}: {exchange.status}"] += 1
        return seen


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("plain", {}), ("plain", {}), ("plain", {}),
    ("several", {"n": 3}),
    ("stopped", {"stop": ["an", "e"]}),
    ("explained", {"logprobs": True, "top_logprobs": 3}),
    ("any object", {"response_format": {"type": "json_object"}}),
    ("bad grammar", {"response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "strict": True, "schema": {"type": "nonsense"}}}}),
    ("bad template", {"model": "broken"}),
    ("too long", {"messages": [{"role": "user", "content": "hello " * 3000}]}),
)  # fmt: skip
REFUSED = {"bad grammar", "bad template", "too long"}


def check_answer(exchange: Exchange) -> None:
    head, _, body = exchange.answer.partition(b"\r\n\r\n")
    about = f"{exchange.kind}: {exchange.answer[-400:]!r}"
    if exchange.status != 200:
        assert exchange.status in ({400} if exchange.kind in REFUSED else {429, 503}), about
        assert json.loads(body)["error"]["message"], about
        return
    assert exchange.kind not in REFUSED, about
    if b"text/event-stream" in head.lower():
        events = list(_events(body))
        assert events.count(b"[DONE]") == 1, about
        assert events[-1] == b"[DONE]", about
        choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
        ends = Counter(choice["index"] for choice in choices if choice["finish_reason"])
    else:
        data = json.loads(body)
        ends = Counter(choice["index"] for choice in data.get("choices", data.get("data")))
    assert set(ends.values()) == {1}, about
    assert len(ends) == (3 if exchange.kind == "several" else len(ends)), about


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event of a chunked stream; comments have none."""
    text, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        text, rest = text + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    yield from (event.removeprefix(b"data: ") for event in text.split(b"\n\n") if event and event[:1] != b":")


def footprints(pid: int) -> dict[str, tuple[int, int, int]]:
    """Resident bytes, threads and open files of a gateway and of its workers, by their commands."""
    found = {"gateway": _footprint(Path(f"/proc/{pid}"))}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _parent(folder) == pid:
            found[f"worker {folder.name}"] = _footprint(folder)
    return found


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0  # it ended just now


def _footprint(folder: Path) -> tuple[int, int, int]:
    pages = int((folder / "statm").read_text().split()[1])
    return pages * 4096, len(list((folder / "task").iterdir())), len(list((folder / "fd").iterdir()))
