"""Who gets in, and what callers never hear: keys at every door, no file names, no prompts in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.end_to_end.engine.house import CHAT, COMPLETIONS, EMBEDDINGS, RERANK, conversation
from tests.gateway_process import KEY

if TYPE_CHECKING:
    from tests.end_to_end.engine.house import House

BODIES: Any = {
    CHAT: conversation("steady", "Hi") | {"max_tokens": 2},
    COMPLETIONS: {"model": "steady", "prompt": "Hi", "max_tokens": 2},
    EMBEDDINGS: {"model": "embed", "input": "cat"},
    RERANK: {"model": "rank", "query": "cat", "documents": ["dog"]},
}
PATHS = [*BODIES, *(path.removeprefix("/v1") for path in BODIES), "/v2/rerank"]
SECRET = "the-harbour-master-is-called-Ottilie"


@pytest.fixture
def stranger(house: House) -> Any:
    with httpx.Client(base_url=house.root, timeout=30) as made:
        yield made


def body_of(path: str) -> Any:
    return BODIES["/v1" + path.removeprefix("/v1").removeprefix("/v2")]


@pytest.mark.parametrize("path", PATHS)
def test_every_door_asks_for_a_key(stranger: httpx.Client, path: str) -> None:
    refused = stranger.post(path, json=body_of(path))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "missing_api_key")
    for header in ({"authorization": f"Bearer {KEY}x"}, {"x-api-key": "nobody-gave-me-this-key"}):
        refused = stranger.post(path, json=body_of(path), headers=header)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("path", PATHS)
def test_a_key_opens_every_door_whichever_header_brings_it(stranger: httpx.Client, path: str) -> None:
    for header in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
        answer = stranger.post(path, json=body_of(path), headers=header)
        assert answer.status_code == 200
        assert "error" not in answer.json()


def test_models_are_listed_for_those_with_a_key(house: House, stranger: httpx.Client) -> None:
    assert stranger.get("/v1/models").status_code == 401
    names = {model["id"] for model in house.http.get("/v1/models").json()["data"]}
    assert {"steady", "embed", "rank", "loud"} <= names


@pytest.mark.parametrize(
    "path", ["/slots", "/props", "/metrics", "/lora-adapters", "/slots/0?action=save", "/v1/engine"]
)
def test_engines_have_no_doors_of_their_own_for_callers(house: House, path: str) -> None:
    for answer in (house.http.get(path), house.post(path, {"filename": "/etc/passwd"})):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("path", list(BODIES))
def test_no_web_page_elsewhere_may_ask(house: House, stranger: httpx.Client, path: str) -> None:
    origin = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    asked = stranger.options(path, headers=origin)
    assert asked.status_code == 405
    answered = house.http.post(path, json=BODIES[path], headers=origin)
    assert answered.status_code == 200
    for answer in (asked, answered):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, conversation("nobody", "Hi")),
        (CHAT, conversation("steady", "x " * 3000)),
        (CHAT, conversation("steady", "Hi") | {"chat_template_kwargs": {"messages": []}}),
        (CHAT, conversation("embed", "Hi")),
        (EMBEDDINGS, {"model": "embed", "input": "cat " * 999}),
        (EMBEDDINGS, {"model": "steady", "input": "cat"}),
        (COMPLETIONS, {"model": "steady:../../etc/passwd", "prompt": "x"}),
    ],
)
def test_errors_name_no_files(house: House, path: str, body: dict[str, Any]) -> None:
    answer = house.post(path, body)
    assert 400 <= answer.status_code < 500
    told = f"{answer.headers} {answer.text}"
    for inside in (".gguf", str(house.gateway.folder), "/work", "/root", "/tmp", "site-packages", "Traceback"):  # noqa: S108
        assert inside not in told


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file://../secret.png", "https://127.0.0.1:1/x.png"])
def test_no_file_or_address_in_a_message_is_opened(house: House, url: str) -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    assert house.refused(CHAT, conversation("steady", [picture]))["type"] == "invalid_request_error"


def test_what_is_said_is_not_in_the_log(house: House) -> None:
    told = house.chat("steady", f"Remember: {SECRET}.", max_tokens=40, logprobs=True)["choices"][0]["message"][
        "content"
    ]
    house.refused(CHAT, conversation("narrow", f"{SECRET} " * 20))
    house.refused(CHAT, conversation("steady", SECRET) | {"stop": [SECRET] * 5})
    house.until_idle("steady")
    log = "".join(house.gateway.text)
    assert SECRET not in log
    assert told not in log
    assert KEY not in log.replace("keys[0].secret", "")
