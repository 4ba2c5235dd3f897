"""Where a Redis is, from the URL of a policy file.

    redis://USER:PASSWORD@HOST:PORT/DB                       one server
    rediss://...                                             one server over TLS
    unix:///PATH                                             one server on this machine
    redis+sentinel://...@HOST:PORT,HOST:PORT/SERVICE/DB      the master that the sentinels name
    redis+cluster://...@HOST:PORT,HOST:PORT                  a Cluster, found through any of these

After `?`: `tls=true` (sentinel, cluster), `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs`,
`ssl_check_hostname`, `client_name`, and for the sentinels themselves `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
TEXTS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "client_name"})
FLAGS: Final = frozenset({"tls", "ssl_check_hostname"})
SENTINEL_TEXTS: Final = frozenset({"sentinel_username", "sentinel_password"})
PORTS: Final = {"redis+sentinel": 26379}

Address = tuple[str, int]


class RedisUrl(NamedTuple):
    """A URL taken apart. `options` go to every connection, `sentinel_options` to those that ask the sentinels."""

    scheme: str
    addresses: tuple[Address, ...]
    path: str
    service: str
    options: dict[str, str | int | bool]
    sentinel_options: dict[str, str]
    tls: bool


def parse(url: str) -> RedisUrl:
    """Raises ValueError, which says what is wrong and never repeats a password."""
    scheme, _, _ = url.partition("://")
    if scheme not in SCHEMES:
        raise ValueError(f"a Redis URL begins with one of {', '.join(f'{name}://' for name in SCHEMES)}")
    split = urlsplit(url)
    query, sentinel = _query(split.query, scheme)
    tls = scheme == "rediss" or query.pop("tls", False) is True
    user, _, hosts = split.netloc.rpartition("@")
    options: dict[str, str | int | bool] = _credentials(user) | query
    if scheme == "unix":
        if not split.path:
            raise ValueError("a unix:// URL names a socket")
        return RedisUrl(scheme, (), unquote(split.path), "", options, {}, tls=False)
    addresses = tuple(_address(host, PORTS.get(scheme, 6379)) for host in hosts.split(","))
    if len(addresses) > 1 and scheme in {"redis", "rediss"}:
        raise ValueError(f"{scheme}:// names one server; for several there are redis+sentinel:// and redis+cluster://")
    service, database = _path(split.path.strip("/"), scheme)
    if database:
        options["db"] = database
    return RedisUrl(scheme, addresses, "", service, options, sentinel, tls=tls)


def _query(text: str, scheme: str) -> tuple[dict[str, str | int | bool], dict[str, str]]:
    options: dict[str, str | int | bool] = {}
    sentinel: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in SENTINEL_TEXTS and scheme == "redis+sentinel":
            sentinel[name.removeprefix("sentinel_")] = value
        elif name in TEXTS:
            options[name] = value
        elif name in FLAGS:
            if value not in {"true", "false"}:
                raise ValueError(f"{name} in a Redis URL is true or false")
            options[name] = value == "true"
        else:
            raise ValueError(f"a Redis URL knows no {name!r}")
    return options, sentinel


def _credentials(user: str) -> dict[str, str | int | bool]:
    name, _, password = user.partition(":")
    given = {"username": unquote(name), "password": unquote(password)}
    return {key: value for key, value in given.items() if value}


def _address(text: str, port: int) -> Address:
    split = urlsplit(f"//{text}")
    try:
        found = split.port
    except ValueError:
        raise ValueError(f"{split.hostname!r} in a Redis URL has a port that is none") from None
    if not split.hostname:
        raise ValueError("a Redis URL names a host")
    return split.hostname, port if found is None else found


def _path(path: str, scheme: str) -> tuple[str, int]:
    """The sentinels' name of the service, and the number of the database."""
    service = ""
    if scheme == "redis+sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise ValueError("a redis+sentinel:// URL ends with the name the sentinels know the master by")
    if path and not path.isdecimal():
        raise ValueError(f"a Redis database is a number, not {path!r}")
    if path and scheme == "redis+cluster" and int(path):
        raise ValueError("a Redis Cluster has database 0 only")
    return service, int(path or 0)
