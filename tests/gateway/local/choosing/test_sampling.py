from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.llama_cpp_job import Sampling
from gateway.local.choosing.constraint import Constraint, DeadEnd
from gateway.local.choosing.gbnf import literal
from gateway.local.choosing.grammar import Grammar
from gateway.local.choosing.sampling import DEAD_END, NO_NUMBERS, UNCHOSEN, Chooser, NoNumbers, StepChooser, choose_many
from gateway.local.choosing.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREEDY = Sampling(temperature=0)
END = 999
NEVER = float("-inf")


class Letters:
    """A vocabulary of a thousand tokens: the first are characters, the others words of two, the last ends a text."""

    vocab_size = 1000

    def piece(self, token: int) -> bytes:
        return b"" if token == END else bytes((32 + token % 95,)) * (1 if token < 95 else 2)

    def ends_text(self, token: int) -> bool:
        return token == END


MODEL = Letters()
VOCABULARY = Vocabulary(MODEL)


@pytest.fixture
def row() -> NDArray[np.float32]:
    """Four tokens that stand out, in the order 100, 200, 300, 400."""
    row = np.zeros(1000, np.float32)
    row[[100, 200, 300, 400]] = [20, 19.5, 19, 18.5]
    return row


def make(sampling: Sampling, *, seed: int = 1, grammar: str | None = None) -> Chooser:
    constraint = None if grammar is None else Constraint(Grammar(grammar), VOCABULARY)
    return Chooser(MODEL, sampling, seed=seed, constraint=constraint)


def draw(chooser: Chooser, row: NDArray[np.float32], times: int = 40) -> list[int]:
    return [chooser.choose(row) for _ in range(times)]


def token(char: str) -> int:
    return ord(char) - 32


def test_temperature_zero_takes_the_likeliest(row: NDArray[np.float32]) -> None:
    assert draw(make(GREEDY), row, 3) == [100, 100, 100]


def test_the_same_seed_draws_the_same(row: NDArray[np.float32]) -> None:
    first, again, other = (draw(make(Sampling(), seed=seed), row) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert len(set(first)) > 2


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, -(2**63), 0xFFFFFFFF])
def test_any_seed_is_one_and_differs_from_its_neighbours(row: NDArray[np.float32], seed: int) -> None:
    drawn = [draw(make(Sampling(), seed=seed + choice), row) for choice in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) == 3


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (Sampling(top_k=1), {100}),
        (Sampling(top_k=2), {100, 200}),
        (Sampling(top_p=0.4), {100}),
        (Sampling(top_p=0.4, top_k=0), {100}),
        (Sampling(top_p=0.0), {100}),
        (Sampling(min_p=0.9), {100}),
        (Sampling(min_p=1.0), {100}),
        (Sampling(temperature=0.01), {100}),
        (Sampling(temperature=1e-300, top_k=0), {100}),
        (Sampling(temperature=1e-5), {100}),
        (Sampling(top_k=2, logit_bias=((100, NEVER), (200, NEVER))), {300, 400}),
        (Sampling(temperature=0, logit_bias=((400, 100.0),)), {400}),
        (Sampling(top_k=0, logit_bias=((400, 100.0),)), {400}),
    ],
    ids=str,
)
def test_settings_narrow_the_choice(row: NDArray[np.float32], sampling: Sampling, possible: set[int]) -> None:
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
def test_penalties_count_what_was_chosen(row: NDArray[np.float32], sampling: Sampling) -> None:
    assert draw(make(sampling), row, 3) == [100, 200, 300]


