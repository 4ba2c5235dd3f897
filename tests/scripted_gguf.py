"""A model that writes what a test gave it, token by token: for what only a sensible model would write.

Its next token depends on the last one alone. A prompt that ends with the letter of a script is answered with that
script and the end of the text; its template ends each prompt with the last message, so callers choose the script.
Scripts are cut into odd tokens, in the middle of words, marks and characters.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tests.gguf_writer import write_gguf
from tests.tiny_gguf import EOS, IM_END, IM_START, byte_characters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.gguf_writer import Array, Value

TEMPLATE = (
    "{% if tools %}<|im_start|>system\nCall with <tool_call>: {{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{# thoughts: <think> #}{{ messages[-1].content }}"
)
_NORMAL, _CONTROL = 1, 3
_HEAD = 32
_LEAST_TOKEN_BYTES = 2


def scripted_model(folder: Path, scripts: Mapping[str, str], *, name: str = "scripted.gguf") -> Path:
    """`scripts` by one ASCII letter each. An unknown letter is answered with nothing."""
    characters = byte_characters()
    cut = _cut(scripts)
    tokens = characters + ["".join(characters[byte] for byte in piece) for pieces in cut.values() for piece in pieces]
    eos = len(tokens)
    tokens += [EOS, IM_START, IM_END]
    follows = dict.fromkeys(range(len(tokens)), eos + 2)
    at = len(characters)
    for letter, pieces in cut.items():
        path = [ord(letter), *range(at, at + len(pieces)), eos + 2]
        follows |= pairwise(path)
        at += len(pieces)
    kinds = [_NORMAL] * eos + [_CONTROL] * 3
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "scripted",
        "llama.context_length": 2048,
        "llama.embedding_length": _width(tokens),
        "llama.block_count": 1,
        "llama.feed_forward_length": _HEAD,
        "llama.attention.head_count": _width(tokens) // _HEAD,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": _HEAD,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": ["t h"],
        "tokenizer.ggml.bos_token_id": eos + 1,
        "tokenizer.ggml.eos_token_id": eos + 2,
        "tokenizer.ggml.unknown_token_id": eos,
        "tokenizer.ggml.padding_token_id": eos,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }
    return write_gguf(folder / name, metadata, _tensors(tokens, follows))


def _cut(scripts: Mapping[str, str]) -> dict[str, list[bytes]]:
    """Each script in tokens that nothing else has: a token leads to one other, so none may come twice."""
    taken: set[bytes] = {b"th"}  # what prompts may be cut into
    result: dict[str, list[bytes]] = {}
    for letter, script in scripts.items():
        rest, pieces = script.encode(), []
        while rest:
            length = _LEAST_TOKEN_BYTES
            while rest[:length] in taken and length < len(rest):
                length += 1
            pieces.append(rest[:length])
            rest = rest[length:]
            taken.add(pieces[-1])
        if len(pieces) > 1 and (len(pieces[-1]) < _LEAST_TOKEN_BYTES or _count(result, pieces, pieces[-1]) > 1):
            last = pieces.pop()
            pieces[-1] += last
        result[letter] = pieces
    return result


def _count(earlier: Mapping[str, list[bytes]], pieces: list[bytes], piece: bytes) -> int:
    return sum(others.count(piece) for others in (*earlier.values(), pieces))


def _width(tokens: list[str]) -> int:
    """A dimension for each token."""
    return -(-len(tokens) // _HEAD) * _HEAD


def _tensors(tokens: list[str], follows: Mapping[int, int]) -> dict[str, Array]:
    width, count = _width(tokens), len(tokens)
    output = np.zeros((count, width), np.float16)
    for token, following in follows.items():
        output[following, token] = 1
    tensors: dict[str, Array] = {
        "token_embd.weight": np.eye(count, width, dtype=np.float16),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": output,
    }
    rows = {"attn_q": width, "attn_k": _HEAD, "attn_v": _HEAD, "attn_output": width, "ffn_gate": _HEAD, "ffn_up": _HEAD}
    tensors |= {f"blk.0.{name}.weight": np.zeros((size, width), np.float16) for name, size in rows.items()}
    tensors["blk.0.ffn_down.weight"] = np.zeros((width, _HEAD), np.float16)
    return tensors | {f"blk.0.{norm}.weight": np.ones(width, np.float32) for norm in ("attn_norm", "ffn_norm")}
