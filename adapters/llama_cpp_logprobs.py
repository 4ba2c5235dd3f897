"""Log-probabilities as OpenAI writes them: one list of tokens in chat, four parallel lists in completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.llama_cpp_job import ChosenLogprob, TokenLogprob


def chat_logprobs(tokens: Sequence[ChosenLogprob]) -> dict[str, Any]:
    content = [_entry(token.chosen) | {"top_logprobs": [_entry(one) for one in token.top]} for token in tokens]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Sequence[ChosenLogprob], offset: int = 0) -> dict[str, Any]:
    """`offset` is where the first token begins in the whole text, in characters."""
    texts = [_text(token.chosen) for token in tokens]
    offsets = []
    for text in texts:
        offsets.append(offset)
        offset += len(text)
    return {
        "tokens": texts,
        "token_logprobs": [token.chosen.logprob for token in tokens],
        "top_logprobs": [{_text(one): one.logprob for one in token.top} for token in tokens],
        "text_offset": offsets,
    }


def _entry(token: TokenLogprob) -> dict[str, Any]:
    return {"token": _text(token), "logprob": token.logprob, "bytes": list(token.token)}


def _text(token: TokenLogprob) -> str:
    """A token can be a part of a character; its bytes are told apart where the format has room for them."""
    return token.token.decode(errors="replace")
