from __future__ import annotations

import pytest

from adapters.base import WireRequest
from gateway.transport.head import HeaderError, RequestHeads
from gateway.transport.origin import Origin

ORIGIN = Origin.parse("https://llm.example/v1")
HEADS = RequestHeads(ORIGIN, (("authorization", "Bearer sk-1"),))
WIRE = WireRequest("/chat/completions", b"{}")


def test_a_head_holds_the_pools_headers_and_the_calls() -> None:
    assert HEADS.render(WIRE, (("traceparent", "00-1-2-01"),)) == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: llm.example\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\ncontent-type: application/json\r\ntraceparent: 00-1-2-01\r\n"
        b"content-length: 2\r\n\r\n"
    )


def test_nobody_overrides_the_pools_credential() -> None:
    stolen = (("authorization", "Bearer sk-caller"),)
    head = HEADS.render(WireRequest("/x", b"", stolen), stolen)
    assert head.count(b"authorization") == 1
    assert b"sk-caller" not in head


@pytest.mark.parametrize(
    "value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "a\x1b[31m", "a\x7f", "a\x85b", "日本", "\ud800"]
)
def test_no_control_character_and_nothing_beyond_latin_1_goes_out_in_a_header(value: str) -> None:
    with pytest.raises(HeaderError):
        HEADS.render(WIRE, (("x-request-id", value),))
    with pytest.raises(HeaderError):
        HEADS.render(WireRequest("/x", b"", (("x-a", value),)), ())
    with pytest.raises(HeaderError):
        RequestHeads(ORIGIN, (("x-a", value),))


@pytest.mark.parametrize(
    "name", ["", "X-Upper", "a b", "a:", "a\r\nb", "ä", "host", "content-length", "transfer-encoding", "connection"]
)
def test_only_proper_header_names_that_are_not_ours_go_out(name: str) -> None:
    with pytest.raises(HeaderError, match="may be set"):
        HEADS.render(WIRE, ((name, "1"),))


def test_latin_1_is_allowed_in_a_value() -> None:
    assert "x-title: Grüße\r\n".encode("latin-1") in HEADS.render(WIRE, (("x-title", "Grüße"),))


def test_heads_kept_for_reuse_are_bounded() -> None:
    heads = RequestHeads(ORIGIN, ())
    for number in range(1000):
        heads.render(WireRequest(f"/models/{number}", b""), ())
    assert len(heads._blocks) <= 256


def test_a_policys_header_may_be_written_in_any_case() -> None:
    heads = RequestHeads(ORIGIN, (("OpenAI-Organization", "org-1"),))
    assert b"openai-organization: org-1\r\n" in heads.render(WIRE, (("openai-organization", "org-2"),))
    assert b"org-2" not in heads.render(WIRE, (("openai-organization", "org-2"),))
