"""The version, read once from what is installed."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

try:
    VERSION: Final = version("pointsman")
except PackageNotFoundError:  # a checkout that was never installed
    VERSION = "0"
