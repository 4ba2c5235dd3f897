from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.llama_cpp_job import Sampling
from adapters.schema import InvalidRequest
from gateway.local.gbnf import literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from gateway.local.llama import Model
    from gateway.local.sampling import Chooser

GREEDY = Sampling(temperature=0)


@pytest.fixture
def make(model: Model) -> Iterator[Callable[..., Chooser]]:
    from gateway.local.sampling import Chooser  # noqa: PLC0415 - loads llama.cpp

    made: list[Chooser] = []

    def make_one(sampling: Sampling, *, seed: int = 1, grammar: str | None = None) -> Chooser:
        made.append(Chooser(model, sampling, seed=seed, grammar=grammar))
        return made[-1]

    yield make_one
    for chooser in made:
        chooser.close()


@pytest.fixture
def row(model: Model) -> NDArray[np.float32]:
    """Four tokens that stand out, in the order 100, 200, 300, 400."""
    row = np.zeros(model.vocab_size, np.float32)
    row[[100, 200, 300, 400]] = [20, 19.5, 19, 18.5]
    return row


def draw(chooser: Chooser, row: NDArray[np.float32], times: int = 40) -> list[int]:
    return [chooser.choose(row) for _ in range(times)]


def test_temperature_zero_takes_the_likeliest(make: Callable[..., Chooser], row: NDArray[np.float32]) -> None:
    assert draw(make(GREEDY), row, 3) == [100, 100, 100]


def test_the_same_seed_draws_the_same(make: Callable[..., Chooser], row: NDArray[np.float32]) -> None:
    first, again, other = (draw(make(Sampling(), seed=seed), row) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert len(set(first)) > 2


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, 0xFFFFFFFF])
def test_any_seed_is_one(make: Callable[..., Chooser], row: NDArray[np.float32], seed: int) -> None:
    assert draw(make(Sampling(), seed=seed), row) == draw(make(Sampling(), seed=seed), row)


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (Sampling(top_k=1), {100}),
        (Sampling(top_k=2), {100, 200}),
        (Sampling(top_p=0.4), {100}),
        (Sampling(min_p=0.9), {100}),
        (Sampling(temperature=0.01), {100}),
        (Sampling(top_k=4, logit_bias=((100, float("-inf")), (200, float("-inf")))), {300, 400}),
        (Sampling(temperature=0, logit_bias=((400, 100.0),)), {400}),
    ],
    ids=str,
)
def test_settings_narrow_the_choice(
    make: Callable[..., Chooser], row: NDArray[np.float32], sampling: Sampling, possible: set[int]
) -> None:
    assert set(draw(make(sampling), row)) == possible


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0, presence_penalty=2.0),
        Sampling(temperature=0, frequency_penalty=2.0),
        Sampling(temperature=0, repeat_penalty=1.5),
    ],
    ids=str,
)
def test_penalties_count_what_was_chosen(
    make: Callable[..., Chooser], row: NDArray[np.float32], sampling: Sampling
) -> None:
    assert draw(make(sampling), row, 3) == [100, 200, 300]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=3), Sampling(temperature=0, presence_penalty=1.0)], ids=str)
def test_a_grammar_overrules_the_likeliest(
    model: Model, make: Callable[..., Chooser], row: NDArray[np.float32], sampling: Sampling
) -> None:
    chooser = make(sampling, grammar=f"root ::= {literal('Paris')}")
    text = b""
    while not model.ends_text(token := chooser.choose(row)):
        text += model.piece(token)
    assert text == b"Paris"


def test_a_grammar_that_allows_nothing_is_a_dead_end(make: Callable[..., Chooser], row: NDArray[np.float32]) -> None:
    from gateway.local.sampling import DeadEnd  # noqa: PLC0415 - loads llama.cpp

    with pytest.raises(DeadEnd):
        make(GREEDY, grammar='root ::= "Paris"').choose(np.full_like(row, float("-inf")))


@pytest.mark.parametrize("grammar", ["root ::= root", "root ::= nowhere", "nonsense", 'root ::= "a'])
def test_a_grammar_that_is_none_is_refused(make: Callable[..., Chooser], grammar: str) -> None:
    with pytest.raises(InvalidRequest, match="no usable grammar"):
        make(GREEDY, grammar=grammar)


def test_logprobs_are_the_models_own(make: Callable[..., Chooser], model: Model, row: NDArray[np.float32]) -> None:
    """They sum to one over the vocabulary, and sampling settings do not touch them."""
    chooser = make(Sampling(top_k=1, temperature=0.1, top_logprobs=3))
    entry = chooser.logprob(row, 200)
    assert entry is not None
    exact = row.astype(np.float64) - np.log(np.exp(row.astype(np.float64)).sum())
    assert entry.chosen.logprob == pytest.approx(exact[200], abs=1e-5)
    assert [one.token for one in entry.top] == [model.piece(token) for token in (100, 200, 300)]
    assert [one.logprob for one in entry.top] == pytest.approx([exact[token] for token in (100, 200, 300)], abs=1e-5)
    assert make(GREEDY).logprob(row, 200) is None
