"""The words of the command line about prices: show, diff, update."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction


def add_prices_words(commands: _SubParsersAction[ArgumentParser]) -> None:
    prices = commands.add_parser("prices", help="what models cost").add_subparsers(required=True, metavar="COMMAND")

    show = prices.add_parser("show", help="the rates of a model or a deployment, and where they come from")
    what = show.add_mutually_exclusive_group()
    what.add_argument("model", nargs="?", metavar="MODEL", help="as gpt-4o, or openai/gpt-4o; of a table")
    what.add_argument("--deployment", metavar="NAME", help="of the policy, as it is charged")
    show.add_argument("--config", type=Path, metavar="FILE", help="the policy file; alone, all its deployments")
    show.add_argument("--at", metavar="DATE", help="as of then, as 2026-12-01; now without it")
    show.add_argument("--json", action="store_true", help="one JSON document")
    show.set_defaults(run=_show, refuse=show.error)

    diff = prices.add_parser("diff", help="what became dearer or cheaper, what is new or gone")
    for name in ("old", "new"):
        diff.add_argument(name, metavar=name.upper(), help="a price table, or a day, as 2026-12-01, of the one in use")
    diff.add_argument("--only", choices=("configured",), help="configured: models of the policy's deployments")
    diff.add_argument("--config", type=Path, metavar="FILE", help="the policy file")
    diff.add_argument("--json", action="store_true", help="one JSON document")
    diff.set_defaults(run=_diff, refuse=diff.error)

    update = prices.add_parser("update", help="a new table from a file of prices; nothing is fetched")
    update.add_argument(
        "--from",
        type=Path,
        required=True,
        dest="source",
        metavar="FILE",
        help="a price table, litellm's model_prices or genai-prices' JSON",
    )
    update.add_argument("--out", type=Path, metavar="FILE", help="the new table; prices-DATE.json here without it")
    update.add_argument("--dry-run", action="store_true", help="only say what would change")
    update.set_defaults(run=_update)


def _show(arguments: Namespace) -> int:
    from gateway.commands import prices_show  # noqa: PLC0415 - each command pays for its own imports only

    if arguments.deployment is not None and arguments.config is None:
        arguments.refuse("--deployment needs --config FILE")
    question = prices_show.Question(arguments.model, arguments.deployment, arguments.config, arguments.at)
    return prices_show.run(question, as_json=arguments.json)


def _diff(arguments: Namespace) -> int:
    from gateway.commands import prices_diff  # noqa: PLC0415 - as above

    if arguments.only and arguments.config is None:
        arguments.refuse("--only configured needs --config FILE")
    question = prices_diff.Question(arguments.old, arguments.new, arguments.config, bool(arguments.only))
    return prices_diff.run(question, as_json=arguments.json)


def _update(arguments: Namespace) -> int:
    from gateway.commands import prices_update  # noqa: PLC0415 - as above

    return prices_update.run(arguments.source, arguments.out, is_dry=arguments.dry_run)
