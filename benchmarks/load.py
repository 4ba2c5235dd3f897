"""Load from one core: closed loops of requests or streams, and paired requests at a low rate. Prints one JSON line.

python -m benchmarks.load requests URL --connections 64 --seconds 3
python -m benchmarks.load requests URL --unlike                 no two requests ask the same
python -m benchmarks.load streams URL --connections 64 --seconds 5
python -m benchmarks.load pair DIRECT_URL GATEWAY_URL --rate 50 --seconds 4
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.bodies import request_body

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
UNLIKE = b"Request 0000000000000000. "
SENT_AT = re.compile(rb'"t(\d{16}) ')


def percentile_us(values_ns: list[int], percent: float) -> float:
    ordered = sorted(values_ns)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000, 1) if ordered else 0.0


def request_bytes(url: str, key: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Caller(asyncio.Protocol):
    """One keep-alive connection that sends the same request again and again, when told to."""

    def __init__(self, request: bytes, finished: Callable[[Caller], None]) -> None:
        self.request = request
        self.finished = finished
        self.transport: asyncio.WriteTransport | None = None
        self.received = bytearray()
        self.started_ns = self.ended_ns = self.first_text_ns = 0
        self.delays_ns: list[int] = []
        self.chunks = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
        self.finished(self)

    def send(self) -> None:
        assert self.transport is not None
        self.received.clear()
        self.delays_ns = []
        self.first_text_ns = self.chunks = 0
        self.started_ns = time.monotonic_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.received += data
        self.chunks += data.count(b"data: ")
        for sent in SENT_AT.finditer(data):
            self.first_text_ns = self.first_text_ns or now
            self.delays_ns.append(now - int(sent[1]))
        if self.is_complete():
            self.ended_ns = now
            self.finished(self)

    def is_complete(self) -> bool:
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return False
        length = LENGTH.search(self.received, 0, head + 2)
        if length:
            return len(self.received) >= head + 4 + int(length[1])
        return self.received.endswith(b"0\r\n\r\n")

    @property
    def good(self) -> bool:
        is_stream = self.chunks > 0
        return self.received.startswith(b"HTTP/1.1 200") and (not is_stream or b"data: [DONE]" in self.received)


async def connect(url: str, request: bytes, finished: Callable[[Caller], None], kind: type[Caller] = Caller) -> Caller:
    parts = urlsplit(url)
    _, caller = await asyncio.get_running_loop().create_connection(
        lambda: kind(request, finished), str(parts.hostname), int(parts.port or 80)
    )
    return caller


class Unlike(Caller):
    """Asks something else each time, in as many bytes."""

    def send(self) -> None:
        before, _, after = self.request.partition(b"Request ")
        self.request = b"%bRequest %016d%b" % (before, time.monotonic_ns(), after[16:])
        super().send()


class Tally:
    """What a closed loop has seen."""

    def __init__(self) -> None:
        self.took_ns: list[int] = []
        self.first_text_ns: list[int] = []
        self.delays_ns: list[int] = []
        self.chunks = self.bad = 0

    def add(self, caller: Caller) -> None:
        if caller.lost or not caller.good:
            self.bad += 1
            return
        self.took_ns.append(caller.ended_ns - caller.started_ns)
        self.chunks += caller.chunks
        self.delays_ns += caller.delays_ns
        if caller.first_text_ns:
            self.first_text_ns.append(caller.first_text_ns - caller.started_ns)

    def row(self, seconds: float) -> dict[str, float]:
        row = {
            "requests": len(self.took_ns),
            "seconds": round(seconds, 3),
            "bad": self.bad,
            "p50_us": percentile_us(self.took_ns, 50),
            "p99_us": percentile_us(self.took_ns, 99),
        }
        if self.first_text_ns:
            row |= {
                "chunks": self.chunks,
                "ttft_p50_us": percentile_us(self.first_text_ns, 50),
                "ttft_p99_us": percentile_us(self.first_text_ns, 99),
                "delay_p50_us": percentile_us(self.delays_ns, 50),
                "delay_p99_us": percentile_us(self.delays_ns, 99),
            }
        return row


async def closed_loop(options: argparse.Namespace, *, stream: bool) -> dict[str, float]:
    """Every connection sends its next request when it has its answer, until time or count is up."""
    body = request_body(options.model, options.bytes, stream=stream)
    if options.unlike:
        body = body.replace(b'"user","content":"', b'"user","content":"' + UNLIKE)
    request = request_bytes(options.url, options.key, body)
    tally, left = Tally(), options.connections
    end = time.monotonic() + options.seconds
    done = asyncio.get_running_loop().create_future()

    def finished(caller: Caller) -> None:
        nonlocal left
        if caller.transport is None or done.done():
            return
        tally.add(caller)
        enough = options.count and len(tally.took_ns) + tally.bad >= options.count
        if not caller.lost and not enough and time.monotonic() < end:
            caller.send()
            return
        left -= 1
        caller.transport = None
        if left == 0:
            done.set_result(None)

    kind = Unlike if options.unlike else Caller
    callers = [await connect(options.url, request, finished, kind) for _ in range(options.connections)]
    started = time.monotonic()
    for caller in callers:
        caller.send()
    await asyncio.wait_for(done, options.seconds + 30)
    return tally.row(time.monotonic() - started)


async def pair(options: argparse.Namespace) -> dict[str, float]:
    """At a low fixed rate, a request straight to the upstream and one through the gateway, in changing order."""
    took_ns: dict[str, list[int]] = {"direct": [], "gateway": []}
    answered = asyncio.Event()
    body = request_body(options.model, options.bytes)
    callers = {
        name: await connect(url, request_bytes(url, options.key, body), lambda _: answered.set())
        for name, url in (("direct", options.direct), ("gateway", options.url))
    }
    rounds = int(options.rate * options.seconds)
    for number in range(rounds + 20):
        for name in sorted(callers, reverse=bool(number % 2)):
            await asyncio.sleep(0.5 / options.rate)
            answered.clear()
            callers[name].send()
            await asyncio.wait_for(answered.wait(), 10)
            if number >= 20:  # the first ones warm up
                took_ns[name].append(callers[name].ended_ns - callers[name].started_ns)
    row = {
        f"added_p{p}_us": percentile_us(took_ns["gateway"], p) - percentile_us(took_ns["direct"], p) for p in (50, 99)
    }
    return {name: round(value, 1) for name, value in row.items()} | {"requests": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("requests", "streams", "pair"))
    parser.add_argument("direct", nargs="?", help="the upstream's address, with `pair`")
    parser.add_argument("url")
    parser.add_argument("--key", default="")
    parser.add_argument("--model", default="mock")
    parser.add_argument("--bytes", type=int, default=1024)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--count", type=int, default=0, help="stop after so many requests")
    parser.add_argument("--unlike", action="store_true", help="ask something else each time")
    parser.add_argument("--rate", type=float, default=50)
    options = parser.parse_args()
    work = pair(options) if options.kind == "pair" else closed_loop(options, stream=options.kind == "streams")
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
