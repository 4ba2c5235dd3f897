"""The words of `pointsman cache`: some ask the gateway, some a policy file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    Leaf = Callable[[str, str], ArgumentParser]


def add_cache_words(leaf: Leaf, add: Leaf) -> None:
    """`leaf` makes commands that ask the gateway, `add` others."""
    leaf("stats", "how the caches of routes do, and what is kept")
    _add_drop(leaf("drop", "drop answers, for everybody from then on"))
    export = leaf("export", "write all answers to a file: prompts and answers, so take care of it")
    export.add_argument("--out", type=Path, required=True, metavar="FILE")
    curve = leaf("curve", "by what curve risks are reckoned; with a file, go by that one")
    curve.add_argument("file", type=Path, nargs="?", metavar="FILE", help="what calibrate has written")
    curve.add_argument("--embedder", metavar="ID", help="whose curve; the bundled model's without one")
    curve.add_argument("--shipped", action="store_true", help="go by the shipped one again")
    imported = leaf("import", "take answers over from an exported file")
    imported.add_argument("file", type=Path, metavar="FILE", help="what export, or warm, has written")
    _add_explain(add("explain", "why one request would be served with the answer to another, or why not"))
    _add_calibrate(add("calibrate", "measure on your own questions how likely which hits are wrong"))
    _add_warm(add("warm", "make a file for import of questions and answers that you have"))


def _add_drop(drop: ArgumentParser) -> None:
    for name, metavar, said in (
        ("id", "ID", "one answer, as x-pointsman-cache names it"),
        ("tag", "TAG", "answers with this tag"),
        ("route", "ROUTE", "answers of this route"),
        ("owner", "OWNER", "answers of one owner, as team:ORG/TEAM or key:ORG/ID"),
        ("org", "ORG", "answers of a tenant"),
        ("before", "WHEN", "answers stored before a day, a time, or so long ago, as 2026-11-01 or 7d (s, m, h, d, w)"),
    ):
        drop.add_argument(f"--{name}", metavar=metavar, help=said)
    drop.add_argument("--all", action="store_true", help="every answer")


def _add_explain(explain: ArgumentParser) -> None:
    explain.add_argument("requests", nargs="*", metavar="REQUEST", help="two files: what is asked, what was before")
    explain.add_argument("--config", type=Path, required=True, metavar="FILE", help="the policy file")
    explain.add_argument("--question", action="append", default=[], metavar="TEXT", help="instead of a file; twice")
    explain.add_argument("--model", metavar="MODEL", help="what the questions are asked of")
    explain.add_argument("--key", metavar="NAME", help="a key of the policy file, of who asks")
    explain.add_argument("--stored-key", metavar="NAME", help="of who asked before; the same by default")
    explain.add_argument("--endpoint", default="chat/completions", metavar="PATH", help="below /v1/")
    explain.add_argument("--similarity", type=float, metavar="COSINE", help="of the two, instead of embedding them")
    explain.add_argument("--json", action="store_true", help="one JSON document")
    explain.set_defaults(run=_explain, refuse=explain.error)


def _add_calibrate(calibrate: ArgumentParser) -> None:
    said = (
        "JSON lines: {question, class} or {question, answer} in the order they were asked, pairs {a, b, same}, or what "
        "export has written"
    )
    calibrate.add_argument("file", type=Path, metavar="FILE", help=said)
    calibrate.add_argument("--budget", type=float, default=0.01, metavar="SHARE", help="wrong hits per request; 0.01")
    calibrate.add_argument("--entities", action="store_true", help="as `entities: true` of a route")
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="where the curve goes")
    calibrate.add_argument("--json", action="store_true", help="one JSON document")
    calibrate.set_defaults(run=_calibrate)


def _add_warm(warm: ArgumentParser) -> None:
    warm.add_argument("file", type=Path, metavar="FILE", help="CSV or JSON lines with question and answer")
    warm.add_argument("--config", type=Path, required=True, metavar="FILE", help="the policy file")
    warm.add_argument("--model", required=True, metavar="MODEL", help="what callers ask for")
    warm.add_argument("--key", metavar="NAME", help="a key of the policy file, whose answers they are")
    warm.add_argument("--system", metavar="TEXT", help="the system prompt that callers send")
    warm.add_argument("--out", type=Path, required=True, metavar="FILE", help="for `pointsman cache import`")
    warm.set_defaults(run=_warm)


def _explain(arguments: Namespace) -> int:
    from gateway.commands import cache_explain  # noqa: PLC0415 - each command pays for its own imports only
    from gateway.explaining.rehearsal import Question  # noqa: PLC0415 - as above
    from policies.vocabulary import Endpoint  # noqa: PLC0415 - as above

    files, questions = arguments.requests, arguments.question
    if len(files) + len(questions) != 2:
        arguments.refuse("name two requests: two files, or --question A --question B with --model MODEL")
    try:
        endpoint = Endpoint(arguments.endpoint.removeprefix("/").removeprefix("v1/"))
        bodies = [cache_explain.body_of(file, None, None) for file in files]
        bodies += [cache_explain.body_of(None, question, arguments.model) for question in questions]
    except (OSError, ValueError) as problem:
        arguments.refuse(str(problem))
    asking = Question(bodies[0], endpoint, arguments.key)
    stored = Question(bodies[1], endpoint, arguments.stored_key or arguments.key)
    return cache_explain.run(arguments.config, (asking, stored), arguments.similarity, as_json=arguments.json)


def _calibrate(arguments: Namespace) -> int:
    from gateway.commands import cache_calibrate  # noqa: PLC0415 - as above
    from gateway.commands.cache_stream import How  # noqa: PLC0415 - as above

    how = How(arguments.budget, arguments.entities)
    return cache_calibrate.run(arguments.file, how, arguments.out, as_json=arguments.json)


def _warm(arguments: Namespace) -> int:
    from gateway.commands import cache_warm  # noqa: PLC0415 - as above

    asked = cache_warm.Wanted(arguments.model, arguments.key, arguments.system)
    return cache_warm.run(arguments.config, arguments.file, asked, arguments.out)
