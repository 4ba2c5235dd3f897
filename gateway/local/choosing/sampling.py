"""Choosing the next token from a row of logits: biases, penalties, sampling settings, a grammar; log-probabilities.

The samplers are our own and not llama.cpp's: theirs copy the whole vocabulary into a structure of their own for each
token, index memory by a logit that is no number, and end the process when a grammar and a token disagree.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.llama_cpp_job import ChosenLogprob, TokenLogprob
from gateway.local.choosing.constraint import Constraint, DeadEnd
from gateway.local.choosing.draws import Support, draw, draw_from, race, support_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adapters.llama_cpp_job import Sampling
    from gateway.local.choosing.vocabulary import Pieces

    Row = NDArray[np.float32]

# What `choose_many` says in place of a token.
DEAD_END: Final = -1
NO_NUMBERS: Final = -2
UNCHOSEN: Final = {
    DEAD_END: ("grammar_dead_end", "The grammar of this answer leads nowhere with this model's vocabulary."),
    NO_NUMBERS: ("engine_failure", "The model computed values that are no numbers."),
}

# Colder than this and a second token would have to be within 0.0003 of the likeliest to be drawn at all.
_LEAST_TEMPERATURE = 1e-5
_POOL_FROM_VALUES = 1 << 18
_MAX_POOL_THREADS = 4


class NoNumbers(Exception):  # noqa: N818 - it says what the row holds
    """The row holds NaN or infinity where its greatest value should be."""


class Chooser:
    """Chooses the tokens of one choice. Made by any one thread and used by one at a time.

    The same seed and rows give the same tokens. Penalties count what was chosen here, not the prompt.
    """

    def __init__(self, model: Pieces, sampling: Sampling, *, seed: int, constraint: Constraint | None = None) -> None:
        self._model = model
        self._sampling = sampling
        self._constraint = constraint
        self._rng = Random(seed % 2**64)  # noqa: S311 - nobody is kept from guessing it: the caller may set it
        self._counts: dict[int, int] | None = {} if _has_penalties(sampling) else None
        self._bias_tokens = np.array([token for token, _ in sampling.logit_bias], np.int64)
        self._biases = np.array([bias for _, bias in sampling.logit_bias], np.float32)
        # Free rows of temperature 0 take 10 us; all others several times that.
        self._takes_likeliest = sampling.temperature < _LEAST_TEMPERATURE
        self.is_quick = self._takes_likeliest and constraint is None and self._counts is None

    def choose(self, row: Row) -> int:
        """The next token; it counts as chosen. Raises `DeadEnd` and `NoNumbers`."""
        row = self._adjusted(row)
        best = int(row.argmax())
        top = float(row[best])
        if not math.isfinite(top):
            raise DeadEnd if top < 0 else NoNumbers
        if self._takes_likeliest:
            token = best if self._constraint is None else self._constraint.likeliest(row, best)
        else:
            token = draw_from(row, top, self._sampling, self._rng)
            if self._constraint is not None and not self._constraint.allows(token):
                token = self._drawn_again(row, top)
        if self._constraint is not None:
            self._constraint.accept(token)
        if self._counts is not None:
            self._counts[token] = self._counts.get(token, 0) + 1
        return token

    def logprob(self, row: Row, token: int) -> ChosenLogprob | None:
        """What the model itself thought of the choice, before sampling settings; None where nobody asked."""
        if self._sampling.top_logprobs is None:
            return None
        top = float(row.max())
        total = top + math.log(float(np.exp(row - top).sum(dtype=np.float64)))
        best: list[int] = []
        if count := min(self._sampling.top_logprobs, len(row)):
            some = np.argpartition(row, len(row) - count)[len(row) - count :]
            best = [int(index) for index in some[np.argsort(-row[some], kind="stable")]]

        def entry(index: int) -> TokenLogprob:
            return TokenLogprob(self._model.piece(index), float(row[index]) - total)

        return ChosenLogprob(entry(token), tuple(map(entry, best)))

    def close(self) -> None:
        """Nothing is chosen any more."""
        self._constraint = None

    def _drawn_again(self, row: Row, top: float) -> int:
        """A token that the grammar allows, by the same chances: of those that sampling leaves, else of all."""
        constraint = self._constraint
        assert constraint is not None  # noqa: S101 - only called with one
        support = support_of(row, top, self._sampling)
        possible = constraint.possible(support.tokens)
        for token in race(Support(support.tokens[possible], support.logits[possible]), self._rng).tolist():
            if constraint.allows(token):
                return int(token)
        tokens = constraint.likeliest_few(row)
        if not tokens:
            raise DeadEnd
        few = row[tokens]
        rest = support_of(few, float(few.max()), self._sampling)
        return tokens[draw(rest, self._rng)]

    def _adjusted(self, row: Row) -> Row:
        """The row with biases and penalties; as it is where there are none."""
        if not len(self._biases) and not self._counts:
            return row
        row = row.copy()
        if len(self._biases):
            row[self._bias_tokens] += self._biases
        if self._counts:
            sampling = self._sampling
            tokens = np.fromiter(self._counts.keys(), np.int64, len(self._counts))
            times = np.fromiter(self._counts.values(), np.float32, len(self._counts))
            values = row[tokens]
            values = np.where(values > 0, values / sampling.repeat_penalty, values * sampling.repeat_penalty)
            row[tokens] = values - times * sampling.frequency_penalty - sampling.presence_penalty
        return row


class StepChooser:
    """Chooses for all rows of a step, on several threads where there is enough to do. It belongs to one thread."""

    def __init__(self, threads: int = 0, *, pool_from_values: int = _POOL_FROM_VALUES) -> None:
        self._threads = threads or min(_MAX_POOL_THREADS, len(os.sched_getaffinity(0)))
        self._pool_from_values = pool_from_values
        self._pool: ThreadPoolExecutor | None = None

    def choose_many(self, pairs: Sequence[tuple[Chooser, Row]]) -> list[int]:
        """A token for each pair, in their order; a key of `UNCHOSEN` where there is none."""
        heavy = [number for number, (chooser, _) in enumerate(pairs) if not chooser.is_quick]
        values = sum(len(pairs[number][1]) for number in heavy)
        if len(heavy) < 2 or self._threads < 2 or values < self._pool_from_values:
            return [_chosen(pair) for pair in pairs]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "choosing")
        shares = [heavy[first :: self._threads] for first in range(1, self._threads)]
        futures = [self._pool.submit(_chosen_all, [pairs[number] for number in share]) for share in shares if share]
        mine = [number for number in range(len(pairs)) if pairs[number][0].is_quick] + heavy[:: self._threads]
        tokens = dict(zip(mine, _chosen_all([pairs[number] for number in mine]), strict=True))
        for share, future in zip(shares, futures, strict=False):
            tokens |= zip(share, future.result(), strict=True)
        return [tokens[number] for number in range(len(pairs))]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def choose_many(pairs: Sequence[tuple[Chooser, Row]]) -> list[int]:
    """A token for each pair, in their order; a key of `UNCHOSEN` where there is none."""
    return _chosen_all(pairs)


def _chosen_all(pairs: Sequence[tuple[Chooser, Row]]) -> list[int]:
    return [_chosen(pair) for pair in pairs]


def _chosen(pair: tuple[Chooser, Row]) -> int:
    try:
        return pair[0].choose(pair[1])
    except DeadEnd:
        return DEAD_END
    except NoNumbers:
        return NO_NUMBERS


def _has_penalties(sampling: Sampling) -> bool:
    return bool(sampling.presence_penalty or sampling.frequency_penalty or sampling.repeat_penalty != 1.0)
