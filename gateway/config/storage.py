"""The shape of `state` and `ledger`: where limits are kept, and where every attempt is written down.

Their URLs may hold passwords, so they are secrets; `shown` is what may be told.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from gateway.config.fields import Days, Duration, Shape, Size, Whole, absolute
from gateway.secret import Secret

MEMORY: Final = "memory://"
SCHEMES: Final = ("redis", "rediss", "redis+sentinel", "redis+cluster", "unix")
POSTGRES_SCHEMES: Final = ("postgresql", "postgres")
_QUOTED: Final = re.compile(r"(['\"]).*\1")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,2000}")
SQLITE_FORM: Final = "must be sqlite:///FILE, or sqlite:////FILE for an absolute path"


def without_credentials(url: str) -> str:
    """A URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _state_url(secret: Secret) -> Secret:
    url = secret.reveal()
    if url == MEMORY:
        return secret
    if url.partition("://")[0] not in SCHEMES or "://" not in url:
        raise ValueError(f"must be memory://, or begin with {', '.join(f'{name}://' for name in SCHEMES)}")
    if not _VISIBLE.fullmatch(url):
        raise ValueError("must be visible ASCII characters; others are written in percent signs, such as %20")
    from gateway.state.redis.url import parse  # noqa: PLC0415 - only a shared state needs it

    try:
        parse(url)
    except ValueError as problem:
        # A password with a slash in it would be taken for a host or a path, and told.
        raise ValueError(_QUOTED.sub("that", str(problem)) if "@" in url else str(problem)) from None
    return secret


def _ledger_url(value: object, info: ValidationInfo) -> object:
    text = value.reveal() if isinstance(value, Secret) else value
    if isinstance(text, str) and text.partition("://")[0] in POSTGRES_SCHEMES:
        if not _VISIBLE.fullmatch(text) or "#" in text or not _is_database(urlsplit(text)):
            raise ValueError("must look like postgresql://USER:PASSWORD@HOST:5432/DATABASE")
        return f"postgresql://{text.partition('://')[2]}"
    if not isinstance(text, str) or not text.startswith("sqlite:///") or text.endswith("/"):
        raise ValueError(f"{SQLITE_FORM}; or postgresql://USER:PASSWORD@HOST/DATABASE")
    if "?" in text or "#" in text:
        raise ValueError("must name a file only, without ? or #")
    return f"sqlite:///{absolute(text.removeprefix('sqlite:///'), info)}"


def _is_database(parts: SplitResult) -> bool:
    try:
        has_place = bool(parts.hostname) or parse_qs(parts.query).get("host", [""])[0].startswith(
            "/"
        )  # a socket's folder
        good = has_place and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return good and re.fullmatch(r"/[^/]+", parts.path) is not None


def _journal(value: object, info: ValidationInfo) -> Path:
    """The folder as given, else beside the SQLite file, else in the policy file's folder."""
    if value is not None:
        return absolute(value, info)
    url = info.data.get("url")
    if url is None:
        return Path()  # a finding of its own
    file = url.reveal().partition("sqlite:///")[2]
    return Path(f"{file}.journal") if file else absolute("pointsman.journal", info)


class StateSettings(Shape):
    """Where limits and other shared state live."""

    url: Annotated[
        Secret,
        AfterValidator(_state_url),
        WithJsonSchema({"type": "string", "pattern": "^(memory|unix|rediss?|redis\\+(sentinel|cluster))://"}),
    ] = Field(
        default=Secret(MEMORY),
        json_schema_extra={"default": MEMORY},
        description="memory:// is this process; redis, rediss, redis+sentinel and redis+cluster are shared.",
    )
    nodes: Whole = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Gateways that share it; each has its part of a rate while it is down.",
    )
    when_down: Literal["local", "closed", "open"] = Field(
        default="local",
        description="While it is down: local enforces this node's part, closed refuses, open lets all pass.",
    )
    lease_s: Duration = Field(
        default=30.0, alias="lease", ge=1, le=600, description="How long a dead gateway's reservations are held."
    )
    timeout_s: Duration = Field(default=0.1, alias="timeout", le=10, description="For one answer of it.")

    @property
    def is_shared(self) -> bool:
        return self.url.reveal() != MEMORY

    @property
    def shown(self) -> str:
        return without_credentials(self.url.reveal())


class LedgerSettings(Shape):
    """Where every attempt is written down."""

    url: Annotated[
        Secret,
        BeforeValidator(_ledger_url),
        WithJsonSchema({"type": "string", "pattern": "^(sqlite:///.|postgres(ql)?://.)"}),
    ] = Field(
        default=Secret("sqlite:///pointsman.db"),
        validate_default=True,
        json_schema_extra={"default": "sqlite:///pointsman.db"},
        description="sqlite:///FILE, a relative FILE from the policy file's folder, or postgresql://USER:PASSWORD@HOST/DATABASE.",
    )
    journal: Annotated[Path, BeforeValidator(_journal), WithJsonSchema({"type": "string", "minLength": 1})] = Field(
        default=None,
        validate_default=True,
        description="Folder of what the database has not yet; beside the SQLite file.",
    )
    journal_max_bytes: Size = Field(
        default=1 << 30, alias="journal_max", ge=1 << 20, description="The most it may hold."
    )
    when_full: Literal["closed", "open", "auto"] = Field(
        default="auto",
        description="When it is full: closed refuses what may cost; auto: where a budget is declared.",
    )
    retention_s: Days | None = Field(
        default=None, alias="retention", description="How long rows are kept; without it for ever."
    )

    @property
    def path(self) -> Path | None:
        """The SQLite file; None where the ledger is elsewhere."""
        file = self.url.reveal().partition("sqlite:///")[2]
        return Path(file) if file else None

    @property
    def shown(self) -> str:
        return without_credentials(self.url.reveal())
