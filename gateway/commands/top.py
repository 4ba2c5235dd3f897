"""`pointsman top`: a gateway at work, looked at every few seconds, in a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.commands.admin_client import CommandError
from gateway.commands.admin_target import client_of
from gateway.commands.looking import Looking
from gateway.errors import MissingExtra
from gateway.extras import TOP, require
from gateway.signals.telemetry import NANO
from gateway.watching.frame import Beside, LimitLine, frame_of, near_limits
from gateway.watching.scraped import Movement, read_scrape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from gateway.commands.admin_client import AdminClient
    from gateway.watching.frame import Frame
    from gateway.watching.scraped import Scrape

PATIENCE_S: Final = 10.0
ONCE_S: Final = 2.5
WINDOW_S: Final = 4.0
"""What rates are of. Workers tell their supervisor what they counted once a second: of less, every other look would
show nothing.
"""
LIMITS_EVERY_S: Final = 5.0
KEYS: Final = "q quit   s sort"


class Looks:
    """One frame after another. A gateway that cannot be asked raises `CommandError`, and may be asked again."""

    def __init__(self, client: AdminClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._before: deque[Scrape] = deque()
        self._beside_at_s = 0.0
        self._limits: tuple[LimitLine, ...] = ()
        self._today_usd: float | None = None
        self._missing = ""

    def look(self) -> Frame:
        """What happened within the last seconds, or since the look before where that is longer ago; the first, before
        which nothing is known, has levels only.
        """
        before = self._before
        try:
            now = read_scrape(self._client.text("/metrics"), self._clock())
        except CommandError:
            before.clear()  # who comes back may count anew
            raise
        while len(before) > 1 and now.at_s - before[1].at_s >= WINDOW_S:
            before.popleft()
        moved, is_first = Movement(before[0] if before else None, now), not before
        before.append(now)
        if not is_first and now.at_s >= self._beside_at_s:
            self._beside_at_s = now.at_s + LIMITS_EVERY_S
            self._look_beside()
        return frame_of(moved, Beside(self._limits, self._today_usd, self._missing))

    def _look_beside(self) -> None:
        """Limits and the ledger's sum are asked for more seldom; where they are not told, the view says why."""
        try:
            self._limits = tuple(near_limits(self._client.ask("GET", "/admin/v1/limits").body["limits"]))
            today = datetime.now(UTC).date().isoformat()
            spent = self._client.ask("GET", f"/admin/v1/usage?by=day&since={today}").body["total"]["cost_nanousd"]
            self._today_usd, self._missing = None if spent is None else spent / NANO, ""
        except CommandError as error:
            self._missing = f"no limits and sums: {error}"
        except (LookupError, TypeError, ValueError, ArithmeticError):
            self._missing = "no limits and sums: what came is not a gateway's answer"


def command(arguments: argparse.Namespace) -> int:
    """0 once somebody has seen enough, 1 where the gateway cannot be asked from the start, 2 where wrongly asked."""
    try:
        require(TOP)
        client = client_of(arguments, os.environ, PATIENCE_S)
        looks, title = Looks(client), f"pointsman at {arguments.config or client.url}"
        if not arguments.json and not arguments.once:
            return _follow(Looking(looks.look, arguments.every), title)
        looks.look()
        return _tell(looks) if arguments.json else _show_once(looks, title)
    except MissingExtra as error:
        sys.stderr.write(f"pointsman top: {error}\n")
        return 2
    except CommandError as error:
        sys.stderr.write(f"pointsman top: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def _tell(looks: Looks) -> int:
    """The frame for programs."""
    time.sleep(ONCE_S)
    sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(looks.look()), indent=2).decode()}\n")
    return 0


def _show_once(looks: Looks, title: str) -> int:
    """What happens within two seconds and a half, as text."""
    from rich.console import Console  # noqa: PLC0415 - an extra, and no other command needs it

    from gateway.watching.drawing import drawn  # noqa: PLC0415 - as above

    time.sleep(ONCE_S)
    console = Console(highlight=False)
    console.print(drawn(looks.look(), title, columns=console.width))
    return 0


def _follow(looking: Looking, title: str) -> int:
    """Drawn anew with each look and key, and all the time where the gateway is in trouble."""
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415 - as above

    from gateway.watching.drawing import SORTS, drawn_sight  # noqa: PLC0415 - as above

    console, sorts, at, key = Console(highlight=False), list(SORTS), 0, ""
    with _keys() as pressed, Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                if looking.step() or key:
                    sort = sorts[at % len(sorts)]
                    head = f"{title}   {time.strftime('%H:%M:%S')}   by {sort}   {KEYS}"
                    live.update(drawn_sight(looking.sight(), head, sort, console.width), refresh=True)
                key = pressed(looking.wait_s)
            except KeyboardInterrupt:
                return 0
            if key in ("q", "Q", "\x03"):
                return 0
            at += key in ("s", "S")


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key, for at most so many seconds; "" where none came or there is no keyboard."""
    if not sys.stdin.isatty():

        def pause(within_s: float) -> str:
            time.sleep(within_s)
            return ""

        yield pause
        return
    import termios  # noqa: PLC0415 - where there is a terminal
    import tty  # noqa: PLC0415 - as above

    def pressed(within_s: float) -> str:
        # Not by `sys.stdin`, which would take all that was typed and give one of it; a terminal that is gone has "".
        ready, _, _ = select.select([keyboard], [], [], within_s)
        return (os.read(keyboard, 1).decode(errors="replace") or "q") if ready else ""

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield pressed
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
