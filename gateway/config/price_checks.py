"""Whether the operator's own price table can be used where the policy is checked, and is not older than the shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.problems import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.model import Config
    from gateway.config.names import Finding


def price_doubts(config: Config) -> Iterator[Finding]:
    """Warnings about `prices.file`: whoever serves refuses a broken one, on the machine that has it."""
    if config.prices.file is None:
        return
    from gateway.prices.table import PriceTable  # noqa: PLC0415 - only for policies with a table of their own

    place = ("prices", "file")
    try:
        own, shipped = PriceTable.load(config.prices.file), PriceTable.load()
        for name, settings in config.deployments.items():
            provider = config.providers[settings.provider]
            base_url = None if provider.kind == "llama_cpp" else provider.base_url
            own.price_of(provider.kind, base_url, settings.model or name)
    except OSError as error:
        yield place, f"cannot be read: {error.strerror or 'no such file'}", Severity.WARNING
    except ValueError as error:
        yield place, str(error), Severity.WARNING
    else:
        if own.date < shipped.date:
            told = f"is a table of {own.date}, older than the shipped one of {shipped.date}, and goes before it"
            yield place, told, Severity.WARNING
