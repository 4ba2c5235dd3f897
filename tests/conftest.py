"""What every test stands on: nothing leaves this machine or blocks the loop, and where the recordings lie."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from types import FrameType

    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# A busy machine makes one example slow now and then; that is no finding.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


BLOCKING = frozenset({"open", "time.sleep", "sqlite3.connect", "subprocess.Popen", "socket.getaddrinfo"})
GATEWAY = str(ROOT / "gateway")
FORGIVEN = (
    "<frozen importlib",  # an import that is due anyway
    "/logging/",
    "/gateway/supervisor/",  # takes no calls, and forks workers
    "linecache.py",  # a traceback on its way to the log
    "/site-packages/litellm/",  # not ours to mend: it loads a schema at a provider's first stream
)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    """What no code under test may do, whichever library does it for it: leave this machine, or block the event loop."""
    if event in {"socket.connect", "socket.sendto"}:
        _refuse_to_leave(arguments[1])
    elif event in BLOCKING and asyncio._get_running_loop() is not None and not _waits_for_nothing(event, arguments):
        _refuse_to_block(event, arguments)


def _waits_for_nothing(event: str, arguments: tuple[object, ...]) -> bool:
    """Reading /proc, and wrapping a descriptor that is open already, as asyncio does with a child's pipes."""
    return event == "open" and (isinstance(arguments[0], int) or str(arguments[0]).startswith("/proc/"))


def _refuse_to_leave(address: object) -> None:
    if not isinstance(address, tuple):
        return  # a unix socket
    try:
        is_local = ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        is_local = address[0] in {"localhost", ""}
    if not is_local:
        raise PermissionError(f"a test tried to reach {address[0]}")


def _refuse_to_block(event: str, arguments: tuple[object, ...]) -> None:
    """The gateway's own coroutines and callbacks may not. Tests may, and what is in FORGIVEN."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if any(part in file for part in FORGIVEN):
            return
        if file.startswith(GATEWAY):
            raise AssertionError(f"{event} {arguments!r} blocks the event loop at {file}:{frame.f_lineno}")
        frame = frame.f_back


sys.addaudithook(_refuse)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """What `--dist loadfile` means here."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.distribution import ByPlace  # noqa: PLC0415 - xdist need not be there

    return ByPlace(config, log)


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
