"""The version, from what is installed."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("pointsman")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0"


VERSION: Final = _installed()
