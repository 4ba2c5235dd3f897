"""Checks of what the outside could reach or learn: listeners, virtual keys, credentials; and of what must be there.

Like `names`, these read the plain values, so that one mistake in the file does not hide another.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gateway.config import quantities
from gateway.config.credentials import is_credential
from gateway.config.model_file import model_file
from gateway.config.names import entries
from gateway.config.operation import ServerSettings, TlsSettings
from gateway.config.owners import moment
from gateway.config.problems import Severity, written
from gateway.extras import LITELLM, LLAMA, OTLP, is_installed, remedy
from gateway.keys.virtual_keys import PREFIX, Refusal, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config.names import Finding
    from gateway.config.problems import Place
    from gateway.config.quantities import Address
    from gateway.config.tree import Tree

EXTRAS: Final = {"llama_cpp": LLAMA, "litellm": LITELLM}


def check_exposure(tree: Tree, base: Path, now_s: float) -> Iterator[Finding]:
    """All findings about what is open to whom. `base` is the file's folder."""
    yield from _listeners(tree)
    yield from _keys(tree, now_s)
    yield from _admin_token(tree)
    yield from _written_credentials(tree)
    yield from _extras(tree)
    yield from _files(tree, base)


def _section(tree: Tree, name: str) -> dict[str, Any]:
    value = tree.values.get(name)
    return value if isinstance(value, dict) else {}


def _address(tree: Tree, name: str) -> Address | None:
    """Where a listener binds; None where the file says something that is no address, which is reported already."""
    server = _section(tree, "server")
    if name not in server:
        return ServerSettings.model_fields[name].get_default()  # type: ignore[no-any-return]  # pydantic says Any
    try:
        return quantities.address(server[name])
    except ValueError:
        return None


def _listeners(tree: Tree) -> Iterator[Finding]:
    listen, admin = _address(tree, "listen"), _address(tree, "admin")
    if listen and admin and listen.overlaps(admin):
        yield ("server", "admin"), "is the same address as server.listen", Severity.ERROR
    if listen and not listen.is_loopback and not tree.values.get("keys"):
        message = "without keys the gateway listens on loopback only; add keys, or use 127.0.0.1"
        yield ("server", "listen"), message, Severity.ERROR
    if admin and not admin.is_loopback and _section(tree, "secrets").get("admin_token") is None:
        message = "without secrets.admin_token the admin listener stays on loopback"
        yield ("server", "admin"), message, Severity.ERROR


def _keys(tree: Tree, now_s: float) -> Iterator[Finding]:
    names: dict[str, Place] = {}
    secrets: dict[str, Place] = {}
    for place, body in entries(tree, "keys"):
        name, secret = body.get("name"), body.get("secret")
        if isinstance(name, str) and name and names.setdefault(name, place) != place:
            yield (*place, "name"), f"is also the name of {written(names[name])}", Severity.ERROR
        if isinstance(secret, str) and secret:
            if secrets.setdefault(secret, place) != place:
                yield (*place, "secret"), f"is also the secret of {written(secrets[secret])}", Severity.ERROR
            yield from _key_form(secret, (*place, "secret"))
        if _is_past(body.get("expires"), now_s):
            yield (*place, "expires"), "is in the past: this key no longer works", Severity.WARNING


def _admin_token(tree: Tree) -> Iterator[Finding]:
    """The admin token opens one listener and nothing else: what else were the same would open it too."""
    secrets = _section(tree, "secrets")
    token, peppers = secrets.get("admin_token"), secrets.get("peppers")
    others: list[tuple[Place, object]] = [((*at, "secret"), body.get("secret")) for at, body in entries(tree, "keys")]
    others.append((("secrets", "pepper"), secrets.get("pepper")))
    others += [(("secrets", "peppers", n), one) for n, one in enumerate(peppers if isinstance(peppers, list) else ())]
    for place, other in others:
        if other == token and isinstance(token, str) and token:
            yield ("secrets", "admin_token"), f"is the same as {written(place)}; choose another", Severity.ERROR


def _key_form(secret: str, place: Place) -> Iterator[Finding]:
    """A key that claims to be one of ours was mistyped unless its checksum is right."""
    refusal = check(secret) if secret.startswith(PREFIX) else None
    if refusal is Refusal.CHECKSUM:
        yield place, "has a wrong checksum: a key of `pointsman keys generate` that was changed since", Severity.ERROR
    elif refusal is Refusal.MALFORMED:
        yield place, f"begins with {PREFIX} but is not a whole key of `pointsman keys generate`", Severity.ERROR


