"""Items 1 to 12 and 15 of the catalogue of bad inputs: credentials that are missing, wrong, odd or contradictory."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from gateway.keys.virtual_keys import generate
from tests.end_to_end.siege import (
    CHAT,
    EXPIRED_KEY,
    GOOD_BODY,
    INFERENCE,
    LIMITED_KEY,
    TRIED_KEY,
    Case,
    besieged,
)
from tests.gateway_process import KEY, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.siege import Siege

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRESH = generate("live", random.Random(1))  # a key that opens nothing
MISTYPED = FRESH[:-1] + ("a" if FRESH[-1] != "a" else "b")
HEADERS = ("Authorization: Bearer {}", "x-api-key: {}", "api-key: {}")
PATHS = [*INFERENCE, *(path.removeprefix("/v1") for path in INFERENCE)]


def ask(*headers: str, path: str = CHAT, model: str = "m") -> bytes:
    return post(path, GOOD_BODY | {"model": model}, *headers, key=None)


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: gateway", "Connection: close", *headers, "", ""]).encode()


def bytes_header(name: bytes, value: bytes) -> bytes:
    return ask().replace(b"\r\n\r\n", b"\r\n%b: %b\r\n\r\n" % (name, value), 1)


CASES = [
    Case(1, "no header", ask(), {401}, "missing_api_key"),
    Case(2, "empty bearer", ask("Authorization: Bearer "), {401}, "missing_api_key"),
    Case(2, "bearer without a blank", ask("Authorization: Bearer"), {401}, "missing_api_key"),
    Case(2, "empty authorization", ask("Authorization:"), {401}, "missing_api_key"),
    Case(2, "empty x-api-key", ask("x-api-key:"), {401}),
    Case(3, "basic", ask("Authorization: Basic dXNlcjpwYXNz"), {401}, "missing_api_key"),
    Case(3, "the key without a scheme", ask(f"Authorization: {KEY}"), {401}, "missing_api_key"),
    Case(3, "the key in another scheme", ask(f"Authorization: Digest {KEY}"), {401}, "missing_api_key"),
    Case(4, "two authorizations", ask(f"Authorization: Bearer {KEY}", f"Authorization: Bearer {TRIED_KEY}"), {400}),
    Case(4, "two authorizations alike", ask(*[f"Authorization: Bearer {KEY}"] * 2), {400}),
    Case(5, "wrong checksum", ask(f"Authorization: Bearer {MISTYPED}"), {401}, "invalid_api_key"),
    Case(6, "unknown key in our form", ask(f"Authorization: Bearer {FRESH}"), {401}, "invalid_api_key"),
    Case(7, "revoked or never known", ask(f"Authorization: Bearer {TRIED_KEY}"), {401}, "invalid_api_key"),
    Case(8, "expired", ask(f"Authorization: Bearer {EXPIRED_KEY}"), {401}, "key_expired"),
    Case(9, "8 KB key", ask(f"Authorization: Bearer {'k' * 8100}"), {401}, "invalid_api_key"),
    Case(9, "9 KB key", ask(f"Authorization: Bearer {'k' * 9000}"), {431}, "request_head_too_large", parsed=False),
    Case(10, "quote", ask(f"Authorization: Bearer {KEY}'"), {401}, "invalid_api_key"),
    Case(10, "sql", ask("Authorization: Bearer x' OR (SELECT sleep(8)) IS NOT NULL --"), {401}, "invalid_api_key"),
    Case(10, "percent nul", ask(f"Authorization: Bearer {KEY}%00"), {401}, "invalid_api_key"),
    Case(10, "line break", ask(f"Authorization: Bearer {TRIED_KEY}\r\nX-Injected: 1"), {401}, "invalid_api_key"),
    Case(10, "tab inside", ask(f"Authorization: Bearer {KEY}\t{KEY}"), {401}, "invalid_api_key"),
    Case(10, "utf-8", bytes_header(b"Authorization", "Bearer schlüssel-für-alle-türen".encode()), {401}),
    Case(10, "no utf-8", bytes_header(b"Authorization", b"Bearer \xff\xfe\xfd" + b"k" * 30), {401}),
    Case(10, "no utf-8 in x-api-key", bytes_header(b"x-api-key", b"\xed\xa0\x80" * 10), {401}),
    Case(11, "key in the query", post(f"{CHAT}?api_key={KEY}&key={TRIED_KEY}", GOOD_BODY, key=None), {401}),
    *(
        Case(12, f"{name} differ", ask(*headers), {400}, "conflicting_api_keys")
        for name, *headers in (
            ("bearer and x-api-key", f"Authorization: Bearer {KEY}", f"x-api-key: {TRIED_KEY}"),
            ("x-api-key and api-key", f"x-api-key: {KEY}", f"api-key: {LIMITED_KEY}"),
            ("two x-api-keys", f"x-api-key: {KEY}", f"x-api-key: {TRIED_KEY}"),
        )
    ),
    Case(15, "not allowed", ask(f"api-key: {LIMITED_KEY}", model="secret/model"), {403}, "model_not_allowed", "model"),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("auth")) as siege:
        siege.secrets += [FRESH, MISTYPED]
        yield siege


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_bad_credentials_are_refused(siege: Siege, case: Case) -> None:
    got = await siege.refuses(case)
    if got.status == 401:
        assert got.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", PATHS)
async def test_strangers_are_refused_on_every_endpoint_before_their_body_is_looked_at(siege: Siege, path: str) -> None:
    got = await siege.refuses(Case(1, path, post(path, b"{ not even JSON", key=None), {401}, "missing_api_key"))
    assert got.error["param"] is None


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("path", [CHAT, "/chat/completions"])
async def test_a_key_is_taken_from_each_of_its_headers(siege: Siege, header: str, path: str) -> None:
    await siege.accepts(ask(header.format(KEY), path=path))


@pytest.mark.parametrize("path", [*PATHS, "/v1/models", "/models", "/v1/models/m", "/models/m"])
async def test_all_three_headers_at_once_are_fine_on_every_endpoint_while_they_agree(siege: Siege, path: str) -> None:
    agreeing = [header.format(KEY) for header in HEADERS]
    differing = [*agreeing[:2], HEADERS[2].format(TRIED_KEY)]
    if "models" in path:
        assert (await siege.ask(get(path, *agreeing))).status == 200
        await siege.refuses(Case(12, path, get(path, *differing), {400}, "conflicting_api_keys"))
    else:  # a bad body shows that the key was good
        bad = post(path, b"[]", *agreeing, key=None)
        await siege.refuses(Case(12, path, bad, {400}, "invalid_json"))
        await siege.refuses(Case(12, path, post(path, b"[]", *differing, key=None), {400}, "conflicting_api_keys"))


async def test_a_limited_key_may_use_what_it_was_given(siege: Siege) -> None:
    await siege.accepts(ask(f"x-api-key: {LIMITED_KEY}"))


async def test_unknown_and_mistyped_keys_are_told_the_same(siege: Siege) -> None:
    told = []
    for key in (FRESH, MISTYPED, TRIED_KEY, f"{KEY[:-1]}x"):
        got = await siege.ask(ask(f"Authorization: Bearer {key}"))
        told.append({name: value for name, value in got.error.items() if name != "request_id"})
    assert told == [told[0]] * 4


async def test_a_key_that_is_sql_is_refused_at_once(siege: Siege) -> None:
    started_s = time.monotonic()
    await siege.ask(ask("Authorization: Bearer x' OR (SELECT pg_sleep(8)) IS NOT NULL --"))
    assert time.monotonic() - started_s < 1


async def test_refused_credentials_are_logged_by_code_alone(siege: Siege) -> None:
    got = await siege.ask(post(f"{CHAT}?key={TRIED_KEY}", GOOD_BODY, f"x-secret: {TRIED_KEY}", key=TRIED_KEY))
    line = await siege.line_about(got)
    assert (line["status"], line["error_code"]) == (401, "invalid_api_key")
    assert "key_id" not in line
