"""The shape of providers of kind llama_cpp, the bundled engine, and of `engines`, what all of them share."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from gateway.config.failover import OwnBreaker
from gateway.config.fields import (
    AbsolutePath,
    CredentialOrNone,
    Duration,
    Flag,
    Number,
    Shape,
    Size,
    Url,
    Whole,
    absolute,
)
from gateway.config.hardware import GpuSettings
from gateway.config.model_file import PACKAGE
from gateway.config.owners import Limits
from gateway.config.pricing import AdjustedShape
from gateway.config.quantities import DURATION, duration_s

_PACKAGE_NAME: Final = re.compile(r"package:[A-Za-z_][A-Za-z0-9_]*")
_ADAPTER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DEVICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{0,63}")

FOREVER: Final = "forever"
ONLY_ELSEWHERE: Final = frozenset({"api_key", "max_connections", "trace"})
ELSEWHERE: Final = ONLY_ELSEWHERE | {"kind", "base_url", "breaker", "limits", "gpu", "discount_ppm", "margin_ppm"}
TEXT_ONLY: Final = ("chat_template", "adapters", "speculate")
EXACT_KV: Final = frozenset({"f32", "f16", "bf16"})
"""Types of cells that are no approximation by blocks; llama.cpp keeps the others with flash attention only."""


def _model_path(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str) and value.startswith(PACKAGE):
        if not _PACKAGE_NAME.fullmatch(value):
            raise ValueError("must be package:NAME with the name of one top-level Python package")
        return value
    return str(absolute(value, info))


def _without_default(schema: dict[str, Any]) -> None:
    """Empty is no value to write."""
    schema.pop("default")


def _adapter_name(name: str) -> str:
    if not _ADAPTER.fullmatch(name):
        raise ValueError("must be 1 to 64 letters, digits and . _ @ - and begin with a letter or digit")
    return name


def _device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        raise ValueError("must be a device's name such as CUDA0")
    return name


def _keep_alive(value: object) -> object:
    if value == FOREVER:
        return None
    try:
        return duration_s(value)
    except ValueError:
        raise ValueError("must be a duration up to 24h such as 5m, or the word forever") from None


def _attention(value: object) -> object:
    if value == "auto":
        return None
    if not isinstance(value, bool):
        raise ValueError("must be true, false or auto")  # noqa: TRY004 - pydantic turns ValueError into a finding
    return value


def _no_adapters() -> Mapping[str, Path]:
    return MappingProxyType({})


KeepAlive = Annotated[
    float | None,
    BeforeValidator(_keep_alive),
    WithJsonSchema({"type": "string", "pattern": f"^({FOREVER}|{DURATION.pattern})$", "examples": ["5m", FOREVER]}),
]
Attention = Annotated[bool | None, BeforeValidator(_attention), WithJsonSchema({"enum": [True, False, "auto"]})]
Adapters = Annotated[
    Mapping[Annotated[str, AfterValidator(_adapter_name)], AbsolutePath], AfterValidator(MappingProxyType)
]
Part = Annotated[Number, Field(ge=0, le=1_000_000)]


class EngineCacheSettings(Shape):
    """Where beginnings of prompts are kept that no slot holds any more."""

    memory_bytes: Size = Field(alias="memory", description="How much memory they may take.")
    folder: AbsolutePath | None = Field(default=None, description="Where they outlive the process.")


class LlamaCppProvider(AdjustedShape):
    """The bundled engine with one model: here, or with `base_url` one that runs elsewhere."""

    kind: Literal["llama_cpp"]
    model_path: Annotated[str, BeforeValidator(_model_path)] = Field(
        default="",
        json_schema_extra=_without_default,
        description="A GGUF file, or package:NAME for the one inside an installed Python package.",
    )
    base_url: Url | None = Field(
        default=None, description="Instead of model_path: a `pointsman engine` elsewhere, up to and with /v1."
    )
    api_key: CredentialOrNone = Field(
        default=None, description="Of the engine at base_url: a reference such as ${env:ENGINE_KEY}."
    )
    trace: Flag = Field(default=False, description="Tell the engine at base_url which trace a call belongs to.")
    task: Literal["auto", "text", "embed", "rerank"] = Field(
        default="auto", description="What it is for; auto goes by what the file says of itself."
    )
    slots: Whole = Field(default=0, ge=0, le=256, description="Calls computed at once; 0 takes four.")
    context_tokens: Whole = Field(
        default=0, ge=0, le=16_777_216, description="What one slot holds; 0 takes the model's or a default."
    )
    batch_tokens: Whole = Field(default=512, ge=32, le=65_536, description="The most tokens computed in one step.")
    threads: Whole = Field(default=0, ge=0, le=1024, description="Compute threads; 0 takes the cores less one.")
    kv: Literal["split", "unified"] = Field(
        default="split", description="Cells of its own for each slot, or one pool for all."
    )
    kv_type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] = Field(
        default="f16", description="How cells are kept."
    )
    flash_attention: Attention = Field(default=None, json_schema_extra={"default": "auto"}, description="Or auto.")
    deterministic: Flag = Field(default=False, description="On a CPU, an answer depends on its request alone.")
    max_decode_gap_s: Duration = Field(
        default=0.5, alias="max_decode_gap", le=60, description="How long reading a prompt may hold up who writes."
    )
    on_overflow: Literal["error", "truncate", "shift"] = Field(
        default="error", description="When a context is full: refuse, cut the prompt, or forget its oldest part."
    )
    speculate: Flag | None = Field(
        default=None, description="Guess what repeats and check it; true unless deterministic."
    )
    cache: EngineCacheSettings | None = Field(default=None, description="Keep beginnings of prompts beside the slots.")
    gpu_layers: Whole = Field(default=-1, ge=-1, le=10_000, description="Layers on GPUs; -1 for all.")
    devices: tuple[Annotated[str, AfterValidator(_device)], ...] = Field(
        default=(), max_length=64, description="Which GPUs, as `pointsman engine doctor` calls them; all by default."
    )
    split: Literal["none", "layer", "row"] = Field(default="layer", description="How a model lies over several GPUs.")
    tensor_split: tuple[Part, ...] = Field(default=(), max_length=64, description="Each GPU's part, as numbers.")
    chat_template: AbsolutePath | None = Field(
        default=None, description="A Jinja file instead of the model's own template."
    )
    adapters: Adapters = Field(
        default_factory=_no_adapters, max_length=64, description="LoRA files by name; model: NAME:ADAPTER uses one."
    )
    max_queue: Whole = Field(default=64, ge=0, le=100_000, description="Calls that may wait for the engine.")
    load: Literal["start", "on_demand"] = Field(default="start", description="When the model is loaded.")
    keep_alive_s: KeepAlive = Field(
        default=None,
        alias="keep_alive",
        json_schema_extra={"default": FOREVER},
        description="How long a model stays loaded that nobody calls.",
    )
    pinned: Flag = Field(default=False, description="Once loaded it stays, whatever else needs the memory.")
    warm_up: Flag = Field(default=True, description="Compute once before it counts as ready.")
    max_connections: Whole = Field(
        default=256, ge=1, le=10_000, description="The most connections open to base_url at once."
    )
    breaker: OwnBreaker | None = Field(default=None, description="When its deployments are set aside.")
    gpu: GpuSettings | None = Field(default=None, description="The hardware that it runs on, and what that costs.")
    limits: Limits = ()

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        stated = {type(self).model_fields[name].alias or name for name in self.model_fields_set}
        if self.base_url is None and not self.model_path:
            raise ValueError("needs model_path, or the base_url of an engine elsewhere")
        if self.base_url is not None and (here := sorted(stated - ELSEWHERE)):
            raise ValueError(f"has {here[0]}, which the engine at base_url decides for itself")
        if self.base_url is None and (there := sorted(stated & ONLY_ELSEWHERE)):
            raise ValueError(f"has {there[0]}, which is for engines elsewhere: it needs base_url")
        return self

    @property
    def is_elsewhere(self) -> bool:
        return self.base_url is not None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        stated = self.model_fields_set
        if self.deterministic and self.kv == "unified":
            raise ValueError("is deterministic, which needs kv: split")
        if self.deterministic and self.speculate:
            raise ValueError("is deterministic, which rules out speculate: true")
        if self.flash_attention is False and self.kv_type not in EXACT_KV:
            raise ValueError(f"has kv_type {self.kv_type}, which needs flash_attention")
        if self.pinned and self.keep_alive_s is not None:
            raise ValueError("is pinned, and so kept for ever: leave keep_alive out")
        if self.tensor_split and not any(self.tensor_split):
            raise ValueError("has a tensor_split without any part")
        if self.devices and self.tensor_split and len(self.devices) != len(self.tensor_split):
            raise ValueError("must have as many devices as parts of tensor_split")
        if self.task in ("embed", "rerank") and (strange := [name for name in TEXT_ONLY if name in stated]):
            raise ValueError(f"has {strange[0]}, which is for models of text, and its task is {self.task}")
        return self


class EnginesSettings(Shape):
    """What all bundled engines of a process share."""

    memory_bytes: Size | None = Field(
        default=None,
        alias="memory",
        description="The most that loaded models may take together; those that were idle longest leave for others.",
    )
