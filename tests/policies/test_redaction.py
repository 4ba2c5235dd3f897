"""What is taken out of text, what stays, and that nobody can make it slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.redaction import is_luhn, redact

KEYS = (
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-AbCdEf_gh-12345678",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "sk-pm-0123456789abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "glpat-abcdefghij0123456789",
    "xoxb-123456789012-abcdefghijkl",
    "AIzaSyA-1234567890abcdefghijklmnopqrstuvw",
    "ya29.a0AfH6SMBabcdefgh",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "/9j4AAQSkZJRgABAQ/AAAQABAAD2wBDAAgGBgcGBQgHBwcJ",
)
PERSONAL = (
    "ada.lovelace+x@mail.example.co.uk",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "GB29 NWBK 6016 1331 9268 19",
    "4111111111111111",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "3782 822463 10005",
    "203.0.113.77",
    "2001:db8::8a2e:370:7334",
    "+49 30 901820",
    "+1-202-555-0143",
    "(202) 555-0143",
    "202-555-0143",
    "0151 23456789",
)
AROUND = st.sampled_from((" ", "\n", '"', "'", "(", ")", "<", ">", "{", "}", "[", "]", "\t"))
HIDDEN = {
    "Bearer abcdef123456": "Bearer [secret]",
    "authorization: Bearer abcdef123456": "authorization: [secret] [secret]",
    "Basic dXNlcjpwYXNz1": "Basic [secret]",
    "password: hunter2": "password: [secret]",
    '{"api_key": "hunter2"}': '{"api_key": "[secret]"}',
    '{\\"password\\":\\"hunter2\\"}': '{\\"password\\":\\"[secret]\\"}',
    "postgres://ada:hunter2@db.example.com/x": "postgres://[credentials]@db.example.com/x",
    "https://x.example/a?b=1&access_token=hunter2&c=2": "https://x.example/a?b=1&access_token=[secret]&c=2",
    "https://x.example/a?X-Amz-Signature=hunter2": "https://x.example/a?X-Amz-Signature=[secret]",
    "%22sk-abcdefgh%22": "%22[secret]%22",
    "a -----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY----- b": "a [pem] b",
    "a -----BEGIN PRIVATE KEY-----\nhunter2": "a [pem]",
    "mail ada@example.com.": "mail [email].",
    "at 10.0.0.7:8000": "at [ip]:8000",
    "::ffff:10.0.0.7 and fe80::1%eth0": "::ffff:[ip] and [ip]",
    "card 4111 1111 1111 1111 2026": "card [card] 2026",
}


@pytest.mark.parametrize(("text", "shown"), HIDDEN.items())
def test_secrets_are_hidden_and_what_stands_around_them_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("text", [*KEYS, *PERSONAL])
def test_every_known_shape_is_hidden(text: str) -> None:
    shown = redact(f"see {text}, please")
    assert text not in shown
    assert shown.startswith("see [")
    assert shown.endswith(", please")


@pytest.mark.parametrize(
    "text",
    [
        "at /srv/pointsman2/policies-of-the-platform-team/eu-west-1/policy.yaml:2",
        "A basic understanding of what a bearer certificate is.",
        "std::vector at 10:32:01 on 2026-11-22, v1.2.3, 12 of 100 (see RFC 9110)",
        "task-force work is risk-averse; desk-bound people ask-around",
        "order 1234 5678 9012 3456 and 1795305600000000000",
        "gpt-4o-mini-2024-07-18 answered 30000 tokens in 1.25 s",
        "https://docs.example.com/a/b?page=2&sort=asc#top",
        "def f(x: int) -> int: return x[1:2] if x else {}",
        "Grüße 🐈 und 你好",
        "",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


@given(st.lists(st.text(max_size=20)), st.sampled_from((*KEYS, *PERSONAL)), st.text(max_size=20), AROUND, AROUND)
@example([], "+49 30 901820", "A", " ", ")")
@example([], "+49 30 901820", "000000000000", " ", " ")
def test_no_canary_survives_in_whatever_company(
    before: list[str], canary: str, after: str, left: str, right: str
) -> None:
    assert canary not in redact(left.join([*before, canary]) + right + after) or canary in after


ODD = st.text(st.sampled_from("sk-_.@:/=&?+ []()0123459abfxAKIAeyJ\n\"'"), max_size=60)
TEXTS = st.one_of(st.text(), ODD, st.lists(st.one_of(ODD, st.sampled_from((*KEYS, *PERSONAL, *HIDDEN)))).map("".join))


@given(TEXTS)
@example("token:a@b.c -----BEGIN ")
@example("1.2.3.4.5.6.7.8")
@settings(max_examples=300)
def test_once_is_enough_and_nothing_grows_absurdly(text: str) -> None:
    shown = redact(text)
    assert redact(shown) == shown
    assert len(shown) <= 3 * len(text) + 16


PIECES = (
    "a", "a.", "-", "sk-", "1.", ":", "bearer ", "token", "token=", "://", "://a", "é", "a:", "[", "eyJ", "eyJ-",
    "1 ", "1-", "+1", "+1 ", "00 ", "-----BEGIN ", "-----BEGIN -----END ", "a@", "a@b", "a@b.", "@", "?a=", "?token=",
    "?", "DE89 ", "DE891", "0 1", "4111 ", "4111-", "(030)", "4", "AKIA", "f:", "::", "%", "password ", "password:\\",
    "=",
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_what_is_made_to_be_slow_is_not(piece: str) -> None:
    """What took time in the square of its length would take minutes for this, and takes a fifth of a second."""
    assert _seconds(piece, 1 << 18) < 3.0


def test_megabytes_of_all_that_are_not_slow_either() -> None:
    assert _seconds("".join(piece * 2_000 for piece in PIECES), 2 << 20) < 10.0


def _seconds(piece: str, chars: int) -> float:
    text = (piece * (chars // len(piece) + 1))[:chars]
    began = time.perf_counter()
    redact(text)
    return time.perf_counter() - began


def test_only_numbers_that_check_are_cards() -> None:
    assert is_luhn([int(char) for char in "4111111111111111"])
    assert not is_luhn([int(char) for char in "4111111111111112"])
    assert redact("4111 1111 1111 1112") == "4111 1111 1111 1112"
    assert redact("DE88 3704 0044 0532 0130 00") != "[iban]"
