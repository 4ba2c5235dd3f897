"""The options of `pointsman engine` stand for a policy; serving by it is tested in tests/end_to_end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.__main__ import main, parser
from gateway.commands.engine import policy_of, worded
from gateway.config import LlamaCppProvider, examine_text
from gateway.config.problems import Problem, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

KEY = "sk-engine-0123456789abcdef"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "Llama-3-00001-of-00003.gguf"
    path.write_bytes(b"GGUF")
    return path


def config_of(model: Path, *words: str) -> Config:
    options = parser().parse_args(["engine", "--model", str(model), *words])
    policy = policy_of(options, model.parent / "calls.db")
    config, problems = examine_text(json.dumps(policy), model.parent / "engine", {"ENGINE_KEY": KEY})
    assert config is not None, problems
    return config


def provider(model: Path, *words: str) -> LlamaCppProvider:
    found = config_of(model, *words).providers["engine"]
    assert isinstance(found, LlamaCppProvider)
    return found


def test_one_model_is_one_route_by_its_files_name(model: Path) -> None:
    config = config_of(model)
    assert [route.model for route in config.routes] == [("Llama-3",)]
    assert provider(model).model_path == str(model)
    assert config.keys == ()
    assert (config.server.listen.port, config.server.admin.port) == (8090, 8091)


def test_the_key_comes_by_reference(model: Path) -> None:
    file = model.parent / "key"
    file.write_text(f"{KEY}\n")
    for words in (["--key-env", "ENGINE_KEY"], ["--key-file", str(file)]):
        assert config_of(model, *words, "--listen", "0.0.0.0:8090").keys[0].secret.reveal() == KEY


def test_settings_are_the_providers(model: Path) -> None:
    words = (
        "--slots 16 --context 4096 --batch 1024 --threads 3 --gpu-layers 33 --max-queue 9 --task text --kv unified "
        "--kv-type q8_0 --max-decode-gap 100ms --on-overflow shift --split row --flash-attention true "
        "--device CUDA0 --device CUDA1 --tensor-split 3,1"
    )
    found = provider(model, *words.split())
    assert (found.slots, found.context_tokens, found.batch_tokens, found.threads) == (16, 4096, 1024, 3)
    assert (found.gpu_layers, found.max_queue, found.kv, found.kv_type) == (33, 9, "unified", "q8_0")
    assert (found.max_decode_gap_s, found.on_overflow, found.split) == (0.1, "shift", "row")
    assert (found.flash_attention, found.devices, found.tensor_split) == (True, ("CUDA0", "CUDA1"), (3.0, 1.0))


@pytest.mark.parametrize(("word", "value"), [("auto", None), ("false", False)])
def test_flash_attention_has_three_words(model: Path, word: str, value: bool | None) -> None:  # noqa: FBT001 - parametrized
    assert provider(model, "--flash-attention", word).flash_attention is value


def test_each_adapter_is_a_model_of_its_own(model: Path) -> None:
    (model.parent / "s.gguf").write_bytes(b"GGUF")
    config = config_of(model, "--name", "base", "--adapter", f"support={model.parent / 's.gguf'}")
    assert [route.model for route in config.routes] == [("base",), ("base:support",)]
    assert [deployment.model for deployment in config.deployments.values()] == ["base", "base:support"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--listen", "0.0.0.0:0"], "--listen: without --key-file or --key-env the engine listens on loopback only"),
        (["--admin", "0.0.0.0:0"], "--admin: without --admin-token-file or --admin-token-env"),
        (["--slots", "1000"], "--slots: must be at most 256"),
        (["--kv-type", "q3"], "--kv-type: must be one of"),
        (["--device", "a b"], "--device[0]: must be a device's name"),
        (["--tensor-split", "1,x"], "--tensor-split must be numbers"),
        (["--adapter", "support"], "--adapter must be NAME=FILE"),
        (["--adapter", "a=b", "--adapter", "a=c"], "--adapter a is there twice"),
        (["--name", "a:b"], "--name must not have a colon"),
        (["--key-env", "NO_SUCH_VARIABLE_HERE"], "the key: "),
        (["--listen", "nowhere"], "--listen: "),
        (["--model", "none.gguf", "--listen", "127.0.0.1:0"], "none.gguf"),
    ],
)
def test_what_a_policy_may_not_say_is_refused_in_the_options_words(
    model: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", "--model", str(model), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_secret_never_stands_on_the_command_line() -> None:
    names: Any = vars(parser().parse_args(["engine", "--model", "m"])).keys()
    assert {name for name in names if "key" in name or "token" in name} == {
        "key_file",
        "key_env",
        "admin_token_file",
        "admin_token_env",
        "context_tokens",
        "batch_tokens",
    }


@pytest.mark.parametrize(
    ("path", "option"),
    [
        ("providers.engine.model_path", "--model"),
        ("providers.engine.devices[1]", "--device[1]"),
        ("providers.engine.kv_type", "--kv-type"),
        ("providers.engine", "the engine"),
    ],
)
def test_findings_are_told_of_the_option_that_was_given(path: str, option: str) -> None:
    assert worded(Problem("engine", 1, path, "odd")) == f"{option}: odd"


def test_a_warning_is_told_from_an_error() -> None:
    assert worded(Problem("engine", 1, "x", "odd", Severity.WARNING)) == "warning: x: odd"
