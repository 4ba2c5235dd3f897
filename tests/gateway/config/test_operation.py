"""The sections about the gateway itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Address
from policies.route_rules import ReplayRules, ShedRules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

SHARE = "must be a share such as 5%, or a number from 0 to 1"
DURATION = "must be a duration such as 250ms, 5s, 2m or 1h"


def test_what_is_left_out_has_its_default(made: Callable[..., Config]) -> None:
    config = made()
    assert (config.server.listen, config.server.admin) == (Address("127.0.0.1", 8080), Address("127.0.0.1", 8081))
    assert (config.server.drain_s, config.server.max_body_bytes, config.server.workers) == (30.0, 32 << 20, 1)
    assert (config.telemetry.log, config.telemetry.otlp, config.prices.unknown) == ("auto", (), "auto")
    assert (config.secrets.newest_first, config.secrets.admin_token, config.server.tls) == ((), None, None)
    assert (config.version, config.keys, config.limits, config.orgs) == (1, (), (), {})


def test_the_rules_of_shedding_and_replays(made: Callable[..., Config]) -> None:
    config = made(server="{shed: {max_delay: 100ms, max_calls: 500}, idempotency: {ttl: 1h, max_bytes: 1MiB}}")
    assert (config.server.shed.rules, config.server.idempotency.rules) == (
        ShedRules(0.1, 500),
        ReplayRules(3600.0, 1 << 20),
    )
    usual = made().server
    assert (usual.shed.rules, usual.idempotency.rules, usual.when_headers) == (ShedRules(), ReplayRules(), ())


def test_headers_that_conditions_may_read_are_no_credentials(
    made: Callable[..., Config], problems: Callable[..., list[str]]
) -> None:
    assert made(server="{when_headers: [X-Tier]}").server.when_headers == ("x-tier",)
    told = "4: server.when_headers[0]: is the caller's credential, which nothing else reads"
    assert problems(server="{when_headers: [Authorization]}") == [told]


def test_what_is_given_is_taken(made: Callable[..., Config], environ: dict[str, str], tmp_path: Path) -> None:
    environ |= {"PEPPER": "p" * 20, "TOKEN": "t" * 20, "OTLP": "x y", "DRAIN": "2m", "SAMPLE": "0.25"}
    config = made(
        server="{listen: '[::1]:9', admin: 'localhost:0', drain: '${env:DRAIN}', "
        "max_body: 1MB, tls: {cert: c, key: /k}}",
        secrets="{pepper: '${env:PEPPER}', admin_token: '${env:TOKEN}'}",
        telemetry="{otlp: {endpoint: 'http://h/', headers: {x: '${env:OTLP}'}, sample: '${env:SAMPLE}'}, log: json}",
        prices="{unknown: allow}",
    )
    assert (config.server.listen, config.server.drain_s, config.server.max_body_bytes) == (
        Address("::1", 9),
        120.0,
        10**6,
    )
    assert config.server.tls is not None
    assert (str(config.server.tls.cert), str(config.server.tls.key)) == (str(tmp_path / "c"), "/k")
    assert [pepper.reveal() for pepper in config.secrets.newest_first] == ["p" * 20]
    (receiver,) = config.telemetry.otlp
    assert (receiver.endpoint, receiver.sample.ratio) == ("http://h", 0.25)
    assert receiver.headers["x"].reveal() == "x y"


@pytest.mark.parametrize(
    ("section", "value", "found"),
    [
        ("version", "2", ["version: must be 1"]),
        ("version", "'1'", ["version: must be 1 (did you mean '1'?)"]),
        ("server", "", ["server: must be a mapping"]),
        ("server", "[]", ["server: must be a mapping"]),
        ("server", "{drain_s: 5}", ["server.drain_s: unknown key 'drain_s' (did you mean 'drain'?)"]),
        ("server", "{drain: 5}", [f"server.drain: {DURATION}"]),
        ("server", "{workers: 0}", ["server.workers: must be at least 1"]),
        ("server", "{workers: many}", ["server.workers: must be a whole number"]),
        ("secrets", "{peppers: x}", ["secrets.peppers: must be a list"]),
        ("server", "{tls: {cert: a}}", ["server.tls.key: is missing"]),
        ("server", "{tls: {cert: '', key: 5}}", ["server.tls.cert: must be a path", "server.tls.key: must be a path"]),
        ("telemetry", "{log: jsn}", ["telemetry.log: must be one of 'json', 'text' or 'auto' (did you mean 'json'?)"]),
        ("telemetry", "{otlp: {sample: 0.5}}", ["telemetry.otlp.endpoint: is missing"]),
        ("telemetry", "{otlp: {endpoint: 'http://h', sample: 2}}", [f"telemetry.otlp.sample: {SHARE}"]),
        ("telemetry", "{otlp: {endpoint: 'http://h', sample: true}}", [f"telemetry.otlp.sample: {SHARE}"]),
        ("telemetry", "{otlp: {endpoint: 'http://h', sample: nan}}", [f"telemetry.otlp.sample: {SHARE}"]),
        (
            "prices",
            "{unknown: alow}",
            ["prices.unknown: must be one of 'auto', 'allow', 'deny' or 'price_as' (did you mean 'allow'?)"],
        ),
        ("sever", "{}", ["sever: unknown key 'sever' (did you mean 'server'?)"]),
        ("zebra", "{}", ["zebra: unknown key 'zebra'"]),
    ],
)
def test_problems(section: str, value: str, found: list[str], problems: Callable[..., list[str]]) -> None:
    assert [problem for problem in problems(**{section: value}) if "warning" not in problem] == [
        f"4: {problem}" for problem in found
    ]


@pytest.mark.parametrize("setting", ["pepper", "admin_token"])
def test_a_short_secret_is_refused(setting: str, problems: Callable[..., list[str]], environ: dict[str, str]) -> None:
    environ["SHORT"] = "x" * 19
    found = problems(secrets=f"{{{setting}: '${{env:SHORT}}'}}")
    assert found == [f"4: secrets.{setting}: must have 20 to 512 characters (`pointsman keys generate` makes one)"]


def test_peppers_come_newest_first(made: Callable[..., Config], environ: dict[str, str]) -> None:
    environ |= {"NEW": "n" * 20, "OLD": "o" * 20}
    config = made(secrets="{peppers: ['${env:NEW}', '${env:OLD}']}")
    assert [pepper.reveal() for pepper in config.secrets.newest_first] == ["n" * 20, "o" * 20]
    assert "nnn" not in repr(config)


def test_one_pepper_or_several(problems: Callable[..., list[str]], environ: dict[str, str]) -> None:
    environ |= {"NEW": "n" * 20, "SHORT": "x"}
    assert problems(secrets="{pepper: '${env:NEW}', peppers: ['${env:NEW}']}") == [
        "4: secrets: has both pepper and peppers; peppers: [NEW, OLD] holds both"
    ]
    assert problems(secrets="{peppers: ['${env:SHORT}']}") == [
        "4: secrets.peppers[0]: must have 20 to 512 characters (`pointsman keys generate` makes one)"
    ]
