"""Writes `config/models/models-DATE.json`: what litellm's bundled map says that models can do, and how much they read,
the latter from the installed genai-prices too.

Both packages are MIT-licensed and are read as data, as for `config/prices`. A flag that is absent there is absent
here.
"""

from __future__ import annotations

import argparse
import datetime as dt
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.config.model_facts import FORMAT, Line, TableFile
from gateway.prices.from_litellm import name_of as litellm_name
from gateway.prices.lines import Source
from gateway.prices.whose import names_of
from policies.route_rules import Capability
from scripts.make_prices import litellm_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHIPPED = Path(__file__).resolve().parent.parent / "config" / "models"

FLAGS = {
    "supports_function_calling": Capability.TOOLS,
    "supports_vision": Capability.IMAGES,
    "supports_audio_input": Capability.AUDIO,
    "supports_pdf_input": Capability.FILES,
    "supports_response_schema": Capability.JSON_SCHEMA,
    "supports_reasoning": Capability.REASONING,
    "supports_assistant_prefill": Capability.PREFILL,
}

# Anthropic's page on the OpenAI SDK (docs.claude.com/en/api/openai-sdk, as of 2026-11): one answer, no logprobs, no
# sound. The map has no flags for the first two.
BY_HAND = {"anthropic": (Capability.AUDIO, Capability.CHOICES, Capability.LOGPROBS)}

# Of an embedding model each text has to fit, not the request, which may hold thousands of them.
MODES = ("chat", "completion", "responses")

Names = dict[tuple[str, str], int]


def genai_windows() -> Names:
    """genai-prices' context windows by provider and model."""
    from genai_prices.data import providers  # noqa: PLC0415 - 0.2 s that --help need not wait for

    return {
        (provider.id, model.id): model.context_window
        for provider in providers
        for model in provider.models
        if model.context_window and "embed" not in model.id
    }


def litellm_lines(entries: Mapping[str, Mapping[str, Any]], windows: Names) -> Iterator[Line]:
    """litellm's models, as far as it says anything of them."""
    for key, entry in entries.items():
        if entry.get("mode") not in MODES or key == "sample_spec":
            continue
        provider, model = litellm_name(key, entry["litellm_provider"])
        line = Line(
            provider,
            model,
            has=_flagged(entry, stated=True),
            lacks=_lacked(provider, entry),
            context_tokens=_window(entry, next((windows[n] for n in names_of(provider, model) if n in windows), None)),
            output_tokens_max=_tokens(entry, "max_output_tokens"),
        )
        if line != Line(provider, model):
            yield line


def _flagged(entry: Mapping[str, Any], *, stated: bool) -> tuple[Capability, ...]:
    """The capabilities that an entry affirms, or denies. Who keeps to a schema writes JSON."""
    found = {capability for flag, capability in FLAGS.items() if entry.get(flag) is stated}
    if stated and Capability.JSON_SCHEMA in found:
        found.add(Capability.JSON_MODE)
    return tuple(sorted(found))


def _lacked(provider: str, entry: Mapping[str, Any]) -> tuple[Capability, ...]:
    has = _flagged(entry, stated=True)
    denied = {*_flagged(entry, stated=False), *BY_HAND.get(provider, ())}
    return tuple(sorted(denied - set(has)))


def _window(entry: Mapping[str, Any], genai: int | None) -> int | None:
    """The most that prompt and answer may be together, and never less than that.

    litellm's number bounds the prompt; in some models the answer comes on top of it, and the map does not say in which.
    """
    prompt, answer = _tokens(entry, "max_input_tokens"), _tokens(entry, "max_output_tokens")
    if genai is not None:
        return max(genai, prompt or 0)
    if prompt is None or answer is None or answer >= prompt:
        return prompt
    return prompt + answer


def _tokens(entry: Mapping[str, Any], name: str) -> int | None:
    stated = entry.get(name)
    return int(stated) if isinstance(stated, int | float) and stated > 0 else None


def build(today: dt.date, entries: Mapping[str, Mapping[str, Any]]) -> TableFile:
    """One line for each provider's model. Of entries under one name the first is taken, as for the prices."""
    windows = genai_windows()
    lines: dict[tuple[str, str], Line] = {}
    for line in litellm_lines(entries, windows):
        lines.setdefault((line.provider, line.model), line)
    for (provider, model), tokens in windows.items():
        lines.setdefault((provider, model), Line(provider, model, context_tokens=tokens))
    sources = {name: Source(name, version(name), "MIT", today.isoformat()) for name in ("genai-prices", "litellm")}
    return TableFile(FORMAT, today.isoformat(), sources, [lines[name] for name in sorted(lines)])


def render(file: TableFile) -> bytes:
    """The file with one line per model, so that a diff reads as a list of changes."""
    head = msgspec.json.encode(msgspec.structs.replace(file, models=[])).removesuffix(b"]}")
    return head + b"\n" + b",\n".join(map(msgspec.json.encode, file.models)) + b"\n]}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", type=dt.date.fromisoformat, default=dt.datetime.now(tz=dt.UTC).date())
    parser.add_argument("--into", type=Path, default=SHIPPED)
    options = parser.parse_args()
    file = build(options.date, litellm_map())
    options.into.mkdir(parents=True, exist_ok=True)
    path = options.into / f"models-{file.date}.json"
    path.write_bytes(render(file))
    print(f"{path}: {len(file.models)} models, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
