"""No secret and nothing that was said comes out anywhere: every sink is searched, and shown to have been searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.canary_ground import KNOWN_SHAPE, SAID, SECRETS, TRACED, Ground, canary_ground
from tests.end_to_end.test_secrets import forms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What each sink holds of what was done, so that an empty or unread one would be noticed.
CONTROLS: dict[str, tuple[bytes, ...]] = {
    "log and greeting": (b"listening on", b"401", b"invalid_api_key"),
    "traces": (b"chat gpt-4o-mini", b"pointsman.auth", SAID["prompt"].encode(), SAID["tool argument"].encode()),
    "metrics": (b"pointsman_requests_total{", b'outcome="denied_auth"', b'outcome="upstream_error"'),
    "error bodies": (b'"error"', b"invalid_api_key", b"model_not_found"),
    "response headers": (b"x-request-id", b"HTTP/1.1 401", b"HTTP/1.1 429", b"HTTP/1.1 502"),
    "admin API": (b"HTTP/1.1 200", b"gpt-4o-mini"),
    "decisions": (b"candidates", b'"route"'),
    "redis": (b"pointsman",),
    "ledger": (b"req_", b"gpt-4o-mini", b"bad_response"),
    "exports": (b"req_", b"gpt-4o-mini", b"BilledCost"),
    "errors at the start": (b"did not start", b"ledger", b"content"),
    "files": (b"journal",),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["json", "text"])
async def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with canary_ground(tmp_path_factory.mktemp("canaries"), request.param) as made:
        yield made


async def test_every_sink_was_looked_at(ground: Ground) -> None:
    assert ground.sinks.keys() == CONTROLS.keys()
    missing = [
        (sink, needle) for sink, needles in CONTROLS.items() for needle in needles if needle not in ground.sinks[sink]
    ]
    assert missing == []


async def test_the_search_finds_what_is_there(ground: Ground) -> None:
    for sink, data in ground.sinks.items():
        for secret in SECRETS.values():
            assert found({"planted": secret}, {sink: data + secret.encode()}) == [f"planted in {sink}"]


async def test_no_credential_comes_out(ground: Ground) -> None:
    # An operator's own answer to a caller who sends the admin token is no sink: the caller has it already.
    assert found(SECRETS, ground.sinks) == []


async def test_nothing_of_what_was_said_comes_out_but_where_it_is_asked_for(ground: Ground) -> None:
    private = {name: words for name, words in SAID.items() if name not in TRACED}
    elsewhere = {sink: data for sink, data in ground.sinks.items() if sink not in ("traces", "error bodies")}
    assert found(SAID, elsewhere) == []
    assert found(private, {"traces": ground.sinks["traces"]}) == []


async def test_nothing_of_a_known_shape_comes_out_even_there(ground: Ground) -> None:
    assert found({"key in a prompt": KNOWN_SHAPE}, ground.sinks) == []


async def test_only_the_key_that_shows_its_prompts_has_them_in_traces(ground: Ground) -> None:
    spans = [span for span in ground.receiver.spans if span.name.startswith("chat ")]
    words = SAID["prompt"].encode()
    showing = [span for span in spans if words in span.SerializeToString()]
    assert 0 < len(showing) < len(spans)
    levels = {
        pair.value.string_value for span in showing for pair in span.attributes if pair.key == "pointsman.content.level"
    }
    assert levels == {"redacted"}


def found(canaries: dict[str, str], sinks: dict[str, bytes]) -> list[str]:
    """Which is where, as it is or in any form that bytes are written in."""
    looked_for = {name: forms(words) for name, words in canaries.items()}
    return [
        f"{name} in {sink}"
        for sink, data in sinks.items()
        for name, spelt in looked_for.items()
        if any(one in data for one in spelt)
    ]
