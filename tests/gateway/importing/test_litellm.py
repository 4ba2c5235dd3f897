"""Configurations in the forms of LiteLLM's documentation, written for these tests, and its packaged examples."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import examine
from gateway.importing.litellm import Imported, import_litellm
from gateway.importing.litellm_routes import WHOLE_CALL

LOAD_BALANCED = """
model_list:
  - model_name: zephyr
    litellm_params: {model: hosted_vllm/zephyr-7b, api_base: "http://127.0.0.1:8001/v1", rpm: 60, tpm: 1000}
  - model_name: zephyr
    litellm_params: {model: hosted_vllm/zephyr-7b, api_base: "http://127.0.0.1:8002/v1", rpm: 600}
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o, api_key: "sk-abc", rpm: 200}
  - model_name: mini
    litellm_params: {model: gpt-4o-mini, api_key: os.environ/OTHER_KEY}
    model_info: {id: the-mini, base_model: gpt-4o-mini}
litellm_settings:
  num_retries: 3
  request_timeout: 10
  fallbacks: [{zephyr: [gpt-4o]}]
  context_window_fallbacks: [{zephyr: [mini]}, {gpt-4o: [the-mini]}]
  allowed_fails: 3
  drop_params: true
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {gpt-4: gpt-4o}
  content_policy_fallbacks: [{gpt-4o: [zephyr]}]
  redis_host: 10.0.0.9
  redis_port: 6380
general_settings:
  master_key: sk-1234
  database_url: postgresql://u:p@h/db
