"""Where limits and the ledger are kept; passwords in their URLs are told to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.storage import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Config

SQLITE = "must be sqlite:///FILE, or sqlite:////FILE for an absolute path; or postgresql://USER:PASSWORD@HOST/DATABASE"
POSTGRES = "must look like postgresql://USER:PASSWORD@HOST:5432/DATABASE"
STATE = "must be memory://, or begin with redis://, rediss://, redis+sentinel://, redis+cluster://, unix://"


def test_what_is_left_out_has_its_default(made: Callable[..., Config], tmp_path: Path) -> None:
    state, ledger = made().state, made().ledger
    assert (state.url.reveal(), state.is_shared, state.shown) == ("memory://", False, "memory://")
    assert (state.nodes, state.when_down, state.lease_s, state.timeout_s) == (1, "local", 30.0, 0.1)
    assert ledger.url.reveal() == f"sqlite:///{tmp_path}/pointsman.db"
    assert (ledger.path, ledger.journal) == (tmp_path / "pointsman.db", tmp_path / "pointsman.db.journal")
    assert (ledger.journal_max_bytes, ledger.when_full, ledger.retention_s) == (1 << 30, "auto", None)


def test_what_is_given_is_taken(made: Callable[..., Config], environ: dict[str, str], tmp_path: Path) -> None:
    environ["REDIS"] = "rediss://u:hunter2@h:7/3"
    environ["DB"] = "postgres://u:hunter2@h:7/d"
    config = made(
        state="{url: '${env:REDIS}', nodes: 3, when_down: closed, lease: 1m, timeout: 50ms}",
        ledger="{url: '${env:DB}', journal_max: 2MiB, when_full: open, retention: 90d}",
    )
    state, ledger = config.state, config.ledger
    assert (state.url.reveal(), state.is_shared, state.shown) == (environ["REDIS"], True, "rediss://h:7/3")
    assert (state.nodes, state.when_down, state.lease_s, state.timeout_s) == (3, "closed", 60.0, 0.05)
    assert (ledger.url.reveal(), ledger.shown) == ("postgresql://u:hunter2@h:7/d", "postgresql://h:7/d")
    assert (ledger.path, ledger.journal) == (None, tmp_path / "pointsman.journal")
    assert (ledger.journal_max_bytes, ledger.when_full, ledger.retention_s) == (2 << 20, "open", 90 * 86_400)
    assert "hunter2" not in repr(config)


def test_postgresql_may_be_reached_through_a_socket(made: Callable[..., Config]) -> None:
    url = "postgresql://u@/d?host=/run/postgresql"
    assert made(ledger=f"{{url: '{url}'}}").ledger.url.reveal() == url


@pytest.mark.parametrize(
    ("ledger", "path", "journal"),
    [
        ("{url: 'sqlite:///../a/b.db'}", "../a/b.db", "../a/b.db.journal"),
        ("{url: 'sqlite:////a/b.db'}", "/a/b.db", "/a/b.db.journal"),
        ("{journal: 'j'}", "pointsman.db", "j"),
        ("{journal: /j}", "pointsman.db", "/j"),
    ],
)
def test_relative_paths_start_from_the_policys_folder(
    ledger: str, path: str, journal: str, made: Callable[..., Config], tmp_path: Path
) -> None:
    found = made(ledger=ledger).ledger
    assert found.path is not None
    assert (found.path, found.journal) == ((tmp_path / path).resolve(), (tmp_path / journal).resolve())


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6379/0",
        "rediss://:p%2Fw@h",
        "redis+sentinel://a:1,b:2/main/0?tls=true",
        "redis+cluster://u:p@a,b,c",
        "unix:///run/redis.sock",
    ],
)
def test_every_kind_of_redis_may_be_named(url: str, made: Callable[..., Config]) -> None:
    assert made(state=f"{{url: '{url}'}}").state.url.reveal() == url


@pytest.mark.parametrize(
    ("section", "value", "found"),
    [
        ("state", "{url: 'disk://'}", f"state.url: {STATE}"),
        ("state", "{url: redis}", f"state.url: {STATE}"),
        ("state", "{url: 'memory://x'}", f"state.url: {STATE}"),
        ("state", "{url: 'redis://h/x'}", "state.url: a Redis database is a number, not 'x'"),
        ("state", "{url: 'redis://a,b'}", "state.url: redis:// names one server; for several there are"),
        ("state", "{url: 'redis+sentinel://a,b'}", "state.url: a redis+sentinel:// URL ends with the name"),
        ("state", '{url: "redis://a\\nb"}', "state.url: must be visible ASCII characters"),
        ("state", "{nodes: 0}", "state.nodes: must be at least 1"),
        ("state", "{when_down: lokal}", "state.when_down: must be one of 'local', 'closed' or 'open' (did you mean"),
        ("state", "{lease: 100ms}", "state.lease: must be at least 1.0"),
        ("state", "{timeout: 5}", "state.timeout: must be a duration such as 250ms, 5s, 2m or 1h"),
        ("ledger", "{url: pointsman.db}", f"ledger.url: {SQLITE}"),
        ("ledger", "{url: 'sqlite://a.db'}", f"ledger.url: {SQLITE}"),
        ("ledger", "{url: 'sqlite:///'}", f"ledger.url: {SQLITE}"),
        ("ledger", "{url: 'mysql://h/d'}", f"ledger.url: {SQLITE}"),
        ("ledger", "{url: 5}", f"ledger.url: {SQLITE}"),
        ("ledger", "{url: 'sqlite:///a.db?mode=ro'}", "ledger.url: must name a file only, without ? or #"),
        ("ledger", "{url: 'postgresql://h'}", f"ledger.url: {POSTGRES}"),
        ("ledger", "{url: 'postgresql://u@/d'}", f"ledger.url: {POSTGRES}"),
        ("ledger", "{url: 'postgresql://u@/d?host=db'}", f"ledger.url: {POSTGRES}"),
        ("ledger", "{url: 'postgresql://h:99999/d'}", f"ledger.url: {POSTGRES}"),
        ("ledger", "{url: 'postgresql://h/d#x'}", f"ledger.url: {POSTGRES}"),
        ("ledger", "{journal: ''}", "ledger.journal: must be a path"),
        ("ledger", "{journal_max: 1KB}", "ledger.journal_max: must be at least 1048576"),
        ("ledger", "{when_full: never}", "ledger.when_full: must be one of 'closed', 'open' or 'auto'"),
        ("ledger", "{retention: 90}", "ledger.retention: must be a number of days such as 90d"),
        ("ledger", "{retention: 0d}", "ledger.retention: must be a number of days such as 90d"),
    ],
)
def test_problems(section: str, value: str, found: str, problems: Callable[..., list[str]]) -> None:
    (problem,) = problems(**{section: value})
    assert problem.startswith(f"4: {found}")


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ("state", "redis://u:hunter2@h:x"),
        ("state", "redis://u:hunt/hunter2@h"),
        ("state", "redis://u:hunter2@h?hunter2=1"),
        ("state", "redus://u:hunter2@h"),
        ("ledger", "postgresql://u:hunter2@h"),
        ("ledger", "mysql://u:hunter2@h/d"),
    ],
)
def test_a_password_is_never_repeated(section: str, url: str, problems: Callable[..., list[str]]) -> None:
    first, warning = problems(**{section: f"{{url: '{url}'}}"})
    assert "hunter2" not in first + warning
    assert "is a secret in plain text" in warning


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h", "redis://h"),
        ("redis://u:p@h/0", "redis://h/0"),
        ("redis+cluster://u:p@x@a,b", "redis+cluster://a,b"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_its_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
