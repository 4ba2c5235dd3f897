"""The optional parts of Pointsman: whether one is there, which is looked for and not imported, and how to get it."""

from __future__ import annotations

import importlib.util
from typing import Final, NamedTuple


class Extra(NamedTuple):
    """One extra of pyproject.toml, the module by which its presence is known, and what people call that."""

    name: str
    module: str
    title: str


LLAMA: Final = Extra("llama", "llama_cpp", "llama.cpp")
LITELLM: Final = Extra("litellm", "litellm", "litellm")
REDIS: Final = Extra("redis", "redis.asyncio", "redis-py")
POSTGRES: Final = Extra("postgres", "asyncpg", "asyncpg")
PARQUET: Final = Extra("parquet", "pyarrow", "pyarrow")
OTLP: Final = Extra("otlp", "opentelemetry.exporter.otlp.proto.http", "OpenTelemetry")
TOP: Final = Extra("top", "rich", "rich")
ENCRYPTION: Final = Extra("encryption", "cryptography", "cryptography")
SEMANTIC: Final = Extra("semantic", "onnxruntime", "ONNX Runtime")
QDRANT: Final = Extra("qdrant", "qdrant_client", "qdrant-client")
PGVECTOR: Final = Extra("pgvector", "asyncpg", "asyncpg")


def is_installed(extra: Extra) -> bool:
    try:
        return importlib.util.find_spec(extra.module) is not None
    except ModuleNotFoundError:  # a package around it is missing
        return False


def remedy(extra: Extra) -> str:
    """What is missing and what to do about it."""
    return f"{extra.title} is not installed: run pip install '.[{extra.name}]' in Pointsman's checkout"


def require(extra: Extra) -> None:
    """Raises `MissingExtra`."""
    if not is_installed(extra):
        from gateway.errors import MissingExtra  # noqa: PLC0415 - reading a policy needs no asyncio, which errors brings

        raise MissingExtra(remedy(extra))