def test_a_row_stays_as_it_was(row: NDArray[np.float32]) -> None:
    before = row.copy()
    draw(make(Sampling(presence_penalty=1.0, logit_bias=((5, 3.0),))), row, 5)
    assert (row == before).all()


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(), Sampling(temperature=0, presence_penalty=1.0)], ids=str)
def test_a_grammar_overrules_the_likeliest(row: NDArray[np.float32], sampling: Sampling) -> None:
    chooser = make(sampling, grammar=f"root ::= {literal('Paris')}")
    text = b""
    while not MODEL.ends_text(chosen := chooser.choose(row)):
        text += MODEL.piece(chosen)
    assert text == b"Paris"


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(top_k=0), Sampling(temperature=1.7), Sampling(logit_bias=((100, 1.0),))],
    ids=str,
)
def test_under_a_grammar_tokens_keep_their_chances(row: NDArray[np.float32], sampling: Sampling) -> None:
    """What is drawn again after a refusal is drawn as from the allowed tokens alone."""
    allowed = [token(char) for char in "abc"]
    row[allowed] = [19.0, 18.0, 17.5]
    grammar = Grammar("root ::= [a-c]")
    times = 3000
    drawn = Counter(
        Chooser(MODEL, sampling, seed=seed, constraint=Constraint(grammar, VOCABULARY)).choose(row)
        for seed in range(times)
    )
    chances = np.exp(row[allowed].astype(np.float64) / sampling.temperature)
    for one, chance in zip(allowed, chances / chances.sum(), strict=True):
        assert drawn[one] / times == pytest.approx(chance, abs=4 * math.sqrt(chance / times) + 0.005)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(), Sampling(top_k=0), Sampling(top_p=0.5)], ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_end_the_answer(row: NDArray[np.float32], sampling: Sampling, bad: float) -> None:
    row[500] = bad
    with pytest.raises(NoNumbers):
        make(sampling).choose(row)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling()], ids=str)
def test_where_nothing_is_possible_there_is_a_dead_end(row: NDArray[np.float32], sampling: Sampling) -> None:
    with pytest.raises(DeadEnd):
        make(sampling).choose(np.full_like(row, NEVER))
    with pytest.raises(DeadEnd):
        make(sampling, grammar='root ::= "\\x00"').choose(row)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_step_chooses_for_each_row_as_if_alone(row: NDArray[np.float32], threads: int) -> None:
    def choosers() -> list[Chooser]:
        kinds = [GREEDY, Sampling(), Sampling(top_p=0.9), Sampling(presence_penalty=1.0), Sampling(temperature=2.0)] * 4
        return [make(kind, seed=seed) for seed, kind in enumerate(kinds)]

    step = StepChooser(threads, pool_from_values=0)
    rows = [np.roll(row, 10 * number) for number in range(20)]
    alone = [chooser.choose(one) for chooser, one in zip(choosers(), rows, strict=True)]
    assert step.choose_many(list(zip(choosers(), rows, strict=True))) == alone
    assert choose_many(list(zip(choosers(), rows, strict=True))) == alone
    step.close()


def test_a_row_without_a_choice_does_not_touch_the_others(row: NDArray[np.float32]) -> None:
    broken, impossible = row * np.float32("nan"), np.full_like(row, NEVER)
    step = StepChooser(2, pool_from_values=0)
    rows = [broken, row, impossible]
    tokens = step.choose_many([(make(Sampling(top_k=1)), one) for one in rows])
    assert tokens == [NO_NUMBERS, 100, DEAD_END]
    assert {NO_NUMBERS, DEAD_END} == UNCHOSEN.keys()
    step.close()


def test_logprobs_are_the_models_own(row: NDArray[np.float32]) -> None:
    """They sum to one over the vocabulary, and sampling settings do not touch them."""
    chooser = make(Sampling(top_k=1, temperature=0.1, top_logprobs=3))
    entry = chooser.logprob(row, 200)
    assert entry is not None
    exact = row.astype(np.float64) - np.log(np.exp(row.astype(np.float64)).sum())
    assert entry.chosen.logprob == pytest.approx(exact[200], abs=1e-5)
    assert [one.token for one in entry.top] == [MODEL.piece(one) for one in (100, 200, 300)]
    assert [one.logprob for one in entry.top] == pytest.approx([exact[one] for one in (100, 200, 300)], abs=1e-5)
    assert make(GREEDY).logprob(row, 200) is None


@pytest.mark.parametrize("count", [0, 20, 2000])
def test_as_many_rivals_as_there_are(row: NDArray[np.float32], count: int) -> None:
    entry = make(Sampling(top_logprobs=count)).logprob(row, 7)
    assert entry is not None
    assert len(entry.top) == min(count, 1000)


def test_a_chooser_that_is_closed_lets_go_of_its_grammar(row: NDArray[np.float32]) -> None:
    chooser: Any = make(GREEDY, grammar='root ::= "a"')
    chooser.close()
    assert chooser.choose(row) == 100
