"""The OpenAI adapter against our golden files, every cut of their streams, and every recorded reply."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from adapters import ADAPTERS
from adapters.base import FailedStream, StreamDecoder, Tally
from adapters.openai import OpenAIAdapter
from adapters.openai_request import parse
from adapters.schema import InferenceRequest, InvalidRequest
from policies.vocabulary import Endpoint, FailureKind
from tests.wire_recordings import FAMILIES, IN_OPENAIS_FORMAT, Recording

if TYPE_CHECKING:
    from policies.usage import Usage

ADAPTER = OpenAIAdapter()
ASKED = [{"role": "user", "content": "Hi"}]
FOLDER = Path(__file__).parent / "golden"
GOLDEN = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")) if path.stem[:5] != "error"}
STREAMS = {name: golden for name, golden in GOLDEN.items() if "stream" in golden}
ANSWERS = {name: golden for name, golden in GOLDEN.items() if "answer" in golden}
Golden = dict[str, Any]


def ask(golden: Golden) -> InferenceRequest:
    return parse(Endpoint(golden["endpoint"]), json.dumps(golden["request"], ensure_ascii=False).encode())


def wire(events: list[str]) -> bytes:
    return b"".join(event.encode() + b"\n\n" for event in events)


def summary(tally: Tally) -> Golden:
    usage = tally.usage
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
    return {
        "usage": {name: getattr(usage, name) for name in names} if usage else None,
        "finish_reasons": tally.finish_reasons,
        "text": "".join(tally.text),
        "model": tally.model,
        "id": tally.id,
    }


def read(decoder: StreamDecoder, *pieces: bytes) -> bytes:
    return b"".join([decoder.feed(piece) for piece in pieces]) + decoder.finish()


# --- golden files ---


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_the_upstream_gets_what_the_caller_sent_under_its_own_model_name(golden: Golden) -> None:
    sent = ADAPTER.encode(ask(golden), "upstream-model")
    assert sent.path == f"/{golden['endpoint']}"
    assert json.loads(sent.body) == golden["upstream"]
    assert list(json.loads(sent.body))[: len(golden["request"])] == list(golden["request"])


@pytest.mark.parametrize("golden", ANSWERS.values(), ids=ANSWERS)
def test_whole_answers_pass_untouched(golden: Golden) -> None:
    body = json.dumps(golden["answer"], indent=1, ensure_ascii=False).encode()
    passed, tally = ADAPTER.decode(ask(golden), body)
    assert passed == body
    assert summary(tally) == golden["tally"]


@pytest.mark.parametrize("golden", STREAMS.values(), ids=STREAMS)
def test_streams_pass_event_by_event(golden: Golden) -> None:
    decoder = ADAPTER.decoder(ask(golden))
    assert read(decoder, wire(golden["stream"])) == wire(golden.get("reply") or golden["stream"])
    assert summary(decoder.tally) == golden["tally"]
    assert decoder.started
    assert decoder.ended


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("golden", STREAMS.values(), ids=STREAMS)
def test_no_cut_changes_what_passes(golden: Golden, line_end: bytes) -> None:
    request, stream = ask(golden), wire(golden["stream"]).replace(b"\n", line_end)
    reply = wire(golden.get("reply") or golden["stream"])
    for place in range(len(stream) + 1):
        assert read(ADAPTER.decoder(request), stream[:place], stream[place:]) == reply, place
    bytewise = ADAPTER.decoder(request)
    assert read(bytewise, *(stream[at : at + 1] for at in range(len(stream)))) == reply
    assert summary(bytewise.tally) == golden["tally"]


@pytest.mark.parametrize("golden", STREAMS.values(), ids=STREAMS)
def test_a_stream_cut_short_anywhere_is_never_a_success(golden: Golden) -> None:
    """Once every choice has stopped nothing is missing but the marker; before that a cut is a failure."""
    request, stream = ask(golden), wire(golden["stream"])
    enough = len(stream) if request.endpoint is Endpoint.RESPONSES else stream.rindex(b'"finish_reason":"')
    for place in range(enough):
        decoder = ADAPTER.decoder(request)
        with pytest.raises(FailedStream) as failed:
            # The closing blank line alone may be missing: all that was promised is there then.
            read(decoder, stream[: min(place, len(stream) - 3)])
        assert failed.value.failure.kind is FailureKind.TRUNCATED
        assert not decoder.ended


# --- what goldens do not show ---


def test_unknown_bytes_reach_the_upstream_as_they_came() -> None:
    request = parse(
        Endpoint.CHAT, b'{ "x" : [1.50, 1E2,\n"\\u00e9"], "model": "m", "messages": [{"role":"user","content":"a"}]}'
    )
    assert b'"x":[1.50, 1E2,\n"\\u00e9"]' in ADAPTER.encode(request, 'quoted "name"').body


def test_null_stream_options_make_room_for_ours() -> None:
    request = parse(
        Endpoint.CHAT, b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":null}'
    )
    assert json.loads(ADAPTER.encode(request, "m").body)["stream_options"] == {"include_usage": True}
    assert bytes(request.members["stream_options"]) == b"null"


def test_broken_text_in_a_whole_answer_is_mended() -> None:
    request = InferenceRequest(Endpoint.CHAT, "m", False, False, {}, 0)
    body = b'{"choices":[{"message":{"content":"a\xff\\ud83d"}}]}'
    passed, tally = ADAPTER.decode(request, body)
    assert passed == '{"choices":[{"message":{"content":"a\ufffd\\ufffd"}}]}'.encode()
    assert tally.text == ["a\ufffd\ufffd"]


def test_embeddings_have_no_stream() -> None:
    with pytest.raises(FailedStream):
        ADAPTER.decoder(InferenceRequest(Endpoint.EMBEDDINGS, "m", True, False, {}, 0))


# --- recorded replies ---

SCHEMAS = {
    (Endpoint.CHAT, False): "CreateChatCompletionResponse",
    (Endpoint.CHAT, True): "CreateChatCompletionStreamResponse",
    (Endpoint.COMPLETIONS, False): "CreateCompletionResponse",
    (Endpoint.COMPLETIONS, True): "CreateCompletionResponse",
    (Endpoint.EMBEDDINGS, False): "CreateEmbeddingResponse",
    (Endpoint.RESPONSES, False): "Response",
    (Endpoint.RESPONSES, True): "ResponseStreamEvent",
}
COMMENT = re.compile(rb"^:.*\n\n", re.MULTILINE)


def recordings(folder: Path) -> list[tuple[Recording, InferenceRequest, bytes]]:
    """Each reply in OpenAI's format, with a request that asks for it."""
    found = []
    for entry in IN_OPENAIS_FORMAT:
        request = InferenceRequest(FAMILIES[entry["family"]], "m", entry["streaming"], True, {}, 0)
        found.append((entry, request, (folder / entry["response"]).read_bytes()))
    assert len(found) > 100
    return found


