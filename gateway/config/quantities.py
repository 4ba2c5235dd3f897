"""Texts that stand for amounts and addresses: `5s`, `32MiB`, `127.0.0.1:8080`, `0.15` dollars."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION_MAX_S: Final = 86_400.0

SIZE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(B|kB|KB|MB|GB|KiB|MiB|GiB)")
BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}

PATH: Final = re.compile(r"/[\x21-\x22\x24-\x3e\x40-\x7e]{0,199}")
SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")

NANOUSD: Final = 10**9
PRICE_MAX_USD: Final = 1_000_000

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class Address(NamedTuple):
    """Where a listener binds. Port 0 asks the system for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name may resolve to anything

    def overlaps(self, other: Address) -> bool:
        """Binding both would fail."""
        if self.port != other.port or not self.port:
            return False
        return self.host == other.host or not {self.host, other.host}.isdisjoint(("0.0.0.0", "::"))  # noqa: S104 - compared


def duration_s(text: object) -> float:
    """Seconds. Raises `ValueError` for anything but one number and one unit, more than 0 and at most a day."""
    found = DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("must be a duration such as 250ms, 5s, 2m or 1h")
    seconds = float(Decimal(found[1]) * Decimal(str(SECONDS[found[2]])))
    if not 0 < seconds <= DURATION_MAX_S:
        raise ValueError("must be longer than 0s and at most 24h")
    return seconds


def size_bytes(text: object) -> int:
    """Bytes. Raises `ValueError` for anything but one number and one unit that make one byte or more."""
    found = SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("must be a size such as 512KiB, 32MiB or 1GB")
    if not (size := int(Decimal(found[1]) * BYTES[found[2]])):
        raise ValueError("must be at least 1B")
    return size


def share(text: object) -> float:
    """A share such as `5%` as a number up to 1. Raises `ValueError`."""
    found = SHARE.fullmatch(text) if isinstance(text, str) else None
    if found is None or not 0 < (part := Decimal(found[1])) <= 100:
        raise ValueError("must be a share such as 5%, more than 0% and at most 100%")
    return float(part / 100)


def days_s(text: object) -> float:
    """Days such as `90d` in seconds. Raises `ValueError`."""
    found = re.fullmatch(r"([0-9]{1,5})d", text) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise ValueError("must be a number of days such as 90d")
    return int(found[1]) * 86_400.0


def address(text: object) -> Address:
    """A host and a port. Raises `ValueError`."""
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError("must be an address and a port such as 127.0.0.1:8080")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError:
            raise ValueError("must be an address and a port; what stands in [ ] is no IPv6 address") from None
    if not _HOST.fullmatch(host):
        raise ValueError("must be an address and a port such as 127.0.0.1:8080")
    return Address(host.lower(), int(port))


def nanousd(amount: object) -> int:
    """Dollars as written in the file to nano-dollars, exactly. Raises `ValueError`."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        raise ValueError("must be an amount in USD such as 0.15")  # noqa: TRY004 - pydantic turns ValueError into a finding
    try:
        exact = Decimal(str(amount)) * NANOUSD
    except InvalidOperation:
        raise ValueError("must be an amount in USD such as 0.15") from None
    if not exact.is_finite() or not 0 <= exact <= PRICE_MAX_USD * NANOUSD:
        raise ValueError(f"must be from 0 to {PRICE_MAX_USD:,} USD per million tokens")
    if exact != int(exact):
        raise ValueError("must not be finer than a nano-dollar (nine decimals)")
    return int(exact)
