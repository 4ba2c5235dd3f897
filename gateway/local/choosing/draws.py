"""One row of logits and how it is drawn from: which tokens stay in, and which of them it is.

Written with numpy, and after a look at the costs: sorting a vocabulary takes milliseconds, comparing it with a border
microseconds. So the best are looked for above borders, and only what is above one is sorted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from random import Random

    from numpy.typing import NDArray

    from adapters.llama_cpp_job import Sampling

# A token that is e^-30 times as likely as the likeliest is less than the rounding of the sum of all.
_NO_CHANCE = 30.0
_BORDERS = (2.0, 5.0, 9.0, 14.0, 20.0)
_BLOCK = 256


class Support(NamedTuple):
    """The tokens that may be drawn, in the vocabulary's order, and their logits divided by the temperature.

    That order matters: were they in the order of their logits, a last digit that differs would change the draw.
    """

    tokens: NDArray[np.int64]
    logits: NDArray[np.float64]


def draw_from(row: NDArray[np.float32], top: float, sampling: Sampling, rng: Random) -> int:
    """One token of a row whose greatest value is `top`."""
    if sampling.top_k or sampling.top_p < 1.0 or sampling.min_p > 0.0:
        return draw(support_of(row, top, sampling), rng)
    chances = np.exp((row - np.float32(top)) * np.float32(1.0 / sampling.temperature))
    # Summing up a whole vocabulary step by step is slow: first the block that is met, then the token in it.
    starts = np.arange(0, len(chances), _BLOCK)
    blocks = np.cumsum(np.add.reduceat(chances, starts), dtype=np.float64)
    met = rng.random() * float(blocks[-1])
    block = min(int(np.searchsorted(blocks, met, side="right")), len(blocks) - 1)
    before = float(blocks[block - 1]) if block else 0.0
    sums = np.cumsum(chances[block * _BLOCK : (block + 1) * _BLOCK], dtype=np.float64)
    return block * _BLOCK + _index(sums, met - before)


def support_of(row: NDArray[np.float32], top: float, sampling: Sampling) -> Support:
    """What top-k, top-p and min-p leave of a row whose greatest value is `top`; in this order, as llama.cpp does."""
    spread = _NO_CHANCE * max(1.0 if sampling.top_p < 1.0 else sampling.temperature, 1e-6)
    if sampling.min_p > 0.0 and sampling.top_p >= 1.0:
        spread = min(spread, 0.001 - math.log(sampling.min_p))
    total = 0.0
    if sampling.top_p < 1.0 and not sampling.top_k:
        total = float(np.exp(row - np.float32(top)).sum())
    tokens = _likeliest(row, top, sampling, spread, sampling.top_p * total)
    logits = row[tokens]
    if 0 < sampling.top_k < len(tokens):
        kept = _greatest(logits, sampling.top_k)
        tokens, logits = tokens[kept], logits[kept]
    exact = logits.astype(np.float64) - top
    if sampling.top_p < 1.0:
        kept = _nucleus(exact, sampling.top_p, total)
        tokens, exact = tokens[kept], exact[kept]
    if sampling.min_p > 0.0:
        kept = np.flatnonzero(exact >= min(0.0, math.log(sampling.min_p)))
        tokens, exact = tokens[kept], exact[kept]
    return Support(tokens, exact / sampling.temperature)


def draw(support: Support, rng: Random) -> int:
    """One token, each by its chance."""
    if len(support.tokens) == 1:
        return int(support.tokens[0])
    sums = np.cumsum(np.exp(support.logits - support.logits.max()))
    return int(support.tokens[_index(sums, rng.random() * float(sums[-1]))])


def race(support: Support, rng: Random) -> NDArray[np.int64]:
    """All tokens in the order in which they would be drawn, were none put back.

    The first of them that passes a test is drawn as it would be from those alone that pass it. (Every token runs for an
    exponentially distributed time; Gumbel's distribution is the logarithm of that.)
    """
    noise = np.random.default_rng(rng.getrandbits(64)).gumbel(size=len(support.tokens))
    return support.tokens[np.argsort(-(support.logits + noise), kind="stable")]


def _likeliest(
    row: NDArray[np.float32], top: float, sampling: Sampling, spread: float, wanted: float
) -> NDArray[np.int64]:
    """All tokens that can matter: the likeliest `top_k`, or those that hold the `wanted` sum, and perhaps some more."""
    for border in _BORDERS if sampling.top_k or wanted else ():
        above = row >= np.float32(top - border)
        if np.count_nonzero(above) >= sampling.top_k and border < spread:
            tokens = np.flatnonzero(above)
            if sampling.top_k or float(np.exp(row[tokens] - np.float32(top)).sum()) >= wanted:
                return tokens
    return np.flatnonzero(row >= np.float32(top - spread))


def _index(sums: NDArray[np.float64], met: float) -> int:
    return min(int(np.searchsorted(sums, met, side="right")), len(sums) - 1)


def _greatest(logits: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Where the greatest so many are; of equal ones the first."""
    border = np.partition(logits, len(logits) - count)[len(logits) - count]
    kept = np.flatnonzero(logits >= border)
    if surplus := len(kept) - count:
        ties = np.flatnonzero(logits[kept] == border)
        kept = np.delete(kept, ties[len(ties) - surplus :])
    return kept


def _nucleus(logits: NDArray[np.float64], top_p: float, total: float) -> NDArray[np.int64]:
    """Where the likeliest are, as many as it takes to reach `top_p` of the total (0: of their own sum)."""
    chances = np.exp(logits)
    sums = np.cumsum(np.sort(chances)[::-1])
    count = _index(sums, top_p * (total or float(sums[-1]))) + 1
    return _greatest(chances.astype(np.float32), count) if count < len(chances) else np.arange(len(chances))
