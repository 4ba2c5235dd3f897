"""One engine under load, for a machine of its own: more and more callers, one table.

python -m benchmarks.engine.alone --gguf FILE --slots 64 --callers 1,8,64        our worker, no HTTP
python -m benchmarks.engine.alone --base-url http://HOST:PORT/v1 --model NAME    any server that speaks OpenAI's chat
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import uvloop

from benchmarks.engine.client import figures, opened
from benchmarks.engine.prompts import story
from benchmarks.engine.report import table

COLUMNS = (
    ("callers", "callers"), ("tokens_s", "tokens/s"), ("ttft_p50_ms", "TTFT p50 ms"), ("ttft_p95_ms", "p95"),
    ("itl_p50_ms", "ITL p50 ms"), ("itl_p95_ms", "p95"), ("step_ms", "step ms"), ("python_ms", "of that Python ms"),
    ("python_share", "share"), ("bad", "failed"),
)  # fmt: skip


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--gguf", help="a model file for a worker of our own")
    where.add_argument("--base-url", help="an OpenAI-compatible server")
    parser.add_argument("--model", default="m", help="what the server calls it")
    parser.add_argument("--key", default=os.environ.get("ENGINE_KEY", ""), help="or in ENGINE_KEY")
    parser.add_argument("--callers", default="1,2,4,8,16,32,64")
    parser.add_argument("--requests", type=int, default=2, help="of each caller, one after the other")
    parser.add_argument("--tokens", type=int, default=128, help="at most, in each answer")
    parser.add_argument("--slots", type=int, help="of the worker; as many as there are callers at most")
    parser.add_argument("--context", type=int, default=1024, help="tokens that one slot holds")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--unified", action="store_true", help="one pool of cells for all slots")
    parser.add_argument("--seed", default="alone")
    parser.add_argument(
        "--cases", default="throughput", help="of throughput, prefix and stall; the last two need 2560 of context"
    )
    parser.add_argument("--json", action="store_true", help="print an object, and no table")
    return parser.parse_args()


def door_arguments(options: argparse.Namespace, callers: list[int]) -> list[str]:
    if options.base_url:
        return ["http", options.base_url, options.model, options.key]
    tuning = {
        "slots": options.slots or max(callers), "context_tokens": options.context, "threads": options.threads,
        "gpu_layers": options.gpu_layers, "unified": options.unified, "speculate": False,
    }  # fmt: skip
    return ["worker", options.gguf, json.dumps(tuning)]


async def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    callers = [int(count) for count in options.callers.split(",")]
    found: dict[str, list[dict[str, Any]]] = {}
    async with opened(door_arguments(options, callers)) as (door, _):
        await door.stream(story("warm up"), 8)
        for case in options.cases.split(","):
            rounds = [{"callers": count, "requests": options.requests, "tokens": options.tokens} for count in callers]
            for how in rounds if case == "throughput" else [{}]:
                row = how | await figures(door, case, {"seed": options.seed, **how})
                found.setdefault(case, []).append(row)
                print(f"{case}: {json.dumps(row)}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    options = parse_options()
    found = uvloop.run(measure(options))
    if options.json:
        print(json.dumps(found))
    elif rows := found.get("throughput"):
        print(table([head for _, head in COLUMNS], ([str(row.get(name, "-")) for name, _ in COLUMNS] for row in rows)))
    return int(any("failed" in row or row.get("bad") for rows in found.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
