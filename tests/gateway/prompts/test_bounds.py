from __future__ import annotations

import pytest

from gateway.prompts.bounds import NESTED_TOKENS, family_of, find


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", "tiled"),
        ("gpt-4o-2024-11-20", "tiled"),
        ("openai/gpt-4.1", "tiled"),
        ("ft:gpt-4o-mini:acme::1", "4o-mini"),
        ("gpt-4.1-mini", "small"),
        ("gpt-5-nano-2025-08-07", "small"),
        ("o4-mini", "small"),
        ("GPT-5", "tiled"),
        ("gpt-5.4", "latest"),
        ("gpt-6", "latest"),
        ("gpt-6-mini", "latest"),
        ("gpt-5.4-mini", "small"),
        ("o3", "tiled"),
        ("text-embedding-3-small", "latest"),
        ("gpt-oss-120b", "oss"),
        ("claude-sonnet-4-5", "other"),
        ("olmo-2", "other"),
        ("gptq-model", "other"),
        ("", "other"),
    ],
)
def test_families(model: str, family: str) -> None:
    assert family_of(model).name == family


def test_only_openais_own_are_counted_as_they_are() -> None:
    assert family_of("gpt-4o").percent == family_of("gpt-oss-20b").percent == 100
    assert family_of("llama-3").percent == 200


def test_texts_images_and_speech_are_told_apart() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:b", "detail": "low"}},
        {"type": "image_url", "image_url": "https://c"},
        {"type": "input_image", "file_id": "file-d", "detail": "high"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    found = find({"role": "user", "content": content})
    assert (found.low_images, found.images, found.audio_chars, found.elsewhere) == (1, 2, 4, False)
    assert {"user", "a"} < set(found.texts)
    assert not [text for text in found.texts if text in ("data:b", "https://c", "file-d", "AAAA")]
    assert found.other_tokens == 5 * NESTED_TOKENS


def test_a_text_beside_an_image_still_counts() -> None:
    found = find({"type": "text", "text": "long", "image_url": "https://c"})
    assert (found.images, found.texts) == (1, ["long"])


def test_numbers_count_their_characters_and_depth_is_no_matter() -> None:
    assert find([12345, True, None, 1.5]).other_tokens == 5 + 4 + 3
    deep: object = "end"
    for _ in range(100_000):
        deep = [deep]
    assert find(deep).texts == ["end"]
    while isinstance(deep, list):
        deep = deep.pop()


@pytest.mark.parametrize("kind", [["image_url"], {"a": 1}, 7])
def test_odd_types_are_no_trouble(kind: object) -> None:
    found = find({"type": kind, "text": "a"})
    assert "a" in found.texts
    assert (found.images, found.elsewhere) == (0, False)
