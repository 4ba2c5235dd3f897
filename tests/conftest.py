"""What every test stands on: nothing leaves this machine, and where the recordings lie."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# A busy machine makes one example slow now and then; that is no finding.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def _refuse_to_leave(event: str, arguments: tuple[object, ...]) -> None:
    """Fails a connection to anywhere but this machine, whichever library makes it."""
    if event not in {"socket.connect", "socket.sendto"}:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # a unix socket
    try:
        is_local = ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        is_local = address[0] in {"localhost", ""}
    if not is_local:
        raise PermissionError(f"a test tried to reach {address[0]}")


sys.addaudithook(_refuse_to_leave)


@pytest.fixture(scope="session")
def shared_wire() -> Path:
    """The folder of recorded provider replies."""
    return _shared("wire")


@pytest.fixture(scope="session")
def shared_schema() -> Path:
    """The folder of OpenAI's response schemas."""
    return _shared("schema")


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the recordings are not beside this checkout ({folder.relative_to(ROOT.parent)} is absent)")
    return folder
