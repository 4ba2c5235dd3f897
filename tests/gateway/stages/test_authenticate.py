from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.stages.authenticate import ANYONE, Authenticate
from tests.gateway.key_sets import a_store, a_stored, a_view, fresh
from tests.gateway.stages.a_call import EXPIRED, KEY, LIMITED, Next, a_call, generation

HEADERS = ("Authorization", "x-api-key", "api-key")


def header(name: str, key: str) -> tuple[str, str]:
    return name, f"Bearer {key}" if name == "Authorization" else key


async def refusal(*headers: tuple[str, str]) -> RequestError:
    then = Next()
    with pytest.raises(RequestError) as refused:
        await Authenticate()(a_call(*headers), then)
    assert then.calls == []
    return refused.value


@pytest.mark.parametrize("name", [*HEADERS, "AUTHORIZATION", "X-Api-Key"])
async def test_a_key_is_taken_from_each_of_its_headers(name: str) -> None:
    call, then = a_call((name, f"Bearer {KEY}" if name.lower() == "authorization" else KEY)), Next()
    await Authenticate()(call, then)
    assert then.calls == [call]
    assert call.principal is not None
    assert call.principal.key_name == "all"


async def test_a_principal_says_what_its_key_may_use() -> None:
    call = a_call(("x-api-key", LIMITED))
    await Authenticate()(call, Next())
    assert call.principal is not None
    assert call.principal.routes == frozenset({"open"})


async def test_the_same_key_in_all_headers_is_one_key() -> None:
    call = a_call(*(header(name, KEY) for name in HEADERS))
    await Authenticate()(call, Next())
    assert call.principal is not None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_schemes_know_no_case(scheme: str) -> None:
    call = a_call(("Authorization", f"{scheme}   {KEY} "))
    await Authenticate()(call, Next())
    assert call.principal is not None


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer{KEY}"])
async def test_what_is_no_bearer_token_is_no_key(value: str) -> None:
    refused = await refusal(("Authorization", value))
    assert (refused.status, refused.code, refused.type) == (401, "missing_api_key", "authentication_error")


async def test_no_header_and_an_empty_one_are_no_key() -> None:
    assert (await refusal()).code == "missing_api_key"
    assert (await refusal(("x-api-key", ""))).code == "missing_api_key"


async def test_a_header_that_a_client_leaves_empty_says_nothing_against_the_key() -> None:
    call = a_call(("Authorization", f"Bearer {KEY}"), ("x-api-key", ""))
    await Authenticate()(call, Next())
    assert call.principal is not None


@pytest.mark.parametrize("key", [f"{KEY}x", KEY[:-1], "k" * 8000, "\udcff" * 30, f"{KEY}\t{KEY}", "sk-pm-live_x"])
async def test_unknown_keys_are_all_told_the_same(key: str) -> None:
    refused = await refusal(("x-api-key", key))
    assert (refused.status, refused.code) == (401, "invalid_api_key")
    assert refused.message == "Incorrect API key provided."


async def test_an_expired_key_is_told_so() -> None:
    refused = await refusal(("api-key", EXPIRED))
    assert (refused.status, refused.code) == (401, "key_expired")


@pytest.mark.parametrize(
    ("terms", "status", "code"),
    [
        ({"expires_at_ms": 1}, 401, "key_expired"),
        ({"not_before_ms": 2**48}, 401, "key_not_yet_valid"),
        ({"disabled": True}, 401, "key_disabled"),
        ({"networks": ("10.0.0.0/8",)}, 403, "address_not_allowed"),
    ],
)
async def test_the_holder_of_a_stored_key_is_told_what_is_wrong_with_it(
    terms: dict[str, Any], status: int, code: str
) -> None:
    secret = fresh()
    call = a_call(("x-api-key", secret))
    call.generation = generation(keys=a_view(a_store(a_stored(secret, **terms))))
    with pytest.raises(RequestError) as refused:
        await Authenticate()(call, Next())
    assert (refused.value.status, refused.value.code) == (status, code)


async def test_the_address_that_counts_is_the_connections_and_no_headers() -> None:
    secret = fresh()
    for peer, forged, good in (("10.0.0.1", "11.0.0.1", True), ("11.0.0.1", "10.0.0.1", False)):
        call = a_call(
            ("x-api-key", secret), ("X-Forwarded-For", forged), ("Forwarded", f"for={forged}"), ("X-Real-IP", forged)
        )
        call.generation = generation(keys=a_view(a_store(a_stored(secret, networks=("10.0.0.0/8",)))))
        call.peer = lambda peer=peer: peer  # type: ignore[misc]
        if good:
            await Authenticate()(call, Next())
            assert call.principal is not None
        else:
            with pytest.raises(RequestError, match="this address"):
                await Authenticate()(call, Next())


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Bearer {KEY}"), ("x-api-key", LIMITED)],
        [("x-api-key", KEY), ("api-key", LIMITED)],
        [("x-api-key", KEY), ("x-api-key", LIMITED)],
        [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    ],
)
async def test_two_keys_that_may_differ_are_refused(headers: list[tuple[str, str]]) -> None:
    refused = await refusal(*headers)
    assert (refused.status, refused.code) == (400, "conflicting_api_keys")


async def test_without_keys_anyone_may_call_and_none_is_looked_at() -> None:
    call = a_call(("Authorization", "Basic garbage"))
    call.generation = generation(keys=None)
    await Authenticate()(call, Next())
    assert call.principal is ANYONE
