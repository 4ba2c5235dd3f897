from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.headers import LimitWords, go_duration, quoted
from gateway.limits.plans import ask_of, term_of
from policies.limits import Account, Ask
from policies.vocabulary import Limit, LimitScope, Period, Resource
from tests.gateway.limited_calls import NOW_S, limit

DAY = 86_400.0


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.0591, "60ms"),
        (0.059, "59ms"),
        (1.0, "1s"),
        (7.66, "7.66s"),
        (59.9999, "1m0s"),
        (360.0, "6m0s"),
        (3600.0, "1h0m0s"),
        (90_061.5, "25h1m1.5s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, written: str) -> None:
    assert go_duration(seconds) == written


@given(st.floats(0.0, 1e7))
def test_a_written_duration_is_the_wait_and_at_most_a_millisecond_more(seconds: float) -> None:
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d{1,3})?)s|(\d+)ms)", go_duration(seconds))
    assert parts is not None
    hours, minutes, whole, ms = (float(part or 0) for part in parts.groups())
    assert -1e-6 <= hours * 3600 + minutes * 60 + whole + ms / 1000 - seconds <= 0.001001


@given(st.text())
def test_names_are_structured_field_strings(name: str) -> None:
    assert re.fullmatch(r'"(?:[ !#-\[\]-~]|\\["\\])*"', quoted(name))


def pairs(*used: tuple[Limit, Account]) -> dict[str, str]:
    terms = [term_of(limited, "ci") for limited, _ in used]
    asks: list[Ask] = [ask_of(term, 1, lambda _: (NOW_S, NOW_S + DAY, NOW_S + 2 * DAY)) for term in terms]
    words, accounts, now = LimitWords(terms), [account for _, account in used], NOW_S + 100.0
    found = words.pairs(asks, accounts, now)
    assert words.lines(asks, accounts, now) == "".join(f"{name}: {value}\r\n" for name, value in found)
    return dict(found)


def test_every_limit_is_told_and_the_tightest_in_openais_words() -> None:
    told = pairs(
        (limit("requests", 60), Account(29.5, NOW_S, 1)),
        (limit("tokens", 100_000, 60.0), Account(90_000.0, NOW_S, 1877)),
        (limit("tokens", 5_000, Period.DAY, "team"), Account(1_000.0, NOW_S, 0)),
        (limit("concurrent", 8), Account(0.0, 0.0, 3)),
        (limit("cost", 20 * 10**9, Period.MONTH, "org"), Account(5 * 10**9, NOW_S, 10**9)),
    )
    assert told == {
        "ratelimit-policy": '"key.requests.60.0";q=60;w=60;qu="requests", "key.tokens.60.0";q=100000;w=60;qu="tokens", '
        '"team.tokens.day";q=5000;w=86400;qu="tokens", "key.concurrent";q=8;qu="concurrent-requests", '
        '"org.cost.month";q=20000000;qu="micro-usd"',
        "ratelimit": '"key.requests.60.0";r=29;t=31, "key.tokens.60.0";r=8123;t=56, "team.tokens.day";r=4000;t=86300, '
        '"key.concurrent";r=5, "org.cost.month";r=14000000;t=86300',
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "29",
        "x-ratelimit-reset-requests": "30.5s",
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "4000",
        "x-ratelimit-reset-tokens": "23h58m20s",
    }


def test_what_has_no_window_of_requests_or_tokens_says_nothing_of_them() -> None:
    assert set(pairs((limit("concurrent", 8), Account()))) == {"ratelimit-policy", "ratelimit"}


def test_numbers_stay_within_what_a_structured_field_holds() -> None:
    huge = Limit("t", LimitScope.KEY, Resource.TOKENS, 2**53 - 1, 60.0)
    assert pairs((huge, Account()))["ratelimit"] == '"t";r=999999999999999;t=0'
