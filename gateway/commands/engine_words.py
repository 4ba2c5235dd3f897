"""The words of the command line that serve one model by itself: engine, engine doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction


SHORT: Final = {"context-tokens": "context", "batch-tokens": "batch"}
WORDS: Final = {
    "task": "text|embed|rerank",
    "kv": "split|unified",
    "kv-type": "TYPE",
    "max-decode-gap": "TIME",
    "on-overflow": "error|truncate|shift",
    "split": "none|layer|row",
    "chat-template": "FILE",
}


def add_engine_words(commands: _SubParsersAction[ArgumentParser]) -> None:
    engine = commands.add_parser("engine", help="serve one model by itself, for gateways elsewhere; see also: doctor")
    add = engine.add_argument
    add("--model", metavar="FILE", help="a GGUF file, or package:NAME")
    add("--name", metavar="NAME", help="what callers name as model; the file's name by default")
    add("--listen", default="127.0.0.1:8090", metavar="HOST:PORT", help="where gateways call; not loopback needs a key")
    add("--admin", metavar="HOST:PORT", help="health and metrics; by default the next port, on loopback")
    add("--ledger", type=Path, metavar="FILE", help="write calls down there; by default gone with the process")
    _add_secrets(engine)
    _add_tuning(engine)
    engine.set_defaults(run=_serve, refuse=engine.error)
    _add_doctor(engine.add_subparsers(metavar="doctor"))


def _add_secrets(engine: ArgumentParser) -> None:
    """References only: what stands on a command line is seen by whoever may list processes."""
    key = engine.add_mutually_exclusive_group()
    key.add_argument("--key-file", metavar="FILE", help="holds the key that callers send")
    key.add_argument("--key-env", metavar="NAME", help="the environment variable that holds it")
    token = engine.add_mutually_exclusive_group()
    token.add_argument("--admin-token-file", metavar="FILE", help="holds the token of --admin")
    token.add_argument("--admin-token-env", metavar="NAME", help="the environment variable that holds it")


def _add_tuning(engine: ArgumentParser) -> None:
    """Settings of a llama_cpp provider under the same names. What they may be is for the policy's checks to say."""
    group = engine.add_argument_group("the engine", "as settings of a provider of kind llama_cpp")
    for name in ("slots", "context-tokens", "batch-tokens", "threads", "gpu-layers", "max-queue"):
        group.add_argument(f"--{name}", *([f"--{short}"] if (short := SHORT.get(name)) else []), type=int, metavar="N")
    for name, shown in WORDS.items():
        group.add_argument(f"--{name}", metavar=shown)
    group.add_argument("--flash-attention", choices=("true", "false", "auto"))
    group.add_argument("--deterministic", action="store_true", default=None)
    group.add_argument(
        "--device", dest="devices", action="append", metavar="NAME", help="such as CUDA0; may be repeated"
    )
    group.add_argument("--tensor-split", metavar="A,B,...", help="each GPU's part")
    group.add_argument("--adapter", dest="adapters", action="append", metavar="NAME=FILE", help="LoRA; may be repeated")


def _add_doctor(words: _SubParsersAction[ArgumentParser]) -> None:
    doctor = words.add_parser("doctor", help="what llama.cpp's build can do, what this machine has, and what fits")
    doctor.add_argument("models", nargs="*", type=Path, metavar="FILE", help="GGUF files to recommend settings for")
    doctor.add_argument("--json", action="store_true", help="one JSON document")
    doctor.set_defaults(run=_doctor)


def _serve(arguments: Namespace) -> int:
    from gateway.commands import engine  # noqa: PLC0415 - each command pays for its own imports only

    if arguments.model is None:
        arguments.refuse("name the model by --model, or ask for the doctor")
    return engine.run(arguments)


def _doctor(arguments: Namespace) -> int:
    from gateway.commands import engine_doctor  # noqa: PLC0415 - as above

    return engine_doctor.run(arguments.models, as_json=arguments.json)
