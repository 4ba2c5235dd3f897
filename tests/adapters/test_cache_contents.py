"""What is found in conversations beside text, in the words of both APIs."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.cache_contents import Contents, look_into

NOTHING = Contents()
TOOLS, MEDIA = Contents(has_tool_calls=True), Contents(has_media=True)
LINKS, ELSEWHERE = Contents(has_media=True, has_links=True), Contents(is_elsewhere=True)


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"role": "user", "content": "hi"}, NOTHING),
        ({"role": "user", "content": "see https://a.b/c.png"}, NOTHING),
        ({"role": "assistant", "content": "hi", "tool_calls": [], "refusal": None}, NOTHING),
        (user({"type": "text", "text": "hi"}), NOTHING),
        ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}, NOTHING),
        ({"type": "reasoning", "id": "rs_1", "summary": []}, NOTHING),
        ({"role": "tool", "content": "42", "tool_call_id": "c"}, TOOLS),
        ({"role": "function", "name": "f", "content": "42"}, TOOLS),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]}, TOOLS),
        ({"role": "assistant", "content": None, "function_call": {"name": "f"}}, TOOLS),
        ({"type": "function_call_output", "call_id": "c", "output": "42"}, TOOLS),
        ({"type": "mcp_list_tools", "tools": []}, TOOLS),
        (user({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}), MEDIA),
        (user({"type": "image_url", "image_url": "https://a.b/c.png"}), LINKS),
        (user({"type": "input_image", "image_url": "HTTPS://a.b/c.png"}), LINKS),
        (user({"type": "video_url", "video_url": {"url": "http://a.b"}}), LINKS),
        (user({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}), MEDIA),
        (user({"type": "holograms"}), MEDIA),
        (user({"type": "file", "file": {"file_id": "file-1"}}), Contents(has_media=True, is_elsewhere=True)),
        ({"type": "item_reference", "id": "msg_1"}, ELSEWHERE),
        ({"id": "msg_1"}, ELSEWHERE),
        ({"role": "assistant", "audio": {"id": "audio_1"}}, ELSEWHERE),
    ],
)
def test_one_item(item: dict[str, Any], found: Contents) -> None:
    seen = Contents()

    look_into(seen, [{"role": "system", "content": "be brief"}, item])

    assert seen == found


def test_depth_is_no_matter() -> None:
    deep: Any = {"type": "image_url", "image_url": "https://a.b"}
    for _ in range(50_000):
        deep = [deep]
    seen = Contents()

    look_into(seen, deep)

    assert seen.has_links
