"""Choosing the next token from a row of logits: llama.cpp's samplers, a grammar where one is set, log-probabilities."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.llama_cpp_job import ChosenLogprob, Sampling, TokenLogprob
from adapters.schema import InvalidRequest
from gateway.local.llama import LLAMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gateway.local.llama import Model

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
# llama.cpp reads this seed as "choose one at random".
_RANDOM_SEED = 0xFFFFFFFF


class DeadEnd(Exception):  # noqa: N818 - it says where the grammar led
    """The grammar allows no token at all."""


class Chooser:
    """Chooses the tokens of one choice. Made by any one thread, used by one, and closed exactly once."""

    def __init__(self, model: Model, sampling: Sampling, *, seed: int, grammar: str | None) -> None:
        self._model = model
        self._top_logprobs = sampling.top_logprobs
        self._grammar = _grammar(model, grammar) if grammar is not None else None
        self._chain = None if _is_plain_argmax(sampling) else _chain(model, sampling, seed)
        needs_candidates = self._chain is not None or self._grammar is not None
        self._candidates = np.empty(model.vocab_size if needs_candidates else 0, _CANDIDATE)
        self._ids = np.arange(len(self._candidates), dtype=np.int32)

    def choose(self, row: NDArray[np.float32]) -> int:
        """The next token; it counts as chosen. Raises `DeadEnd`."""
        token = self._pick(row)
        # Checking one token against the grammar is some hundred times cheaper than checking the vocabulary.
        if self._grammar and not self._is_allowed(token):
            token = self._pick_allowed(row)
        if not self._model.ends_text(token):
            if self._chain:
                LLAMA.llama_sampler_accept(self._chain, token)
            if self._grammar:
                LLAMA.llama_sampler_accept(self._grammar, token)
        return token

    def logprob(self, row: NDArray[np.float32], token: int) -> ChosenLogprob | None:
        """What the model itself thought of the choice, before sampling settings; None where nobody asked."""
        if self._top_logprobs is None:
            return None
        top = float(row.max())
        total = top + float(np.log(np.exp(row - top).sum(dtype=np.float64)))
        best: list[int] = []
        if count := min(self._top_logprobs, len(row)):
            some = np.argpartition(row, -count)[-count:]
            best = [int(index) for index in some[np.argsort(-row[some], kind="stable")]]

        def entry(index: int) -> TokenLogprob:
            return TokenLogprob(self._model.piece(index), float(row[index]) - total)

        return ChosenLogprob(entry(token), tuple(map(entry, best)))

    def close(self) -> None:
        for sampler in (self._chain, self._grammar):
            if sampler:
                LLAMA.llama_sampler_free(sampler)
        self._chain = self._grammar = None

    def _pick(self, row: NDArray[np.float32]) -> int:
        if self._chain is None:
            return int(row.argmax())
        return self._run_chain(self._filled(row))

    def _pick_allowed(self, row: NDArray[np.float32]) -> int:
        array = self._filled(row)
        LLAMA.llama_sampler_apply(self._grammar, ctypes.byref(array))
        logits = self._candidates["logit"]
        best = int(logits.argmax())
        if np.isneginf(logits[best]):
            raise DeadEnd
        return int(self._candidates["id"][best]) if self._chain is None else self._run_chain(array)

    def _run_chain(self, array: Any) -> int:  # noqa: ANN401 - a ctypes structure
        LLAMA.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def _is_allowed(self, token: int) -> bool:
        one = LLAMA.llama_token_data(token, 1.0, 0.0)
        array = LLAMA.llama_token_data_array(ctypes.pointer(one), 1, -1, False)
        LLAMA.llama_sampler_apply(self._grammar, ctypes.byref(array))
        return not np.isneginf(one.logit)

    def _filled(self, row: NDArray[np.float32]) -> Any:  # noqa: ANN401 - a ctypes structure
        candidates = self._candidates
        candidates["id"] = self._ids
        candidates["logit"] = row
        candidates["p"] = 0.0
        data = candidates.ctypes.data_as(LLAMA.llama_token_data_p)
        return LLAMA.llama_token_data_array(data, len(candidates), -1, False)


def _is_plain_argmax(sampling: Sampling) -> bool:
    return sampling.temperature <= 0 and not sampling.logit_bias and not _has_penalties(sampling)


def _has_penalties(sampling: Sampling) -> bool:
    return bool(sampling.presence_penalty or sampling.frequency_penalty or sampling.repeat_penalty != 1.0)


def _chain(model: Model, sampling: Sampling, seed: int) -> Any:  # noqa: ANN401 - an opaque pointer
    """llama.cpp's sampler chain. Top-k comes before top-p: sorting a whole vocabulary costs milliseconds."""
    chain = LLAMA.llama_sampler_chain_init(LLAMA.llama_sampler_chain_default_params())

    def add(make: Callable[..., Any], *values: object) -> None:
        LLAMA.llama_sampler_chain_add(chain, make(*values))

    if sampling.logit_bias:
        biases = (LLAMA.llama_logit_bias * len(sampling.logit_bias))(*sampling.logit_bias)
        add(LLAMA.llama_sampler_init_logit_bias, model.vocab_size, len(biases), biases)
    if _has_penalties(sampling):
        penalties = (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty)
        add(LLAMA.llama_sampler_init_penalties, model.vocab_size, model.trained_context_tokens, *penalties)
    if sampling.temperature <= 0:
        add(LLAMA.llama_sampler_init_greedy)
        return chain
    if sampling.top_k:
        add(LLAMA.llama_sampler_init_top_k, sampling.top_k)
    if sampling.top_p < 1.0:
        add(LLAMA.llama_sampler_init_top_p, sampling.top_p, 1)
    if sampling.min_p > 0.0:
        add(LLAMA.llama_sampler_init_min_p, sampling.min_p, 1)
    add(LLAMA.llama_sampler_init_temp, sampling.temperature)
    add(LLAMA.llama_sampler_init_dist, seed % _RANDOM_SEED)
    return chain


def _grammar(model: Model, text: str) -> Any:  # noqa: ANN401 - an opaque pointer
    sampler = LLAMA.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")
    if not sampler:
        raise InvalidRequest("The JSON schema makes no usable grammar.", "response_format", "invalid_json_schema")
    return sampler
