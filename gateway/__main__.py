"""The command line. Each command's work is in `gateway.commands`, imported when it is asked for."""

from __future__ import annotations

import argparse
import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.commands.admin_words import add_admin_words
from gateway.commands.engine_words import add_engine_words
from gateway.commands.live_words import add_live_words
from gateway.commands.policy_words import add_policy_words
from gateway.commands.prices_words import add_prices_words
from gateway.commands.usage_words import add_usage_words

if TYPE_CHECKING:
    from collections.abc import Sequence

SOCKET_HELP = "by which this user may look without a token (top, tail, trace), of one process whose policy sets none"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 failed while running, 2 the command line or the policy file is wrong."""
    arguments = parser().parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_left():
            raise
        return 1
    return code


def _is_left() -> bool:
    """Whether nobody reads our output any more, as when `head` has seen enough. What is still to be written then goes
    nowhere, so that the interpreter's end does not complain of it.
    """
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors are always told
    if not output.poll(0):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return True


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="pointsman", description="A self-hosted AI gateway.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="start the gateway")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="the policy file")
    serve.add_argument("--key-file", type=Path, metavar="FILE", help="a file whose key the greeting shows")
    serve.add_argument("--user-socket", type=Path, metavar="FILE", help=SOCKET_HELP)
    serve.add_argument("--worker", metavar="PLACE", help=argparse.SUPPRESS)  # between a supervisor and its workers
    serve.set_defaults(run=_serve)

    check = commands.add_parser("check", help="check a policy file; exit code 0 when it is good, 2 when it is not")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check)

    add_engine_words(commands)
    add_policy_words(commands)
    add_prices_words(commands)

    keys = commands.add_parser("keys", help="virtual keys").add_subparsers(required=True, metavar="COMMAND")
    generate = keys.add_parser("generate", help="print a fresh virtual key")
    generate.add_argument("--env", default="live", help="a word inside the key that tells environments apart")
    generate.set_defaults(run=_generate_key)

    add_admin_words(commands, keys)
    add_live_words(commands)
    add_usage_words(commands)
    return top


def _serve(arguments: argparse.Namespace) -> int:
    from gateway.commands import serve  # noqa: PLC0415 - each command pays for its own imports only

    if arguments.worker is None:
        return serve.run(arguments.config, arguments.key_file, user_socket=arguments.user_socket)
    from gateway.supervisor.place import parse_place  # noqa: PLC0415 - as above

    return serve.run(arguments.config, None, parse_place(arguments.worker))


def _check(arguments: argparse.Namespace) -> int:
    from gateway.commands import check  # noqa: PLC0415 - as above

    return check.run(str(arguments.file))


def _generate_key(arguments: argparse.Namespace) -> int:
    from gateway.commands import keys  # noqa: PLC0415 - as above

    return keys.generate(arguments.env)


if __name__ == "__main__":
    sys.exit(main())
