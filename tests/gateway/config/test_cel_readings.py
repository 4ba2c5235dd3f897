from __future__ import annotations

from datetime import UTC, datetime

import cel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.cel_check import check
from gateway.config.cel_readings import UNTOLD, reader
from gateway.config.cel_types import PARTS_OF_TIME
from policies.route_rules import Priority
from policies.vocabulary import Endpoint, Principal, Subject

ADA = Principal("k1", "laptop", team="free", priority=Priority.HIGH)
NOON_S = datetime(2026, 7, 1, 12, 30, tzinfo=UTC).timestamp()


def subject(body: bytes = b"{}", known: dict[str, object] | None = None) -> Subject:
    """As a call has it: its members are raw JSON."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return Subject(
        ADA, Endpoint.CHAT, "smart", True, members, {"x-tier": "gold"}, lambda: 7, lambda: 2, NOON_S, known
    )  # fmt: skip


def read(text: str, asked: Subject) -> object:
    """What the only reading of an expression gives."""
    (reading,) = check(f"({text}) == ({text})", {"x-tier", "x-none"}).readings
    return reader(reading)(asked)


@pytest.mark.parametrize(
    ("text", "body", "expected"),
    [
        ("request.user", b'{"user": "ada"}', "ada"),
        ("request.user", b'{"user": null}', ""),
        ("request.user", b'{"user": 1}', UNTOLD),
        ("has(request.user)", b'{"user": null}', False),
        ("has(request.user)", b'{"user": ""}', True),
        ("request.seed", b'{"seed": 9223372036854775807}', 2**63 - 1),
        ("request.seed", b'{"seed": 9223372036854775808}', UNTOLD),
        ("request.temperature", b'{"temperature": 1}', 1.0),
        ("size(request.tools)", b'{"tools": [{}, 1]}', 2),
        ("size(request.tools)", b'{"tools": 1}', UNTOLD),
        ("request.vendor", b'{"vendor": [1]}', [1]),
        ("request.tokens", b"{}", 7),
        ("request.images", b"{}", 2),
        ("request.headers['X-Tier']", b"{}", "gold"),
        ("request.headers['x-none']", b"{}", ""),
        ("'x-tier' in request.headers", b"{}", True),
        ("'x-none' in request.headers", b"{}", False),
        ("principal.priority", b"{}", "high"),
        ("principal.user", b"{}", ""),
        ("now.getHours()", b"{}", 12),
        ("now.getHours('Europe/Berlin')", b"{}", 14),
        ("now.getHours('Asia/Kolkata')", b"{}", 18),
        ("now.getMinutes('Asia/Kolkata')", b"{}", 0),
        ("now.getDayOfWeek()", b"{}", 3),
    ],
)
def test_readings(text: str, body: bytes, expected: object) -> None:
    for asked in (subject(body), subject(body, {})):
        found = read(text, asked)
        assert (found, type(found)) == (expected, type(expected))


def test_what_was_read_once_is_not_read_again() -> None:
    known: dict[str, object] = {}
    assert read("request.user", subject(b'{"user": "ada"}', known)) == "ada"
    assert read("request.user", subject(b'{"user": "bob"}', known)) == "ada"
    assert read("request.user", subject(b'{"user": "bob"}')) == "bob"


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.sampled_from(sorted(PARTS_OF_TIME)))  # noqa: DTZ001 - made aware below
def test_parts_of_the_time_are_as_the_library_counts_them(moment: datetime, part: str) -> None:
    moment = moment.replace(tzinfo=UTC)
    asked = subject()._replace(now_s=moment.timestamp())
    now = read("now", asked)
    assert isinstance(now, datetime)
    assert abs(now - moment).total_seconds() < 1e-5
    assert read(f"now.{part}()", asked) == cel.compile(f"now.{part}()").execute({"now": now})
