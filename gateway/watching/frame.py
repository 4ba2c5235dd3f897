"""What one look at a gateway shows, worked out of two scrapes and of what the admin API tells beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.signals.telemetry import FAULTS
from gateway.watching.scraped import Movement, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BREAKERS: Final = {0: "closed", 1: "half open", 2: "open"}
HOUR_S: Final = 3600
NANO: Final = 1e9


@dataclass(frozen=True, slots=True)
class DeploymentLine:
    name: str
    breaker: str
    attempts_per_s: float
    failed_share: float | None
    ttft_p95_s: float | None
    took_p95_s: float | None
    queue: float
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class LimitLine:
    """`used_share` is of the whole amount, what is reserved included. `reset_s` is when all of it is there again."""

    scope: str
    holder: str
    resource: str
    window: str
    used_share: float
    reset_s: float


@dataclass(frozen=True, slots=True)
class EngineLine:
    name: str
    is_up: bool
    slots: float
    busy: float
    waiting: float
    kv_share: float | None
    read_per_s: float
    written_per_s: float


@dataclass(frozen=True, slots=True)
class Beside:
    """What the admin API tells beside a scrape. `missing` is why it does not, where it does not."""

    limits: tuple[LimitLine, ...] = ()
    spent_today_usd: float | None = None
    missing: str = ""


NOTHING_BESIDE: Final = Beside()


@dataclass(frozen=True, slots=True)
class Frame:
    """Rates are per second and money is in USD. None stands for what nothing was measured of."""

    per_s: Mapping[str, float]
    input_per_s: float
    output_per_s: float
    usd_per_hour: float
    in_flight: float
    streams: float
    ttft_s: tuple[float | None, float | None]
    took_s: tuple[float | None, float | None]
    overhead_p99_s: float | None
    hit_share: float | None
    unpriced_per_s: float
    denied_per_s: Mapping[str, float]
    workers: Mapping[str, float]
    teams: Mapping[str, float]
    deployments: tuple[DeploymentLine, ...]
    engines: tuple[EngineLine, ...]
    beside: Beside = NOTHING_BESIDE

    @property
    def failed_share(self) -> float | None:
        """Of what went wrong here or upstream, not of what callers were refused."""
        everything = total(self.per_s)
        return sum(self.per_s.get(fault, 0.0) for fault in FAULTS) / everything if everything else None


class Sight(NamedTuple):
    """What there is to show: the latest frame and how old it is; what is wrong now and for how long, "" for nothing."""

    frame: Frame | None
    frame_age_s: float = 0.0
    trouble: str = ""
    trouble_s: float = 0.0


def frame_of(moved: Movement, beside: Beside = NOTHING_BESIDE) -> Frame:
    """The whole view. What a gateway does not tell is zero or None, never an error."""
    tokens = moved.rate("pointsman_tokens_total", "type")
    denials = moved.rate("pointsman_ratelimit_decisions_total", "scope", {"decision": "denied"})
    return Frame(
        per_s=moved.rate("pointsman_requests_total", "outcome"),
        input_per_s=tokens.get("input", 0.0),
        output_per_s=tokens.get("output", 0.0),
        usd_per_hour=HOUR_S * total(moved.rate("pointsman_cost_usd_total")),
        in_flight=total(moved.level("pointsman_inflight_requests")),
        streams=total(moved.level("pointsman_open_streams")),
        ttft_s=_pair(moved, "pointsman_time_to_first_token_seconds"),
        took_s=_pair(moved, "pointsman_request_duration_seconds"),
        overhead_p99_s=moved.quantile(0.99, "pointsman_overhead_seconds").get(""),
        hit_share=_hit_share(moved),
        unpriced_per_s=total(moved.rate("pointsman_unpriced_requests_total")),
        denied_per_s={scope: rate for scope, rate in denials.items() if rate},
        workers=moved.level("pointsman_worker_up", "worker"),
        teams={
            team: HOUR_S * rate for team, rate in moved.rate("pointsman_team_cost_usd_total", "team").items() if rate
        },
        deployments=tuple(_deployments(moved)),
        engines=tuple(_engines(moved)),
        beside=beside,
    )


def near_limits(levels: Sequence[Mapping[str, Any]], most: int = 10) -> list[LimitLine]:
    """Those of the admin API's limits that are most used up, the fullest first; what is not used at all is left out."""
    lines = [
        LimitLine(
            str(level["scope"]),
            str(level["holder"]),
            str(level["resource"]),
            "" if level["window"] is None else _window(level["window"]),
            (level["used"] + level["held"]) / level["amount"],
            float(level["reset_s"]),
        )
        for level in levels
        if level["amount"] > 0 and level["used"] + level["held"] > 0
    ]
    return sorted(lines, key=lambda line: line.used_share, reverse=True)[:most]


def _window(window: object) -> str:
    if isinstance(window, str):
        return window
    seconds = float(str(window))
    names = {1.0: "s", 60.0: "min", 3600.0: "h", 86_400.0: "d"}
    return names.get(seconds) or f"{seconds:g}s"


def _pair(moved: Movement, name: str) -> tuple[float | None, float | None]:
    return moved.quantile(0.5, name).get(""), moved.quantile(0.95, name).get("")


def _hit_share(moved: Movement) -> float | None:
    """Of the calls that were looked up. A call that misses in one cache and hits in the next is a hit."""
    looked_up = moved.increase("pointsman_cache_requests_total", "result")
    asked = sum(count for result, count in looked_up.items() if result != "bypass")
    return looked_up.get("hit", 0.0) / asked if asked else None


def _deployments(moved: Movement) -> list[DeploymentLine]:
    attempts = moved.rate("pointsman_upstream_attempts_total", "deployment")
    well = moved.rate("pointsman_upstream_attempts_total", "deployment", {"outcome": "ok"})
    circuits = moved.level("pointsman_circuit_state", "deployment")
    ttft = moved.quantile(0.95, "pointsman_time_to_first_token_seconds", "deployment")
    took = moved.quantile(0.95, "pointsman_upstream_duration_seconds", "deployment")
    queues = moved.level("pointsman_queue_depth", "deployment")
    costs = moved.rate("pointsman_cost_usd_total", "deployment")
    names = sorted(attempts.keys() | circuits.keys())
    return [
        DeploymentLine(
            name,
            BREAKERS.get(int(circuits.get(name, 0)), "?"),
            attempts.get(name, 0.0),
            1 - well.get(name, 0.0) / attempts[name] if attempts.get(name) else None,
            ttft.get(name),
            took.get(name),
            queues.get(name, 0.0),
            HOUR_S * costs.get(name, 0.0),
        )
        for name in names
    ]


def _engines(moved: Movement) -> list[EngineLine]:
    up = moved.level("pointsman_local_up", "deployment")
    slots, busy = (moved.level(f"pointsman_local_{name}", "deployment") for name in ("slots", "slots_busy"))
    waiting, kv = (moved.level(f"pointsman_local_{name}", "deployment") for name in ("queue", "kv_used_ratio"))
    read = moved.rate("pointsman_tokens_total", "deployment", {"type": "input"})
    written = moved.rate("pointsman_tokens_total", "deployment", {"type": "output"})
    return [
        EngineLine(
            name,
            bool(up[name]),
            slots.get(name, 0.0),
            busy.get(name, 0.0),
            waiting.get(name, 0.0),
            kv.get(name),
            read.get(name, 0.0),
            written.get(name, 0.0),
        )
        for name in sorted(up)
    ]
