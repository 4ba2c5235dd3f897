"""What a prompt holds beside text: pictures, sound and files, told by the types of its parts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from policies.route_rules import Capability
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.schema import InferenceRequest

_PROMPT: Final = {Endpoint.CHAT: "messages", Endpoint.RESPONSES: "input"}
_NEEDED: Final = {
    **dict.fromkeys(("image_url", "input_image", "image", "computer_screenshot", "video_url"), Capability.IMAGES),
    **dict.fromkeys(("input_audio", "audio_url"), Capability.AUDIO),
    **dict.fromkeys(("file", "input_file", "document_url"), Capability.FILES),
}


class _Part(msgspec.Struct, gc=False):
    type: Any = None


class _Item(msgspec.Struct, gc=False):
    """A message, or another item of a conversation. Only what may hold parts is read."""

    content: list[_Part] | str | None = None
    output: list[_Part] | _Part | str | None = None
    audio: dict[str, msgspec.Raw] | None = None


_ITEMS: Final = msgspec.json.Decoder(list[_Item])


def media_in(request: InferenceRequest) -> Counter[Capability]:
    """How many pictures, sounds and files a prompt holds. What cannot be read counts as none: its upstream will say."""
    if not request.has_media:
        return Counter()
    raw = request.members.get(_PROMPT.get(request.endpoint, ""))
    if raw is None:
        return Counter()
    try:
        items = _ITEMS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return Counter()
    kinds = (_NEEDED.get(part.type) for part in _parts(items) if type(part.type) is str)
    found = Counter(kind for kind in kinds if kind is not None)
    found[Capability.AUDIO] += sum(item.audio is not None for item in items)
    return +found


def _parts(items: list[_Item]) -> Iterator[_Part]:
    for item in items:
        if type(item.content) is list:
            yield from item.content
        if type(item.output) is list:
            yield from item.output
        elif type(item.output) is _Part:
            yield item.output


def images_in(request: InferenceRequest) -> int:
    return media_in(request)[Capability.IMAGES]
