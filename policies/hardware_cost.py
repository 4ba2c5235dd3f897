"""What hardware of one's own costs: by the hour, as a price of tokens, and split into work and waiting.

Three numbers that are never mixed: the charge price, which is known before a call; what part of the hardware's time a
request had; and what the hardware costs in full, busy or not. All are integers, rounded half to even where they must
be: rates are nano-USD per hour, since two dollars an hour are no whole number of nano-USD per second.

`Account` adds up time and cost of one deployment on its hardware, at whatever rate holds meanwhile, and rounds only
what is told: nothing is lost between two looks, and what was told never shrinks.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from policies.pricing import RATE_UNIT_TOKENS
from policies.rounding import half_even

PPM: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
NS_PER_HOUR: Final = 3600 * NS_PER_S
HOURS_PER_YEAR: Final = 8760
MILLI: Final = 1000


class Hardware(NamedTuple):
    """What deployments run on, and share: those with one `name` share it. `milligpus` is how many GPUs it has, in
    thousandths; `nanousd_per_hour` what all of it costs, None where nobody said so. `is_engine`: our own engine runs
    there, which measures its work itself.
    """

    name: str
    milligpus: int = MILLI
    nanousd_per_hour: int | None = None
    is_engine: bool = False


class Owned(NamedTuple):
    """One GPU that was bought: it is written off over its life, in the hours in which it is there to be used."""

    price_nanousd: int
    residual_nanousd: int
    life_hours: int
    availability_ppm: int
    milliwatts: int
    pue_ppm: int
    kwh_nanousd: int
    hosting_nanousd_per_hour: int


class Throughput(NamedTuple):
    """Tokens per second of all the hardware at work, in thousandths, and the share of its time that is expected to be
    work. What is None goes at the pace of `tokens`.
    """

    millitokens_per_s: int
    utilisation_ppm: int
    prefill_millitokens_per_s: int | None = None
    cached_millitokens_per_s: int | None = None


class LocalRates(NamedTuple):
    """The charge price, in nano-USD per million tokens."""

    input_nanousd: int
    cached_input_nanousd: int
    output_nanousd: int


def owned_nanousd_per_hour(owned: Owned) -> int:
    """(price - residual) / (life x availability) + power x PUE x price of a kWh + hosting."""
    written_off = half_even(
        (owned.price_nanousd - owned.residual_nanousd) * PPM, max(1, owned.life_hours * owned.availability_ppm)
    )
    power = half_even(owned.milliwatts * owned.pue_ppm * owned.kwh_nanousd, MILLI * MILLI * PPM)
    return written_off + power + owned.hosting_nanousd_per_hour


def of_all_gpus(nanousd_per_gpu_hour: int, milligpus: int) -> int:
    """What all of them cost in an hour."""
    return half_even(nanousd_per_gpu_hour * milligpus, MILLI)


def local_rates(nanousd_per_hour: int, throughput: Throughput) -> LocalRates:
    """What a token has to be charged for the hardware to be paid, if it works as much as is expected."""
    prefill = throughput.prefill_millitokens_per_s or throughput.millitokens_per_s
    paces = (prefill, throughput.cached_millitokens_per_s or prefill, throughput.millitokens_per_s)
    return LocalRates(*(_rate(nanousd_per_hour, pace, throughput.utilisation_ppm) for pace in paces))


def _rate(nanousd_per_hour: int, millitokens_per_s: int, utilisation_ppm: int) -> int:
    return half_even(nanousd_per_hour * MILLI * PPM * RATE_UNIT_TOKENS, 3600 * millitokens_per_s * utilisation_ppm)


def gpu_us(hardware_ns: int, milligpus: int, shares: int = 1) -> int:
    """Microseconds of GPUs in so much time of one of equal shares of the hardware."""
    return half_even(hardware_ns * milligpus, MILLI * MILLI * shares)


class Account(NamedTuple):
    """What busy and idle time of hardware came to: GPU time in ns x milligpus, cost in ns x nano-USD per hour.

    `priced`: somebody said what the hardware costs.
    """

    busy: int = 0
    idle: int = 0
    busy_cost: int = 0
    idle_cost: int = 0
    priced: bool = False


class Spent(NamedTuple):
    """An account as it is told: GPU time in nanoseconds; cost in nano-USD, None where nobody knows."""

    busy_ns: int
    idle_ns: int
    busy_nanousd: int | None
    idle_nanousd: int | None


def booked(account: Account, busy_ns: int, idle_ns: int, hardware: Hardware) -> Account:
    """The account after so much more time of the hardware."""
    rate = hardware.nanousd_per_hour
    return Account(
        account.busy + busy_ns * hardware.milligpus,
        account.idle + idle_ns * hardware.milligpus,
        account.busy_cost + busy_ns * (rate or 0),
        account.idle_cost + idle_ns * (rate or 0),
        account.priced or rate is not None,
    )


def spent(account: Account, shares: int = 1) -> Spent:
    """What it came to, where the hardware is one process's to such an equal share."""
    gpu, cost = MILLI * shares, NS_PER_HOUR * shares
    return Spent(
        account.busy // gpu,
        account.idle // gpu,
        account.busy_cost // cost if account.priced else None,
        account.idle_cost // cost if account.priced else None,
    )


def divided(amount: int, parts: int) -> list[int]:
    """An amount in equal parts, the first ones larger by one where it does not come out even."""
    each, rest = divmod(amount, parts)
    return [each + (number < rest) for number in range(parts)]