def forward(entry: Recording, request: InferenceRequest, body: bytes) -> tuple[bytes, Tally]:
    if not entry["streaming"]:
        return ADAPTER.decode(request, body)
    decoder = ADAPTER.decoder(request)
    return read(decoder, body), decoder.tally


def differences(expect: Recording, tally: Tally) -> list[str]:
    found = []
    if expect.get("finish") and expect["finish"] not in ("incomplete", *tally.finish_reasons):
        found.append(f"finish {tally.finish_reasons}, expected {expect['finish']}")
    text = "".join(tally.text)
    words = f"{expect.get('text') or ''} {expect.get('reasoning') or ''}".split()
    names = [call["name"] for call in expect.get("tool_calls") or []]
    found += [f"{word} is not there" for word in words + names if word not in text]
    return found + usage_differences(expect.get("usage") or {}, tally.usage)


def usage_differences(expect: Recording, usage: Usage | None) -> list[str]:
    sent, generated = (
        expect.get(name, expect.get(other)) for name, other in (("input", "prompt_tokens"), ("output", ""))
    )
    if not sent and not generated:
        return []
    reasoning = expect.get("reasoning") or 0
    if usage and expect.get("reasoning") is None and usage.output_tokens - usage.reasoning_tokens == generated:
        reasoning = usage.reasoning_tokens  # Google's, which its totals alone hold
    cached = expect.get("cached") or 0
    totals = (generated or 0, (generated or 0) + reasoning)  # reasoning is reported within the output, or beside it
    seen = usage and (usage.input_tokens, usage.cached_input_tokens, usage.reasoning_tokens)
    return (
        []
        if usage and seen == (sent or 0, cached, reasoning) and usage.output_tokens in totals
        else [f"usage {usage}, expected {expect}"]
    )


