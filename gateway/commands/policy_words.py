"""The words of the command line that ask about policies: explain, test, diff, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction


def add_policy_words(commands: _SubParsersAction[ArgumentParser]) -> None:
    _add_explain(commands.add_parser("explain", help="where a request would go and why, sending nothing"))

    test = commands.add_parser("test", help="hold the cases of a file against a policy; exit code 1 when one fails")
    test.add_argument("file", type=Path, metavar="FILE", help="the cases")
    test.add_argument("--config", type=Path, metavar="FILE", help="the policy file; by default the one FILE names")
    test.add_argument("--json", action="store_true", help="one JSON document")
    test.set_defaults(run=_test)

    diff = commands.add_parser("diff", help="what a change of the policy changes for whom; exit code 1 when anything")
    diff.add_argument("before", type=Path, metavar="A")
    diff.add_argument("after", type=Path, metavar="B")
    diff.add_argument("--json", action="store_true", help="one JSON document")
    diff.set_defaults(run=_diff)

    foreign = commands.add_parser("import", help="make a policy of another gateway's configuration")
    litellm = foreign.add_subparsers(required=True, metavar="GATEWAY").add_parser("litellm", help="a LiteLLM proxy's")
    litellm.add_argument("file", metavar="FILE", help="its config.yaml, or - for standard input")
    litellm.add_argument("--out", type=Path, metavar="FILE", help="where the policy goes; standard output by default")
    litellm.set_defaults(run=_import_litellm)


def _add_explain(explain: ArgumentParser) -> None:
    explain.add_argument("request", metavar="REQUEST", help="the request: a file of JSON, or -")
    explain.add_argument("--config", type=Path, required=True, metavar="FILE", help="the policy file")
    explain.add_argument("--key", metavar="NAME", help="a key of the policy file; needed where it has some")
    explain.add_argument("--endpoint", default="chat/completions", metavar="PATH", help="below /v1/")
    explain.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="of the request")
    explain.add_argument("--at", metavar="TIME", help="as if it were then, as 2026-11-22T08:00:00Z")
    explain.add_argument("--down", action="append", default=[], metavar="NAME", help="a deployment that is set aside")
    explain.add_argument("--json", action="store_true", help="one JSON document")
    explain.set_defaults(run=_explain, refuse=explain.error)


def _explain(arguments: Namespace) -> int:
    from gateway.commands import explain  # noqa: PLC0415 - each command pays for its own imports only
    from gateway.config.owners import moment  # noqa: PLC0415 - as above
    from policies.vocabulary import Endpoint  # noqa: PLC0415 - as above

    try:
        at_s = None if arguments.at is None else moment(arguments.at).timestamp()
        endpoint = Endpoint(arguments.endpoint.removeprefix("/").removeprefix("v1/"))
        question = explain.question_of(endpoint, arguments.key, arguments.header, at_s, arguments.down)
    except ValueError as problem:
        arguments.refuse(str(problem))
    return explain.run(arguments.config, arguments.request, question, as_json=arguments.json)


def _test(arguments: Namespace) -> int:
    from gateway.commands import policy_tests  # noqa: PLC0415 - as above

    return policy_tests.run(arguments.file, arguments.config, as_json=arguments.json)


def _diff(arguments: Namespace) -> int:
    from gateway.commands import diff  # noqa: PLC0415 - as above

    return diff.run(arguments.before, arguments.after, as_json=arguments.json)


def _import_litellm(arguments: Namespace) -> int:
    from gateway.commands import import_policy  # noqa: PLC0415 - as above

    return import_policy.litellm(arguments.file, arguments.out)
