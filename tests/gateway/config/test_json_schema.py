from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from gateway.config.json_schema import SCHEMA_FILE, schema, written
from gateway.config.tree import compose, unfold

CONFIGS = sorted(SCHEMA_FILE.parent.glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(schema())


def findings(text: str) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(unfold(compose(text), str).values)]


def test_the_published_schema_is_the_models() -> None:
    """When this fails: python -m gateway.config.json_schema."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == written()


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_it_takes_every_shipped_policy(path: Path) -> None:
    assert findings(path.read_text()) == []


def test_it_takes_a_reference_wherever_a_scalar_stands() -> None:
    policy = Path(SCHEMA_FILE.parent / "minimal.yaml").read_text()
    assert findings(policy + 'server: {drain: "${env:A}", workers: "${env:A}"}\ntelemetry: {log: "${file:b}"}\n') == []


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("server: {drain: 5}", "$.server.drain"),
        ("server: {drian: 5s}", "$.server"),
        ("telemetry: {log: jsn}", "$.telemetry.log"),
        ("webhooks: []", "$"),
        ("cache: []", "$.cache"),
        ("cache: {max_entry: 5}", "$.cache"),
        ("limits: [{per: key, tokens: 100k/mn}]", "$.limits[0].tokens"),
        ("limits: [{per: keys, tokens: 100k/min}]", "$.limits[0].per"),
        ("limits: [{per: key, cost: 20/month}]", "$.limits[0].cost"),
        ("state: {url: 'mysql://h'}", "$.state.url"),
        ("version: 2", "$.version"),
    ],
)
def test_it_refuses_what_the_gateway_would_refuse(section: str, place: str) -> None:
    policy = Path(SCHEMA_FILE.parent / "minimal.yaml").read_text()
    assert findings(f"{policy}{section}\n") == [place]
