from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from gateway.config.model_facts import BUNDLED, UNKNOWN, ModelTable, load
from gateway.data_files import newest_table
from policies.route_rules import Capability

if TYPE_CHECKING:
    from pathlib import Path

TOOLS, IMAGES, PREFILL, SCHEMA = Capability.TOOLS, Capability.IMAGES, Capability.PREFILL, Capability.JSON_SCHEMA


def table(folder: Path, *models: dict[str, object]) -> ModelTable:
    source = {"package": "p", "version": "1", "licence": "MIT", "as_of": "2026-01-01"}
    path = folder / "models-x.json"
    path.write_text(json.dumps({"format": 1, "date": "2026-01-01", "sources": {"s": source}, "models": list(models)}))
    return ModelTable(path)


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "has"),
    [
        ("openai", None, "gpt-4o", {TOOLS, IMAGES, SCHEMA}),
        ("openai", None, "gpt-4o-2024-08-06", {TOOLS, IMAGES, SCHEMA}),
        ("openai", "https://eu.api.openai.com/v1", "gpt-4o", {TOOLS}),
        ("litellm", None, "anthropic/claude-sonnet-4-5", {TOOLS, PREFILL}),
        ("litellm", None, "anthropic/claude-sonnet-4-5-20250929", {TOOLS, PREFILL}),
        ("litellm", None, "gemini/gemini-2.5-pro", {Capability.AUDIO, Capability.FILES}),
    ],
)
def test_what_well_known_models_can_do(kind: str, base_url: str | None, model: str, has: set[Capability]) -> None:
    assert ModelTable().facts_of(kind, base_url, model).has >= has


def test_what_a_model_is_known_to_lack_is_told_from_what_is_unknown() -> None:
    newer = ModelTable().facts_of("litellm", None, "anthropic/claude-opus-4-7")
    assert PREFILL in newer.lacks
    openai = ModelTable().facts_of("openai", None, "gpt-4o")
    assert PREFILL not in openai.has | openai.lacks


def test_the_window_holds_prompt_and_answer_and_is_never_too_small() -> None:
    facts = ModelTable().facts_of("openai", None, "gpt-5")
    assert (facts.context_tokens, facts.output_tokens_max) == (400_000, 128_000)
    gemini = ModelTable().facts_of("litellm", None, "gemini/gemini-2.5-pro")
    assert gemini.context_tokens == 1_048_576 + 65_536


@pytest.mark.parametrize(
    ("kind", "base_url", "model"),
    [
        ("openai", "http://10.0.0.7:8000/v1", "gpt-4o"),
        ("openai", None, "nobody-ever-heard-of-it"),
        ("litellm", None, "gpt-4o"),
        ("openai", "http://[", "gpt-4o"),
    ],
)
def test_nobody_knows_what_a_server_of_ones_own_runs(kind: str, base_url: str | None, model: str) -> None:
    assert ModelTable().facts_of(kind, base_url, model) is UNKNOWN


def test_the_bundled_engine_needs_no_table(tmp_path: Path) -> None:
    table = ModelTable(tmp_path / "absent.json")
    assert table.facts_of("llama_cpp", None, "any") is BUNDLED
    assert table.facts_of("openai", "http://127.0.0.1:9/v1", "any") is UNKNOWN
    with pytest.raises(FileNotFoundError):
        table.facts_of("openai", None, "gpt-4o")


def test_behind_an_imitation_of_openais_api_less_is_known(tmp_path: Path) -> None:
    known = table(tmp_path, {"provider": "anthropic", "model": "c", "has": ["tools", "prefill", "json_schema"]})
    assert known.facts_of("openai", "https://api.anthropic.com/v1", "c").has == {TOOLS}
    assert known.facts_of("litellm", None, "anthropic/c").has == {TOOLS, PREFILL, SCHEMA}


def test_who_wants_a_mark_beside_a_prefill_is_not_sent_a_bare_one(tmp_path: Path) -> None:
    known = table(tmp_path, {"provider": "mistral", "model": "m", "has": ["tools", "prefill"]})
    assert known.facts_of("openai", "https://api.mistral.ai/v1", "m").has == {TOOLS}
    assert known.facts_of("litellm", None, "mistral/m").has == {TOOLS}


def test_the_shipped_table_is_sorted_consistent_and_quick_to_load() -> None:
    models = load().models
    names = [(line.provider, line.model) for line in models]
    assert names == sorted(set(names))
    assert len(names) > 3000
    assert not [line for line in models if set(line.has) & set(line.lacks)]
    assert all(line.context_tokens is None or line.context_tokens > 0 for line in models)
    assert newest_table("models").read_bytes().count(b"\n") == len(names) + 2
    assert min(_load_s() for _ in range(5)) < 0.03


def _load_s() -> float:
    started_s = time.perf_counter()
    ModelTable().facts_of("openai", None, "gpt-4o")
    return time.perf_counter() - started_s


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not a table of models"),
        (b'{"format":9,"date":"d","sources":{},"models":[]}', "format 9"),
        (
            b'{"format":1,"date":"d","sources":{},"models":[{"provider":"p","model":"m","has":["flying"]}]}',
            "not a table of models",
        ),
    ],
)
def test_a_broken_table_is_refused_with_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "models-x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        load(path)
    assert str(path) in str(raised.value)
