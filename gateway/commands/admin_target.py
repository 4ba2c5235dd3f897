"""Where the admin API is, and the token for it: from the policy file, or from the command line's options.

A token is never an argument, since arguments are seen by every user of the machine.
"""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from gateway.commands.admin_client import TIMEOUT_S, AdminClient, CommandError
from gateway.user_socket import BESIDE_THE_KEY, is_answered, is_own

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.config import Config
    from gateway.config.quantities import Address

TOKEN_VARIABLE: Final = "POINTSMAN_ADMIN_TOKEN"  # noqa: S105 - where it is, not what it is
DEFAULT_URL: Final = "http://127.0.0.1:8081"
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens there also listens here


def client_of(arguments: argparse.Namespace, environ: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> AdminClient:
    """Raises `CommandError` where it is not said, or not rightly, whom to ask."""
    config = None if arguments.config is None else _policy(arguments.config, environ)
    token = None if arguments.token_file is None else _token_in(arguments.token_file)
    if token is None and config is not None and config.secrets.admin_token is not None:
        token = config.secrets.admin_token.reveal()
    token = token or environ.get(TOKEN_VARIABLE) or None
    url = arguments.url or (None if config is None else url_of(config.server.admin))
    if url is None:
        url = (None if token is not None else _nearby()) or DEFAULT_URL
    if token is not None and is_open_to_view(url):
        sys.stderr.write("pointsman: the admin token goes over plain HTTP to another machine; use https\n")
    return AdminClient(url, token, timeout_s)


def _nearby() -> str | None:
    """The socket that `make run` opens, of a gateway that runs and is this user's: nobody else's is asked."""
    path = Path.cwd() / BESIDE_THE_KEY
    return f"unix://{quote(str(path))}" if is_own(path) and is_answered(path) else None


def url_of(admin: Address) -> str:
    if not admin.port:
        raise CommandError("the policy lets the system choose server.admin's port: say which it is with --url", 2)
    return f"http://{admin._replace(host=ANY_ADDRESS.get(admin.host, admin.host))}"


def is_open_to_view(url: str) -> bool:
    """Whether what is sent there can be read on the way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return parts.scheme == "http" and not is_here


def _policy(path: Path, environ: Mapping[str, str]) -> Config:
    from gateway.config import ConfigProblems, load  # noqa: PLC0415 - only where a policy file is named

    try:
        return load(path, environ)
    except ConfigProblems as problems:
        raise CommandError(str(problems), 2) from problems


def _token_in(path: Path) -> str:
    try:
        text = path.read_text().strip() if str(path) != "-" else sys.stdin.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        # The name is not repeated: it may be a token that was taken for one.
        raise CommandError("--token-file names a file that cannot be read", 2) from error
    if not text:
        raise CommandError("--token-file holds no token", 2)
    return text
