"""What a request asked for, as its attempts' spans say it: numbers only, and nothing that a caller wrote as text."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.signals.conventions import Attr

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.signals.span_values import Value

_WHOLE: Final = {
    "max_tokens": Attr.REQUEST_MAX_TOKENS,
    "max_output_tokens": Attr.REQUEST_MAX_TOKENS,
    "max_completion_tokens": Attr.REQUEST_MAX_TOKENS,
    "top_k": Attr.REQUEST_TOP_K,
    "seed": Attr.REQUEST_SEED,
    "n": Attr.REQUEST_CHOICES,
}
_DOUBLE: Final = {
    "temperature": Attr.REQUEST_TEMPERATURE,
    "top_p": Attr.REQUEST_TOP_P,
    "frequency_penalty": Attr.REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": Attr.REQUEST_PRESENCE_PENALTY,
}
_DIGITS_MAX: Final = 32
_WHOLE_MAX: Final = 1 << 53
_NUMBER: Final = msgspec.json.Decoder(float)


def add_request(attributes: dict[str, Value], request: InferenceRequest) -> None:
    """The settings that OpenTelemetry has names for. What is no sane number is left out."""
    for member, name in _WHOLE.items():
        value = _number(request, member)
        if value is not None and value.is_integer() and abs(value) < _WHOLE_MAX:
            attributes[name] = int(value)
    for member, name in _DOUBLE.items():
        value = _number(request, member)
        if value is not None:
            attributes[name] = value
    if request.output_tokens_added is not None:  # ours, where the caller set none
        attributes[Attr.REQUEST_MAX_TOKENS] = request.output_tokens_added
    if attributes.get(Attr.REQUEST_CHOICES) == 1:
        del attributes[Attr.REQUEST_CHOICES]  # by the convention, only where it is not one


def _number(request: InferenceRequest, member: str) -> float | None:
    raw = request.members.get(member)
    if raw is None or memoryview(raw).nbytes > _DIGITS_MAX:
        return None
    try:
        value = _NUMBER.decode(raw)
    except msgspec.DecodeError:
        return None
    return value if isfinite(value) else None
