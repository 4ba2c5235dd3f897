from __future__ import annotations

from adapters.llama_cpp_job import ChosenLogprob, TokenLogprob
from adapters.llama_cpp_logprobs import chat_logprobs, completion_logprobs

A = TokenLogprob(b"A", -0.5)
HALF = TokenLogprob(b"\xc3", -2.0)
TOKENS = (ChosenLogprob(A, (A, HALF)), ChosenLogprob(HALF, ()))


def test_chat_lists_tokens_with_their_bytes() -> None:
    a = {"token": "A", "logprob": -0.5, "bytes": [65]}
    half = {"token": "\ufffd", "logprob": -2.0, "bytes": [0xC3]}
    assert chat_logprobs(TOKENS) == {
        "content": [a | {"top_logprobs": [a, half]}, half | {"top_logprobs": []}],
        "refusal": None,
    }


def test_completions_list_four_things_side_by_side() -> None:
    assert completion_logprobs(TOKENS, offset=10) == {
        "tokens": ["A", "\ufffd"],
        "token_logprobs": [-0.5, -2.0],
        "top_logprobs": [{"A": -0.5, "\ufffd": -2.0}, {}],
        "text_offset": [10, 11],
    }
