"""Upstreams across reloads: kept where nothing changed, made and started where something did."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest
import yaml

from adapters.base import WireRequest
from adapters.schema import InferenceRequest
from gateway import extras
from gateway.config import Config, examine_text
from gateway.config.compile import deployments
from gateway.errors import StartError
from gateway.http_upstream import HttpUpstream
from gateway.upstreams import Loading, UpstreamSet, forwarded_headers
from policies.vocabulary import Endpoint
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.upstream import Upstream


@pytest.fixture(autouse=True)
def _shape_built() -> None:
    """Before the event loop runs, since building it reads files."""
    Config.model_rebuild()


def policy(folder: Path, base_url: str = "http://127.0.0.1:1/v1", **more: object) -> Config:
    tree = {
        "providers": {"p": {"kind": "openai", "base_url": base_url, "api_key": "none"}, **more},
        "deployments": {
            "a": {"provider": "p", "model": "m"},
            **{name: {"provider": name, "model": "m"} for name in more},
        },
        "routes": [{"model": "r", "targets": ["a"]}],
    }
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


async def taken(held: UpstreamSet, config: Config) -> dict[str, Upstream]:
    return await held.take_over(config, await asyncio.to_thread(deployments, config, lambda *_: None))


async def test_an_upstream_stays_while_its_settings_do(tmp_path: Path) -> None:
    held = UpstreamSet()
    first = await taken(held, policy(tmp_path))
    again = await taken(held, policy(tmp_path))
    assert again["a"] is first["a"]
    assert isinstance(first["a"], HttpUpstream)
    assert first["a"].ready
    await held.close()
    assert not first["a"].ready


async def test_a_changed_provider_gets_a_new_upstream_and_the_old_one_stays_open_for_its_calls(tmp_path: Path) -> None:
    held = UpstreamSet()
    first = await taken(held, policy(tmp_path))
    second = await taken(held, policy(tmp_path, "http://127.0.0.1:2/v1"))
    assert second["a"] is not first["a"]
    assert first["a"].ready
    await held.close()


def keyed(folder: Path, *keys: tuple[str, str], **provider: object) -> Config:
    held = [{"name": name, "key": key} for name, key in keys]
    tree = {
        "providers": {"p": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_keys": held} | provider},
        "deployments": {"a": {"provider": "p", "model": "m"}},
        "routes": [{"model": "r", "targets": ["a"]}],
    }
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


def sent_with(upstream: Upstream) -> bytes:
    assert isinstance(upstream, HttpUpstream)
    return upstream._pool._heads.render(WireRequest("/x", b""), ())


async def test_each_credential_has_an_upstream_of_its_own(tmp_path: Path) -> None:
    held = UpstreamSet()
    made = await taken(held, keyed(tmp_path, ("first", "sk-one-0123456789"), ("second", "sk-two-0123456789")))
    assert list(made) == ["a@first", "a@second"]
    assert b"authorization: Bearer sk-one-0123456789\r\n" in sent_with(made["a@first"])
    assert b"authorization: Bearer sk-two-0123456789\r\n" in sent_with(made["a@second"])
    await held.close()


async def test_a_changed_credential_replaces_its_own_upstream_only(tmp_path: Path) -> None:
    held = UpstreamSet()
    before = await taken(held, keyed(tmp_path, ("first", "sk-one-0123456789"), ("second", "sk-two-0123456789")))
    after = await taken(held, keyed(tmp_path, ("second", "sk-two-0123456789"), ("first", "sk-new-0123456789")))
    assert after["a@second"] is before["a@second"]
    assert after["a@first"] is not before["a@first"]
    assert b"Bearer sk-new-0123456789\r\n" in sent_with(after["a@first"])
    await held.close()


async def test_what_a_deployment_is_judged_by_is_not_how_it_is_reached(tmp_path: Path) -> None:
    held = UpstreamSet()
    key = ("first", "sk-one-0123456789")
    before = await taken(held, keyed(tmp_path, key))
    judged = keyed(tmp_path, key, breaker={"failures": 3}, health={}, limits=[{"requests": "9/min"}])
    assert (await taken(held, judged))["a@first"] is before["a@first"]
    assert (await taken(held, keyed(tmp_path, key, max_connections=9)))["a@first"] is not before["a@first"]
    await held.close()


async def test_a_policy_that_cannot_start_leaves_the_old_upstreams_in_place(tmp_path: Path) -> None:
    held = UpstreamSet()
    first = await taken(held, policy(tmp_path))
    missing = {"kind": "llama_cpp", "model_path": str(tmp_path / "no.gguf")}
    with pytest.raises(StartError, match=r"^b: there is no file /.*/no\.gguf$"):
        await taken(held, policy(tmp_path, "http://127.0.0.1:2/v1", b=missing))
    again = await taken(held, policy(tmp_path))
    assert again["a"] is first["a"]
    assert first["a"].ready
    await held.close()


async def test_without_the_engine_its_extra_is_named_rather_than_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    model = {"kind": "llama_cpp", "model_path": "package:no_such_package"}
    with pytest.raises(StartError, match=r"^b: llama\.cpp is not installed: .*'\.\[llama\]'"):
        await taken(UpstreamSet(), policy(tmp_path, b=model))


def test_a_provider_may_see_more_of_a_callers_headers(tmp_path: Path) -> None:
    config = policy(
        tmp_path,
        q={
            "kind": "openai",
            "api_key": "none",
            "base_url": "http://127.0.0.1:3/v1",
            "forward_headers": ["OpenAI-Project"],
        },
    )
    assert "openai-project" in forwarded_headers(config.providers["q"])
    assert "openai-project" not in forwarded_headers(config.providers["p"])
    assert "anthropic-beta" in forwarded_headers(config.providers["p"])


def loading_lines(caplog: pytest.LogCaptureFixture, seen: Sequence[tuple[float, int]]) -> list[str]:
    """What is told of percents at these times."""
    now = 0.0
    loading = Loading("bundled", clock=lambda: now)
    with caplog.at_level(logging.INFO):
        for now, percent in seen:  # noqa: B007 - the clock reads it
            loading(percent)
    return [record.getMessage() for record in caplog.records]


def test_a_long_load_is_told_a_quarter_at_a_time_and_anew_after_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    percents = (0, 3, 26, 30, 55, 100, 100, 10, 60)
    assert loading_lines(caplog, [(3.0 * n, percent) for n, percent in enumerate(percents)]) == [
        "loading the model of bundled: 0 %",
        "loading the model of bundled: 25 %",
        "loading the model of bundled: 50 %",
        "the model of bundled is ready after 15.0 s",
        "loading the model of bundled: 0 %",
        "loading the model of bundled: 50 %",
    ]


def test_of_a_short_load_its_beginning_and_its_end_are_told(caplog: pytest.LogCaptureFixture) -> None:
    assert loading_lines(caplog, [(1.0, 0), (1.1, 26), (1.2, 55), (1.3, 99), (2.5, 100)]) == [
        "loading the model of bundled: 0 %",
        "the model of bundled is ready after 1.5 s",
    ]


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://acme.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.groq.com/openai/v1", "max_tokens"),
        ("http://127.0.0.1:8000/v1", "max_tokens"),
    ],
)
async def test_who_is_told_the_limit_by_which_name(tmp_path: Path, base_url: str, name: str) -> None:
    held = UpstreamSet()
    (upstream,) = (await taken(held, policy(tmp_path, base_url))).values()
    assert isinstance(upstream, HttpUpstream)
    request = InferenceRequest(Endpoint.CHAT, "r", False, False, {}, 0, output_tokens_added=77)
    assert json.loads(upstream._adapter.encode(request, "m").body) == {"model": "m", name: 77}
    await held.close()


def with_models(folder: Path, memory: str, **settings: object) -> Config:
    """Two deployments of one local model, which is loaded on demand."""
    if not (folder / "tiny.gguf").exists():
        tiny_text_model(folder, name="tiny.gguf")
    local = {"kind": "llama_cpp", "model_path": "tiny.gguf", "load": "on_demand", "threads": 1, **settings}
    tree = {
        "providers": {"local": local},
        "deployments": {"a": {"provider": "local"}, "b": {"provider": "local"}},
        "routes": [{"model": "r", "targets": ["a", "b"]}],
        "engines": {"memory": memory},
    }
    config, problems = examine_text(yaml.safe_dump(tree), folder / "policy.yaml", {})
    assert config is not None, problems
    return config


async def test_deployments_of_a_provider_share_an_engine_over_reloads(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    held = UpstreamSet()
    first = await taken(held, await asyncio.to_thread(with_models, tmp_path, "1GiB"))
    assert held.engines is not None
    (engine,) = held.engines
    assert (engine.holders, held.engines.budget_bytes) == (2, 1 << 30)
    second = await taken(held, await asyncio.to_thread(with_models, tmp_path, "2GiB", keep_alive="5m"))
    assert second["a"] is not first["a"]
    assert (list(held.engines), engine.holders, held.engines.budget_bytes) == ([engine], 4, 2 << 30)
    assert engine.spec.keeping.keep_alive_s == 300.0
    for upstream in first.values():
        await upstream.close()
    assert engine.holders == 2
    await held.close()
    assert list(held.engines) == []


async def test_a_policy_that_cannot_start_leaves_the_engines_their_memory(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    held = UpstreamSet()
    await taken(held, await asyncio.to_thread(with_models, tmp_path, "1GiB"))
    assert held.engines is not None
    broken = await asyncio.to_thread(with_models, tmp_path, "2GiB", slots=3)
    (tmp_path / "tiny.gguf").unlink()
    with pytest.raises(StartError, match=r"there is no file .*tiny\.gguf"):
        await taken(held, broken)
    (engine,) = held.engines
    assert (engine.holders, held.engines.budget_bytes) == (2, 1 << 30)
    await held.close()
