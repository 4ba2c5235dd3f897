"""The options that say which gateway is meant, for every command that asks one."""

from __future__ import annotations

import argparse
from pathlib import Path

URL_HELP = "the admin listener; without it that of `make run` in this folder, or http://127.0.0.1:8081"


def where_options() -> argparse.ArgumentParser:
    """The options of every command that goes to the admin listener; a parent of its parser."""
    where = argparse.ArgumentParser(add_help=False)
    named = where.add_mutually_exclusive_group()
    named.add_argument(
        "--config", type=Path, metavar="FILE", help="the policy file, which says where and with which token"
    )
    named.add_argument("--url", metavar="URL", help=URL_HELP)
    said = "holds the admin token, - for standard input; without it POINTSMAN_ADMIN_TOKEN does"
    where.add_argument("--token-file", type=Path, metavar="FILE", help=said)
    where.add_argument("--json", action="store_true", help="what the API answers, instead of a table")
    return where
