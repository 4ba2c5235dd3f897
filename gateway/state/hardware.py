"""What the hardware of one's own does: whose its time is, how much of it nobody had, and what both cost.

Every attempt at a deployment with hardware is timed by a clock that goes slower the more share it. Our own engine
measures its work itself, and tells of it a moment later; there the clock only says whose the work was. Hardware that
several processes use is theirs in equal shares: each sees its own calls alone, and together they must not come to more
time than there was. Each worker has an engine of its own, so that one is shared by the workers of its node alone.
Nothing here waits, and an attempt costs a few microseconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from policies.compute_share import shares_ns
from policies.hardware_cost import NS_PER_S, Account, Hardware, booked, divided, gpu_us, spent
from policies.shared_time import Part, SharedTime, advanced, grown, joined, left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from policies.hardware_cost import Spent
    from policies.vocabulary import Deployment

ENGINE_TELLS_WITHIN_NS: Final = NS_PER_S
"""An engine's numbers are a few tenths of a second old: what is younger than this is not called idle yet."""


@dataclass(slots=True)
class Unit:
    """One piece of hardware. `since_ns` is when it was first there, less what it was away; `booked_*` is what has
    been booked of the time since then.
    """

    hardware: Hardware
    provider: str
    clock: SharedTime
    since_ns: int
    names: tuple[str, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    busy_ns: int = 0
    idle_ns: int = 0
    engine_ns: int = 0


class Timed:
    """An attempt on its way through hardware; `end` may be called twice."""

    __slots__ = ("_began_ns", "_name", "_times", "_unit")

    def __init__(self, times: HardwareTimes, unit: Unit, name: str) -> None:
        self._times = times
        self._unit: Unit | None = unit
        self._name = name
        unit.clock = joined(unit.clock, times.clock_ns())
        unit.parts[name] = grown(unit.parts.get(name, Part(unit.clock.shown_ns)), unit.clock, 1)
        self._began_ns = unit.clock.shown_ns

    def end(self, engine_s: float | None) -> int | None:
        """Its part in microseconds of GPUs: what our own engine says that it was, else what the clock does. None where
        our engine has not said.
        """
        unit, self._unit = self._unit, None
        if unit is None:
            return None
        unit.clock = left(unit.clock, self._times.clock_ns())
        unit.parts[self._name] = grown(unit.parts[self._name], unit.clock, -1)
        had_ns = unit.clock.shown_ns - self._began_ns
        if unit.hardware.is_engine:
            if engine_s is None:
                return None
            had_ns = round(engine_s * NS_PER_S)
        return gpu_us(had_ns * self._times.factor(unit), unit.hardware.milligpus, self._times.shares)


class HardwareTimes:
    """All hardware that deployments run on, by its name. This process is one of the `workers` of one of the `nodes`."""

    def __init__(self, workers: int = 1, nodes: int = 1, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.shares = workers * nodes
        self.clock_ns = clock_ns
        self._nodes = nodes
        self._units: dict[str, Unit] = {}
        self._accounts: dict[str, Account] = {}
        self._providers: dict[str, str] = {}
        self._engine_busy_s: Callable[[str], float | None] = lambda _: None

    def watch_engines(self, busy_s: Callable[[str], float | None]) -> None:
        """From now on engines of this process are asked how long they have computed, by their providers' names."""
        self._engine_busy_s = busy_s

    def take_over(self, deployments: Iterable[Deployment]) -> None:
        """Follow the hardware of another policy. What the old one's has come to stays; what is gone idles no more."""
        self.book()
        names: dict[str, set[str]] = {}
        stated: dict[str, tuple[Hardware, str]] = {}
        for deployment in deployments:
            if (hardware := deployment.hardware) is not None:
                names.setdefault(hardware.name, set()).add(deployment.name)
                stated[hardware.name] = hardware, deployment.provider
                self._providers[deployment.name] = deployment.provider
        units: dict[str, Unit] = {}
        now_ns = self.clock_ns()
        for name, (hardware, provider) in stated.items():
            unit = self._units.get(name) or Unit(hardware, provider, SharedTime(now_ns), now_ns)
            unit.hardware, unit.names = hardware, tuple(sorted(names[name]))
            for one in unit.names:
                self._accounts.setdefault(one, Account())
            units[name] = unit
        self._units = units

    def begin(self, deployment: Deployment) -> Timed | None:
        """An attempt is sent there; None where nobody knows of its hardware."""
        if deployment.hardware is None:
            return None
        unit = self._units.get(deployment.hardware.name)
        return None if unit is None else Timed(self, unit, deployment.name)

    def spent(self) -> dict[str, Spent]:
        """What each deployment's hardware has come to since the process began, to this moment."""
        self.book()
        return {name: spent(account, self.shares) for name, account in self._accounts.items()}

    def factor(self, unit: Unit) -> int:
        """How many of all shares this process has of it."""
        return self._nodes if unit.hardware.is_engine else 1

    def provider_of(self, deployment: str) -> str:
        return self._providers[deployment]

    def book(self) -> None:
        """Bring the accounts up to now."""
        now_ns = self.clock_ns()
        for unit in self._units.values():
            unit.clock = advanced(unit.clock, now_ns)
            parts = self._worked(unit, now_ns)
            for name, busy_ns in parts.items():
                self._add(name, unit, busy_ns, 0)
                unit.busy_ns += busy_ns
            self._idle(unit, now_ns)

    def _worked(self, unit: Unit, now_ns: int) -> dict[str, int]:
        """What of the time since the last look was work, by deployment."""
        had = {name: grown(part, unit.clock) for name, part in unit.parts.items()}
        unit.parts = had
        grew = {name: part.had_ns - unit.told.get(name, 0) for name, part in had.items()}
        unit.told = {name: part.had_ns for name, part in had.items()}
        if not unit.hardware.is_engine:
            return grew
        names = unit.names + tuple(name for name in grew if name not in unit.names)
        busy_ns = min(self._engine_worked_ns(unit), now_ns - unit.since_ns - unit.busy_ns - unit.idle_ns)
        return dict(zip(names, shares_ns(max(0, busy_ns), [grew.get(name, 0) for name in names]), strict=True))

    def _engine_worked_ns(self, unit: Unit) -> int:
        """Since the last look. A worker that began anew counts from nothing."""
        busy_s = self._engine_busy_s(unit.provider)
        if busy_s is None:
            return 0
        total_ns, before_ns = round(busy_s * NS_PER_S), unit.engine_ns
        unit.engine_ns = total_ns
        return total_ns - before_ns if total_ns >= before_ns else total_ns

    def _idle(self, unit: Unit, now_ns: int) -> None:
        """What nobody had, shared evenly by those that stood ready."""
        told_ns = now_ns - ENGINE_TELLS_WITHIN_NS if unit.hardware.is_engine else now_ns
        idle_ns = max(0, told_ns - unit.since_ns - unit.clock.rest_ns - unit.busy_ns - unit.idle_ns)
        unit.idle_ns += idle_ns
        for name, part_ns in zip(unit.names, divided(idle_ns, len(unit.names)), strict=True):
            self._add(name, unit, 0, part_ns)

    def _add(self, name: str, unit: Unit, busy_ns: int, idle_ns: int) -> None:
        factor, account = self.factor(unit), self._accounts.get(name, Account())
        self._accounts[name] = booked(account, busy_ns * factor, idle_ns * factor, unit.hardware)
