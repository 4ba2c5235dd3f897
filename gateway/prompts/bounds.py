"""What of a prompt its bytes do not bound: images, attachments, and what an upstream adds or fetches by itself.

One token per UTF-8 byte bounds text, since no token of any tokenizer stands for less than a byte, and JSON's escapes
only make a body longer than its text. Everything else needs published figures, and where there are none, the context
window: a prompt that exceeds it is refused and costs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

IMAGE_TOKENS_MAX: Final = 2833 + 8 * 5667
"""The dearest image of any published scale: gpt-4o-mini at high detail, 768 x 2048 pixels, which is 8 tiles of 512.

OpenAI's guide "Images and vision"; measured at one tile by community.openai.com/t/1262691 (2025-05). Other families
stay below: Claude about pixels / 750 and less than 5,000, Qwen2-VL 16,384 (its preprocessor's `max_pixels`)."""
WINDOW_TOKENS_DEFAULT: Final = 1_048_576
"""Taken for the context window where a deployment names none: the largest that the big providers sell (2026-11)."""
BASE64_CHARS_PER_AUDIO_TOKEN: Final = 32
"""Speech takes 10 tokens a second at OpenAI (its guide "Managing costs" of the Realtime API, 2026-11) and 32 at
Google (Gemini API, "Audio understanding"); MP3 has at least 8 kbit, or 1,333 characters of base64, a second."""

# The same guide, as quoted in 2025 and 2026: base and tile tokens of the models that count tiles (GPT-4o and 4.1: 85
# and 170, o1 and o3: 75 and 150, GPT-5: 70 and 140); 1,536 patches times at most 2.46 for mini and nano models; 10,000
# patches at `detail: original` (openai/codex#19865, 2026-04), for which the highest factor of all is taken here.
_TILED: Final = (85 + 8 * 170, 85)
_PATCHED: Final = (3779, 3779)
_LATEST: Final = (24_600, 24_600)
_DEAREST: Final = (IMAGE_TOKENS_MAX, IMAGE_TOKENS_MAX)

_OPENAI: Final = re.compile(r"(?:chatgpt|codex|gpt|o[1-9]|text-embedding|davinci|babbage|computer-use)(?:[-.]|$)")
_TILING: Final = re.compile(r"(?:gpt-4o|gpt-4\.[15]|gpt-4-|gpt-5(?:-|$)|o1|o3|chatgpt-4o)")
_SMALL: Final = re.compile(r"(?:gpt-4\.1|gpt-5(?:\.\d+)?|o4)-(?:mini|nano)(?:-|$)")

# Members by which a part, an item or a message names what is not in the body, or not in it as text.
_ELSEWHERE_KEYS: Final = frozenset(
    ("file", "file_id", "file_url", "file_data", "audio_url", "video_url", "document_url")
)
_IMAGE_KEYS: Final = frozenset(("image_url", "file_id", "type", "detail"))
_IMAGE_TYPES: Final = ("image_url", "input_image", "image", "computer_screenshot")
NESTED_TOKENS: Final = 4


class Family(NamedTuple):
    """How a family of models counts. `image_tokens` are the most for an image, and for one at low detail.

    `percent` is what a count by OpenAI's tokenizer is raised to: 100 for OpenAI's own models. For others nobody
    publishes a ratio that would bind; twice is taken, never more than the bytes, and what goes beyond is an overrun.
    `message_tokens` frame a message, `prompt_tokens` what a chat template puts before the first (Qwen's default system
    message, gpt-oss's), `tools_tokens` the words that introduce tools (Claude: 530 at most, its page on tool use).
    """

    name: str
    percent: int
    image_tokens: tuple[int, int]
    message_tokens: int
    prompt_tokens: int
    tools_tokens: int


OTHERS: Final = Family("other", 200, _DEAREST, 8, 128, 640)


def family_of(model: str) -> Family:
    """The family of a model by its name, as `gateway.prompts.tokens.encoding_of` reads it."""
    name = model.rsplit("/", 1)[-1].lower().removeprefix("ft:")
    if not _OPENAI.match(name):
        return OTHERS
    if name.startswith("gpt-oss"):
        return OTHERS._replace(name="oss", percent=100)
    if name.startswith("gpt-4o-mini"):
        return Family("4o-mini", 100, (IMAGE_TOKENS_MAX, 2833), 3, 3, 16)
    if _SMALL.match(name):
        return Family("small", 100, _PATCHED, 3, 3, 16)
    if _TILING.match(name):
        return Family("tiled", 100, _TILED, 3, 3, 16)
    return Family("latest", 100, _LATEST, 3, 3, 16)


@dataclass(slots=True)
class Found:
    """What a piece of a prompt holds. `elsewhere` says that some of it is not in the body at all."""

    texts: list[str] = field(default_factory=list)
    images: int = 0
    low_images: int = 0
    audio_chars: int = 0
    other_tokens: int = 0
    elsewhere: bool = False


def find(value: object) -> Found:
    """Everything in decoded JSON that may cost tokens. Without recursion: the depth is the caller's choice."""
    found = Found()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found.texts.append(item)
        elif isinstance(item, dict):
            _open(found, item, waiting)
            if item is not value:  # a template may print what is nested as it stands, names and all
                found.texts.append(" ".join(item))
                found.other_tokens += NESTED_TOKENS
            elif "name" in item:
                found.other_tokens += 1
        elif isinstance(item, list):
            waiting += item
        elif item is not None:
            found.other_tokens += len(repr(item))  # a number or a word: no token stands for less than a character
    return found


def _open(found: Found, members: dict[str, object], waiting: list[object]) -> None:
    kind = members.get("type")
    image = members.get("image_url")
    is_image = image is not None or kind in _IMAGE_TYPES
    if is_image:
        detail = (image if isinstance(image, dict) else members).get("detail")
        found.low_images += detail == "low"
        found.images += detail != "low"
    elif kind == "item_reference" or ("id" in members and "type" not in members and "role" not in members):
        found.elsewhere = True
    for name, value in members.items():
        if value is None or (is_image and name in _IMAGE_KEYS):
            continue
        if name in _ELSEWHERE_KEYS or (name == "audio" and isinstance(value, dict)):
            found.elsewhere = True  # `audio` is an answer spoken earlier, by its id
        elif name == "input_audio" and isinstance(value, dict) and isinstance(value.get("data"), str):
            found.audio_chars += len(value["data"])
        else:
            waiting.append(value)
