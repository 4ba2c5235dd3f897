"""The shipped table of models is what its script makes of the packages it names."""

from __future__ import annotations

import datetime as dt
import importlib.util
from importlib.metadata import version
from typing import Any

import pytest

from gateway.config.model_facts import Line, load
from gateway.data_files import newest_table
from policies.route_rules import Capability
from scripts.make_models import build, litellm_lines, render
from scripts.make_prices import litellm_map

if any(importlib.util.find_spec(name) is None for name in ("genai_prices", "litellm")):
    pytest.skip("genai-prices and litellm are not installed", allow_module_level=True)


def test_the_shipped_table_is_reproducible() -> None:
    shipped = load()
    if any(version(source.package) != source.version for source in shipped.sources.values()):
        pytest.skip("other versions of the sources are installed than the table was made from")
    as_shipped = build(dt.date.fromisoformat(shipped.date), litellm_map())
    assert render(as_shipped) == newest_table("models").read_bytes()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"supports_function_calling": True, "supports_vision": False},
            {"has": (Capability.TOOLS,), "lacks": (Capability.IMAGES,)},
        ),
        ({"supports_response_schema": True}, {"has": (Capability.JSON_MODE, Capability.JSON_SCHEMA)}),
        ({"supports_response_schema": False}, {"lacks": (Capability.JSON_SCHEMA,)}),
        ({"max_input_tokens": 100, "max_output_tokens": 20}, {"context_tokens": 120, "output_tokens_max": 20}),
        ({"max_input_tokens": 100, "max_output_tokens": 100}, {"context_tokens": 100, "output_tokens_max": 100}),
        ({"max_input_tokens": 100}, {"context_tokens": 100}),
        ({"max_input_tokens": "many", "max_output_tokens": 0, "supports_vision": "yes"}, None),
        ({"mode": "embedding", "max_input_tokens": 100}, None),
    ],
)
def test_litellms_entries(entry: dict[str, Any], expected: dict[str, Any] | None) -> None:
    lines = list(litellm_lines({"made-up/m": {"mode": "chat", "litellm_provider": "made-up", **entry}}, {}))
    assert lines == ([] if expected is None else [Line("made-up", "m", **expected)])


def test_the_stated_window_goes_before_the_sum() -> None:
    entry = {
        "mode": "chat",
        "litellm_provider": "made-up",
        "max_input_tokens": 100,
        "max_output_tokens": 20,
    }
    (line,) = litellm_lines({"m-20250101": entry}, {("made-up", "m"): 110})
    assert line.context_tokens == 110


def test_what_the_map_has_no_flag_for_is_written_out_but_does_not_contradict_it() -> None:
    entry = {"mode": "chat", "litellm_provider": "anthropic", "supports_audio_input": True}
    (line,) = litellm_lines({"m": entry}, {})
    assert (line.has, line.lacks) == ((Capability.AUDIO,), (Capability.LOGPROBS, Capability.CHOICES))
