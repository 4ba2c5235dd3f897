"""Models that find no room are told before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gguf_writer import Value

MODEL: dict[str, Value] = {"general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 512}


@pytest.fixture
def files(tmp_path: Path) -> None:
    """Two models that take 66 MiB each: 1 MiB of weights, and the worker itself."""
    for name in "ab":
        write_gguf(tmp_path / f"{name}.gguf", MODEL, {"w": np.zeros(1 << 18, np.float32)})


def policy(memory: str, settings: str = "") -> dict[str, str]:
    providers = ", ".join(f"{name}: {{kind: llama_cpp, model_path: {name}.gguf{settings}}}" for name in "ab")
    return {
        "providers": f"{{openai: {{kind: openai, api_key: none}}, {providers}}}",
        "engines": f"{{memory: {memory}}}",
    }


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("memory", "settings", "found"),
    [
        ("1GiB", "", []),
        ("70MiB", "", []),
        ("70MiB", ", load: on_demand, keep_alive: 5m", []),
        (
            "50MiB",
            "",
            [f"1: providers.{name}.model_path: takes about 66 MiB, and engines.memory is 50 MiB" for name in "ab"],
        ),
        (
            "70MiB",
            ", pinned: true",
            [
                "4: engines.memory: what is pinned (a, b) takes about 131 MiB together, and engines.memory is 70 MiB",
            ],
        ),
    ],
)
def test_room(memory: str, settings: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert [line for line in problems(**policy(memory, settings)) if "warning" not in line] == found


def test_files_that_are_not_here_are_judged_where_they_are(problems: Callable[..., list[str]]) -> None:
    assert [line for line in problems(**policy("1MiB")) if "warning" not in line] == []


@pytest.mark.usefixtures("files")
def test_what_cannot_be_used_is_a_warning_as_the_files_may_be_elsewhere(
    tmp_path: Path, problems: Callable[..., list[str]]
) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    one = "{openai: {kind: openai, api_key: none}, p: {kind: llama_cpp, model_path: %s}}"
    (found,) = [line for line in problems(providers=one % "text.gguf") if "GGUF" in line]
    assert found.endswith(f"providers.p: warning: {tmp_path / 'text.gguf'} is not a GGUF file")
    adapted = one % "a.gguf, adapters: {support: gone.gguf}"
    (found,) = [line for line in problems(providers=adapted) if "adapter" in line]
    assert "providers.p: warning: the adapter support, " in found
