"""The recorded provider replies beside the checkout, as far as litellm's providers go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.litellm_calls import MODELS

SHARED = Path(os.environ.get("POINTSMAN_SHARED") or Path(__file__).resolve().parents[3] / "shared")
RECORDINGS = (
    json.loads((SHARED / "wire" / "index.json").read_bytes()) if (SHARED / "wire" / "index.json").is_file() else []
)
needs_recordings = pytest.mark.skipif(not RECORDINGS, reason="shared recordings are not beside this checkout")


def recordings(*families: str, status: int = 200) -> list[Any]:
    chosen = [
        pytest.param(each, id=each["id"])
        for each in RECORDINGS
        if each["provider"] in MODELS and each["family"] in families and each["status"] == status
    ]
    return chosen or [pytest.param(None, id="absent")]


def recording(name: str) -> dict[str, Any]:
    return next(each for each in RECORDINGS if each["id"].startswith(name))


def expected_usage(each: dict[str, Any]) -> tuple[int, int] | None:
    """Inclusive input and output; recordings list what the provider's own words say."""
    usage, family = each["expect"]["usage"], each["family"]
    if usage["input"] is None:
        return None
    counted_apart = family in ("anthropic", "bedrock_converse")
    cache = (usage["cached"] or 0) + (usage["cache_write"] or 0) if counted_apart else 0
    reasoning = (usage["reasoning"] or 0) if family == "gemini" else 0
    return usage["input"] + cache, (usage["output"] or 0) + reasoning


# Rounds that the provider ran on its own side: the recordings count the last one or leave the tools' prompts out.
OTHER_COUNTS = ("anthropic--test-anthropic-compaction", "gemini--test-google-model-web-fetch-tool")