def _is_past(value: object, now_s: float) -> bool:
    try:
        return value is not None and moment(value) <= datetime.fromtimestamp(now_s, UTC)
    except ValueError:
        return False


def _written_credentials(tree: Tree) -> Iterator[Finding]:
    """Credentials that stand in the file itself, where whoever may read or commit the file has them."""
    places: list[Place] = [(*place, "api_key") for place, _ in entries(tree, "providers")]
    for place, body in entries(tree, "providers"):
        places += [(*place, "api_keys", index, "key") for index in _numbers(body, "api_keys")]
    places += [("secrets", "pepper"), ("secrets", "admin_token")]
    places += [("secrets", "peppers", index) for index in _numbers(_section(tree, "secrets"), "peppers")]
    places += [place for place in (("state", "url"), ("ledger", "url")) if _has_password(tree, place)]
    places += [(*place, "secret") for place, _ in entries(tree, "keys")]
    places += _named_credentials(tree)
    for place in places:
        if place not in tree.lines or place in tree.from_references:
            continue
        if isinstance(value := tree.at(place), str) and value not in ("", "none"):
            yield (
                place,
                "is a secret in plain text; a reference such as ${env:NAME} keeps it out of the file",
                Severity.WARNING,
            )


def _numbers(body: dict[str, Any], key: str) -> range:
    """Of the entries of a list."""
    value = body.get(key)
    return range(len(value) if isinstance(value, list) else 0)


def _has_password(tree: Tree, place: Place) -> bool:
    """A URL that says USER:PASSWORD@."""
    url = tree.at(place) if place in tree.lines else None
    return isinstance(url, str) and ":" in url.partition("://")[2].rpartition("@")[0]


def _named_credentials(tree: Tree) -> Iterator[Place]:
    """Where headers and settings stand whose name or look says that they are credentials."""
    tables: list[tuple[Place, object]] = []
    for place, body in entries(tree, "providers"):
        tables += [((*place, key), body.get(key)) for key in ("headers", "settings")]
    tables += [((*at, "headers"), one.get("headers")) for at, one in _receivers(tree) if isinstance(one, dict)]
    for place, table in tables:
        for name, value in table.items() if isinstance(table, dict) else ():
            if isinstance(value, str) and is_credential(name, value):
                yield (*place, name)


def _receivers(tree: Tree) -> Iterator[tuple[Place, object]]:
    """Of traces, one or a list of them, and of metrics."""
    telemetry = _section(tree, "telemetry")
    otlp, place, metrics = telemetry.get("otlp"), ("telemetry", "otlp"), telemetry.get("metrics")
    if isinstance(otlp, list):
        yield from (((*place, at), one) for at, one in enumerate(otlp))
    else:
        yield place, otlp
    if isinstance(metrics, dict):
        yield ("telemetry", "metrics", "otlp"), metrics.get("otlp")


def _extras(tree: Tree) -> Iterator[Finding]:
    """Parts of Pointsman that serving will need. As with files, another machine may have them."""
    for place, body in entries(tree, "providers"):
        kind = body.get("kind")
        is_elsewhere = kind == "llama_cpp" and "base_url" in body
        extra = EXTRAS.get(kind) if isinstance(kind, str) and not is_elsewhere else None
        if extra is not None and not is_installed(extra):
            yield (*place, "kind"), remedy(extra), Severity.WARNING
    if _section(tree, "telemetry").get("otlp") is not None and not is_installed(OTLP):
        yield ("telemetry", "otlp"), remedy(OTLP), Severity.WARNING


def _files(tree: Tree, base: Path) -> Iterator[Finding]:
    """Files that serving will need. A file may be checked on another machine than it serves on, so these only warn."""
    for place, body in entries(tree, "providers"):
        if body.get("kind") == "llama_cpp" and isinstance(path := body.get("model_path"), str) and path:
            try:
                model_file(path if path.startswith("package:") else str(base / path))
            except FileNotFoundError as problem:
                yield (*place, "model_path"), str(problem), Severity.WARNING
            yield from _file((*place, "chat_template"), body.get("chat_template"), base)
    tls = _section(tree, "server").get("tls")
    if isinstance(tls, dict):
        for key in TlsSettings.model_fields:
            yield from _file(("server", "tls", key), tls.get(key), base)


def _file(place: Place, value: object, base: Path) -> Iterator[Finding]:
    if isinstance(value, str) and value and "\0" not in value and not (base / value).is_file():
        yield place, "there is no such file on this machine", Severity.WARNING