environment_variables: {REGION: eu}
"""


def imported(text: str) -> Imported:
    return import_litellm(yaml.safe_load(text))


def problems_of(policy: dict[str, Any], folder: Path) -> list[str]:
    """What `check` says of it, once everything that it refers to is in the environment."""
    text = yaml.safe_dump(policy, sort_keys=False)
    file = folder / "policy.yaml"
    file.write_text(text)
    environ = {name: f"{name}-and-more-than-twenty" for name in re.findall(r"\$\{env:(\w+)\}", text)}
    environ |= {name: f"https://{name.lower().replace('_', '-')}.example" for name in environ if "BASE" in name}
    environ |= {"DATABASE_URL": "postgresql://u:p@127.0.0.1/db", "REDIS_URL": "redis://127.0.0.1:6379/0"}
    config, problems = examine(file, environ)
    return [] if config is not None else [str(problem) for problem in problems]


def test_groups_retries_fallbacks_aliases_and_keys(tmp_path: Path) -> None:
    policy, notes = imported(LOAD_BALANCED)
    zephyr, gpt, mini = policy["routes"]
    assert zephyr["targets"] == [
        {"deployment": "zephyr", "weight": 60},
        {"deployment": "zephyr-hosted_vllm-2", "weight": 600},
    ]
    assert (zephyr["strategy"], zephyr["fallbacks"], zephyr["context_fallbacks"]) == ("weighted", ["gpt-4o"], ["mini"])
    assert zephyr["retry"] == {"attempts": 4}
    assert zephyr["timeouts"] == {"total": "10s"}
    assert (gpt["model"], gpt["context_fallbacks"]) == (["gpt-4o", "gpt-4"], ["mini"])
    assert gpt["content_fallbacks"] == ["zephyr", "zephyr-hosted_vllm-2"]
    assert mini["targets"] == ["mini"]
    assert policy["deployments"]["mini"]["breaker"] == {"failures": 4}
    assert policy["state"] == {"url": "redis://10.0.0.9:6380/0"}
    assert policy["ledger"] == {"url": "${env:DATABASE_URL}"}
    assert policy["keys"] == [{"name": "master", "secret": "${env:LITELLM_MASTER_KEY}"}]
    assert problems_of(policy, tmp_path) == []
    told = {note.where for note in notes}
    assert {"litellm_settings.drop_params", "environment_variables.REGION", "general_settings.master_key"} <= told
    assert "model_list[3].model_info.base_model" in told
    assert [note.what for note in notes if note.where == "timeout"] == [WHOLE_CALL]
    assert not {"sk-abc", "sk-1234", "u:p@h"} & set(re.findall(r"\S+", str(policy) + str(notes)))


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        ("least-busy", "least_busy", False),
        ("latency-based-routing", "fastest", False),
        ("cost-based-routing", "cheapest", False),
        ("usage-based-routing-v2", "least_busy", True),
        ("something-new", "weighted", True),
    ],
)
def test_strategies_have_their_counterparts(theirs: str, ours: str, *, told: bool, tmp_path: Path) -> None:
    model = {"model_name": "g", "litellm_params": {"model": "gpt-4o", "api_key": "os.environ/K"}}
    values = {
        "model_list": [model, model],
        "router_settings": {"routing_strategy": theirs, "routing_strategy_args": {}},
    }
    policy, notes = import_litellm(values)
    assert policy["routes"][0]["strategy"] == ours
    assert any(note.where == "router_settings.routing_strategy" for note in notes) is told
    assert problems_of(policy, tmp_path) == []


def test_of_what_both_sections_say_the_routers_counts_and_neither_is_told_to_be_lost() -> None:
    model = {"model_name": "g", "litellm_params": {"model": "gpt-4o"}}
    other = model | {"model_name": "h"}
    policy, notes = import_litellm({
        "model_list": [model, other],
        "router_settings": {"timeout": 30, "default_fallbacks": ["h"], "num_retries": 1},
        "litellm_settings": {"request_timeout": 20, "default_fallbacks": ["g"], "num_retries": 4},
    })  # fmt: skip
    route = policy["routes"][0]
    assert (route["timeouts"], route["fallbacks"], route["retry"]) == ({"total": "30s"}, ["h"], {"attempts": 2})
    assert {note.what for note in notes} == {WHOLE_CALL}


def test_a_fallback_that_changes_the_request_is_told() -> None:
    model = {"model_name": "g", "litellm_params": {"model": "gpt-4o"}}
    other = model | {"model_name": "h"}
    fallbacks = [{"g": ["h", {"model": "h", "messages": []}]}]
    policy, notes = import_litellm({"model_list": [model, other], "router_settings": {"fallbacks": fallbacks}})
    assert policy["routes"][0]["fallbacks"] == ["h"]
    assert "router_settings.fallbacks.g" in {note.where for note in notes}


@pytest.mark.parametrize("others", [{"api_key": "os.environ/OPENAI_API_KEY"}, {}])
def test_a_server_of_ones_own_never_gets_the_key_that_is_meant_for_openai(others: dict[str, str]) -> None:
    own = {"model": "openai/llama", "api_base": "http://10.0.0.1:8000/v1", "api_key": "sk-own"}
    entries = [
        {"model_name": "llama", "litellm_params": own},
        {"model_name": "gpt", "litellm_params": {"model": "openai/gpt-4o", **others}},
    ]
    policy, notes = import_litellm({"model_list": entries})
    keys = {provider["base_url"]: provider["api_key"] for provider in policy["providers"].values()}
    assert keys == {
        "http://10.0.0.1:8000/v1": "${env:OPENAI_API_KEY_2}",
        "https://api.openai.com/v1": "${env:OPENAI_API_KEY}",
    }
    assert [note.what for note in notes] == [
        "stands in the file; put it into the environment variable OPENAI_API_KEY_2"
    ]


@pytest.mark.parametrize("values", [None, [], "text", {}, {"model_list": []}, {"model_list": {}}, {"model_list": [{}]}])
def test_what_is_no_configuration_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="model"):
        import_litellm(values)


def packaged() -> list[Path]:
    """The examples inside litellm's own package, found without importing it."""
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return []
    proxy = Path(spec.origin).parent / "proxy"
    return sorted([*proxy.glob("*.yaml"), *proxy.glob("example_config_yaml/*.yaml")])


@pytest.mark.skipif(not packaged(), reason="litellm is not installed")
def test_every_packaged_example_becomes_a_good_policy_or_says_why_not(tmp_path: Path) -> None:
    good = 0
    for path in packaged():
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not any("*" not in str(entry) for entry in values.get("model_list") or ()):
            with pytest.raises(ValueError, match="model"):
                import_litellm(values)
            continue
        policy, notes = import_litellm(values)
        assert problems_of(policy, tmp_path) == [], path.name
        sections = {note.where.partition(".")[0].partition("[")[0] for note in notes}
        assert sections <= {"config", "model_list", *values, "fallbacks", "allowed_fails", "timeout"}, path.name
        good += 1
    assert good >= 10