def test_recorded_replies_mean_what_they_are_known_to_mean(shared_wire: Path) -> None:
    wrong = {}
    for entry, request, body in recordings(shared_wire):
        if entry["status"] < 400 and "stream_error" not in entry["expect"]:
            passed, tally = forward(entry, request, body)
            found = differences(entry["expect"], tally)
            if COMMENT.sub(b"", passed) != COMMENT.sub(b"", body):
                found.append("the bytes did not pass untouched")
            if found:
                wrong[entry["id"]] = found
    assert wrong == {}


def test_recorded_errors_are_recognised(shared_wire: Path) -> None:
    seen = 0
    for entry, request, body in recordings(shared_wire):
        expect = entry["expect"]
        if entry["status"] >= 400:
            failure = ADAPTER.classify(entry["status"], entry["response_headers"], body)
            assert (failure.kind, failure.message) == (FailureKind.STATUS, expect["error"]["message"])
        elif "stream_error" in expect:
            with pytest.raises(FailedStream) as failed:
                forward(entry, request, body)
            assert failed.value.failure.message == expect["stream_error"]["message"]
        else:
            continue
        seen += 1
    assert seen >= 8


def test_recorded_streams_pass_however_they_are_cut(shared_wire: Path) -> None:
    for entry, request, body in recordings(shared_wire):
        if entry["streaming"] and "stream_error" not in entry["expect"]:
            whole = forward(entry, request, body)[0]
            for size in (1, 7, 1000):
                pieces = (body[at : at + size] for at in range(0, len(body), size))
                assert read(ADAPTER.decoder(request), *pieces) == whole, (entry["id"], size)


def test_recorded_requests_are_accepted(shared_wire: Path) -> None:
    refused = {}
    for entry, request, _ in recordings(shared_wire):
        recorded = entry["request"]
        if recorded and entry["status"] < 400:
            body = (shared_wire / recorded).read_bytes() if isinstance(recorded, str) else json.dumps(recorded).encode()
            endpoint = Endpoint.CHAT if b'"messages"' in body else request.endpoint
            try:
                asked = parse(endpoint, body)
            except InvalidRequest as error:
                refused[entry["id"]] = error.message
            else:
                assert asked.stream == entry["streaming"]
    assert refused == {}


def events_of(entry: Recording, body: bytes) -> list[Any]:
    if not entry["streaming"]:
        return [json.loads(body)]
    lines = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]
    return [json.loads(line) for line in lines]


def test_forwarded_replies_are_valid_where_the_upstream_s_were(shared_wire: Path, shared_schema: Path) -> None:
    components = json.loads((shared_schema / "openai-schemas.json").read_text())["components"]
    validators = {
        key: jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
        for key, name in SCHEMAS.items()
    }
    valid = 0
    for entry, request, body in recordings(shared_wire):
        if entry["status"] < 400 and "stream_error" not in entry["expect"] and entry["provider"] == "openai":
            validator = validators[request.endpoint, entry["streaming"]]
            passed = events_of(entry, forward(entry, request, body)[0])
            for before, after in zip(events_of(entry, body), passed, strict=True):
                if validator.is_valid(before):
                    valid += 1
                    assert validator.is_valid(after), entry["id"]
    assert valid > 50


@pytest.mark.parametrize(
    ("kind", "endpoint", "body", "limits"),
    [
        ("openai", Endpoint.CHAT, {"messages": ASKED}, {"max_tokens": 77}),
        ("openai_itself", Endpoint.CHAT, {"messages": ASKED}, {"max_completion_tokens": 77}),
        ("openai", Endpoint.CHAT, {"messages": ASKED, "max_tokens": None}, {"max_tokens": 77}),
        ("openai_itself", Endpoint.COMPLETIONS, {"prompt": "a"}, {"max_tokens": 77}),
        ("openai", Endpoint.RESPONSES, {"input": "a"}, {"max_output_tokens": 77}),
        ("openai", Endpoint.EMBEDDINGS, {"input": "a"}, {}),
    ],
)
def test_a_limit_of_ours_goes_upstream_under_the_name_known_there(
    kind: str, endpoint: Endpoint, body: dict[str, Any], limits: dict[str, int]
) -> None:
    request = parse(endpoint, json.dumps({"model": "route", **body}).encode())
    request.output_tokens_added = 77
    assert json.loads(ADAPTERS[kind].encode(request, "m").body) == {**body, "model": "m", **limits}
