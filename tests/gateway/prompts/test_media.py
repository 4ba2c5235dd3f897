from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from adapters.schema import InferenceRequest
from gateway.prompts.media import images_in, media_in
from policies.route_rules import Capability
from policies.vocabulary import Endpoint


def request(value: Any, endpoint: Endpoint = Endpoint.CHAT, *, has_media: bool = True) -> InferenceRequest:
    name = "input" if endpoint is Endpoint.RESPONSES else "messages"
    raw = msgspec.Raw(value if isinstance(value, bytes) else json.dumps(value).encode())
    return InferenceRequest(
        endpoint, "m", stream=False, include_usage=False, members={name: raw}, body_bytes=0, has_media=has_media
    )


def parts(*kinds: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": kind} for kind in kinds]}


@pytest.mark.parametrize(
    ("items", "endpoint", "expected"),
    [
        ([parts("text", "image_url", "image_url")], Endpoint.CHAT, {Capability.IMAGES: 2}),
        ([parts("input_audio"), parts("file")], Endpoint.CHAT, {Capability.AUDIO: 1, Capability.FILES: 1}),
        ([{"role": "assistant", "audio": {"id": "a"}}], Endpoint.CHAT, {Capability.AUDIO: 1}),
        ([parts("text"), {"role": "user", "content": "x"}], Endpoint.CHAT, {}),
        ([parts("input_text", "input_image")], Endpoint.RESPONSES, {Capability.IMAGES: 1}),
        (
            [{"type": "function_call_output", "output": [{"type": "input_image"}]}],
            Endpoint.RESPONSES,
            {Capability.IMAGES: 1},
        ),
        (
            [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}],
            Endpoint.RESPONSES,
            {Capability.IMAGES: 1},
        ),
        ([{"type": "function_call_output", "output": "x"}], Endpoint.RESPONSES, {}),
        ([{"role": "user", "content": [{"type": ["image"]}]}], Endpoint.RESPONSES, {}),
        ("only text", Endpoint.RESPONSES, {}),
        (b"[" * 5000, Endpoint.RESPONSES, {}),
    ],
)
def test_what_parts_tell(items: object, endpoint: Endpoint, expected: dict[Capability, int]) -> None:
    assert media_in(request(items, endpoint)) == expected


def test_images_are_counted() -> None:
    assert images_in(request([parts("image_url", "text"), parts("image_url")])) == 2


def test_what_the_parser_found_to_be_text_is_not_read() -> None:
    assert media_in(request(b"not JSON", has_media=False)) == {}
