"""What conversations hold beside text, as far as a cache must know: tools, pictures, links, ids."""

from __future__ import annotations

from typing import Final

import msgspec

_TEXT_TYPES: Final = frozenset((
    "text", "input_text", "output_text", "refusal", "message", "reasoning", "reasoning_text", "summary_text",
    "thinking",
))  # fmt: skip
_LINKS: Final = ("image_url", "audio_url", "video_url", "document_url", "file_url")
_TOOL_ROLES: Final = ("tool", "function")
_TOOL_MEMBERS: Final = ("tool_calls", "function_call")
_PLAIN_MEMBERS: Final = 2  # role and content


class Contents(msgspec.Struct):
    """`has_links`: to what may be another thing tomorrow. `is_elsewhere`: a part is named by an id only."""

    has_tool_calls: bool = False
    has_media: bool = False
    has_links: bool = False
    is_elsewhere: bool = False


def look_into(found: Contents, value: object) -> None:
    """Add to `found` what is in decoded JSON. Without recursion: the depth is the caller's choice."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += [inner for inner in item if isinstance(inner, dict | list)]
        elif isinstance(item, dict):
            _note(found, item)
            if len(item) > _PLAIN_MEMBERS or not isinstance(item.get("content"), str):
                waiting += [inner for inner in item.values() if isinstance(inner, dict | list)]


def _note(found: Contents, item: dict[str, object]) -> None:
    kind = item.get("type")
    if item.get("role") in _TOOL_ROLES or any(item.get(name) for name in _TOOL_MEMBERS):
        found.has_tool_calls = True
    if isinstance(kind, str) and kind not in _TEXT_TYPES:
        _note_kind(found, kind)
    for name in _LINKS:
        link = item.get(name)
        url = link.get("url") if isinstance(link, dict) else link
        if isinstance(url, str):
            found.has_media = True
            found.has_links = found.has_links or url[:5].lower() != "data:"
    audio = item.get("audio")
    if item.get("file_id") or (isinstance(audio, dict) and "id" in audio):
        found.is_elsewhere = True
    if "id" in item and "type" not in item and "role" not in item and "content" not in item:
        found.is_elsewhere = True


def _note_kind(found: Contents, kind: str) -> None:
    if kind == "item_reference":
        found.is_elsewhere = True
    elif "call" in kind or "tool" in kind or "mcp" in kind or kind in _TOOL_ROLES:
        found.has_tool_calls = True
    else:
        found.has_media = True
