"""Where the data lies that Pointsman ships: the token rank files, the price table, the example policies.

A checkout keeps it in `config/`; a wheel installs the same tree below `share/pointsman/config` (data-files in
pyproject).
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

_PACKAGE_PARENT = Path(__file__).resolve().parent.parent
_INSTALLED = Path("share", "pointsman", "config")


def data_dir() -> Path:
    """The folder of shipped data, the checkout's own first. Raises `FileNotFoundError` naming every place tried."""
    places = _places()
    for place in places:
        if place.is_dir():
            return place
    tried = ", ".join(str(place) for place in places)
    raise FileNotFoundError(f"Pointsman's data files are missing; reinstall it (looked in {tried})")


def newest_table(kind: str) -> Path:
    """The shipped table of `prices` or `models` with the latest date in its name. Raises `FileNotFoundError`."""
    folder = data_dir() / kind
    if not (tables := sorted(folder.glob(f"{kind}-*.json"))):
        raise FileNotFoundError(f"no table in {folder}: run scripts/make_{kind}.py")
    return tables[-1]


def _places() -> list[Path]:
    """Candidates in order. Beside an installed package `config` could be anyone's, so a checkout must show itself."""
    is_checkout = (_PACKAGE_PARENT / "pyproject.toml").is_file() and (_PACKAGE_PARENT / "policies").is_dir()
    beside = [_PACKAGE_PARENT / "config"] if is_checkout else []
    # The environment, `pip install --user`, and `pip install --target`, in this order.
    roots = [Path(sysconfig.get_path("data")), Path(sysconfig.get_path("data", "posix_user")), _PACKAGE_PARENT]
    return beside + [root / _INSTALLED for root in roots]
