"""`pointsman engine doctor`: what llama.cpp's build can do, what this machine has, and how models run best there.

Reads what models say of themselves, never their weights; and asks the build in another process, as it may be broken.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from gateway import machine
from gateway.commands.engine_model import ModelReport, examine_model
from gateway.local.reading.build_facts import BuildFacts, ask_build
from gateway.local.reading.devices import signs_of_gpu
from policies.engine_devices import why_no_gpu

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.machine import Machine

WELL: Final = 0
UNWELL: Final = 1
HOW: Final = "scripts/build_llama_wheel.sh builds it with BACKEND=cuda, metal, vulkan or rocm; see docs/engine.md"
_GIB: Final = 1 << 30


def run(models: Sequence[Path], *, as_json: bool) -> int:
    """0 where all is well, 1 where something was found. The report goes to standard output."""
    facts, here = ask_build(), machine.look()
    found = list(findings(facts, here, signs_of_gpu()))
    reports = [examine_model(path, facts.build, here) for path in models]
    found += [f"{report.path}: {report.trouble}" for report in reports if report.trouble]
    if as_json:
        sys.stdout.write(json.dumps(document(facts, here, found, reports), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(lines(facts, here, found, reports)) + "\n")
    return UNWELL if found else WELL


def findings(facts: BuildFacts, here: Machine, signs: Sequence[str]) -> Iterator[str]:
    """What is wrong, and what to do about it."""
    if facts.trouble:
        yield facts.trouble
        return
    if facts.build.gpus:
        return
    seen = ", ".join(card.name for card in here.cards) or ", ".join(signs)
    if facts.build.gpu_backends:
        yield f"{why_no_gpu(facts.build)}; models run on the CPU"
    elif seen:
        yield f"this machine has a GPU ({seen}), and this build cannot use it: models run on the CPU. {HOW}"


def lines(facts: BuildFacts, here: Machine, found: Sequence[str], reports: Sequence[ModelReport]) -> Iterator[str]:
    yield "Build"
    if facts.version:
        yield f"  llama-cpp-python {facts.version}, backends {', '.join(facts.build.backends)}"
        yield f"  GPUs: {'can be used' if facts.supports_gpu else 'cannot be used'}"
        yield f"  {facts.system_info}"
    else:
        yield "  unknown"
    for device in facts.build.devices:
        free, total = gib(device.free_bytes), gib(device.total_bytes)
        yield f"  device {device.name} ({device.kind}): {device.description}, {free} of {total} free"
    yield "Machine"
    yield f"  {here.cores:g} cores, {gib(here.free_bytes)} of {gib(here.total_bytes)} memory free"
    yield from (f"  the container's limit: {limit}" for limit in here.limits)
    for card in here.cards:
        yield f"  {card.name}, driver {card.driver}, {gib(card.free_bytes)} of {gib(card.total_bytes)} free"
    for report in reports:
        yield from report.lines()
    yield "Found" if found else "All is well."
    yield from (f"  {line}" for line in found)


def document(facts: BuildFacts, here: Machine, found: Sequence[str], reports: Sequence[ModelReport]) -> dict[str, Any]:
    build = {
        "version": facts.version or None,
        "supports_gpu": facts.supports_gpu,
        "system_info": facts.system_info,
        "backends": facts.build.backends,
        "devices": [
            {name: value for name, value in device._asdict().items() if name != "handle"}
            for device in facts.build.devices
        ],
    }
    told = here._asdict() | {"cards": [card._asdict() for card in here.cards]}
    return {"build": build, "machine": told, "models": [report.document() for report in reports], "found": found}


def gib(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"
