"""Models of some 100 KB with seeded random weights: they say nothing sensible, the same each time, in microseconds.

Their first dimension is the same at every position, so that a row of the output matrix can favour or shun its token:
that is how these models keep to plain text and hardly ever end it, unless a test wants them to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tests.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.gguf_writer import Array, Value

EOS, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MERGES = (
    "t h", "th e", "i n", "a n", "e r", "o n", "r e", "Ġ the", "Ġ a", "Ġ s", "Ġ w", "an d", "Ġ and", "in g", "o u",
    "l l", "l o", "h e", "he ll", "hell o",
)  # fmt: skip
WORDS = ("the", "a", "of", "and", "to", "in", "is", "cat", "dog", "sun", "moon", "river", "city", "king", "tree", "sea")

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
_MEAN, _RANK = 1, 4
_CONSTANT = 3.0  # the first dimension of every embedding


class TextShape(NamedTuple):
    """What a tiny text model is made of. `eos_logit` is what the end of text gets, where others have 0 +- 2.

    `window_tokens`: three of four layers look back no further; such a model writes with the matrix that it reads with.
    """

    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 128
    context_tokens: int = 2048
    eos_logit: float = -20.0
    seed: int = 1
    window_tokens: int = 0


class VectorShape(NamedTuple):
    layers: int = 2
    width: int = 32
    heads: int = 4
    feed_forward: int = 64
    context_tokens: int = 256
    seed: int = 2


def tiny_text_model(
    folder: Path, shape: TextShape | None = None, *, name: str = "tiny-text.gguf", chat_template: str | None = CHATML
) -> Path:
    """A llama model over bytes and a few merges: alone with a seed it always writes the same plain text; with a window
    a cohere2 model, which writes anything.
    """
    shape = shape or TextShape()
    tokens = byte_characters() + ["".join(merge.split()) for merge in MERGES]
    kinds = [_NORMAL] * len(tokens) + [_CONTROL] * 3
    eos = len(tokens)
    tokens += [EOS, IM_START, IM_END]
    kind = "cohere2" if shape.window_tokens else "llama"
    metadata: dict[str, Value] = {
        "general.architecture": kind,
        "general.name": "tiny text",
        f"{kind}.context_length": shape.context_tokens,
        f"{kind}.embedding_length": shape.width,
        f"{kind}.block_count": shape.layers,
        f"{kind}.feed_forward_length": shape.feed_forward,
        f"{kind}.attention.head_count": shape.heads,
        f"{kind}.attention.head_count_kv": shape.kv_heads,
        f"{kind}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{kind}.rope.dimension_count": shape.width // shape.heads,
        f"{kind}.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": list(MERGES),
        "tokenizer.ggml.bos_token_id": eos + 1,
        "tokenizer.ggml.eos_token_id": eos + 2,
        "tokenizer.ggml.unknown_token_id": eos,
        "tokenizer.ggml.padding_token_id": eos,
        "tokenizer.ggml.add_bos_token": False,
    }
    if chat_template is not None:
        metadata["tokenizer.chat_template"] = chat_template
    if shape.window_tokens:
        metadata |= {
            f"{kind}.attention.sliding_window": shape.window_tokens,
            f"{kind}.attention.layer_norm_epsilon": 1e-5,
            f"{kind}.logit_scale": 1.0,
        }
    return write_gguf(folder / name, metadata, _text_tensors(shape, tokens))


def _text_tensors(shape: TextShape, tokens: list[str]) -> dict[str, Array]:
    rng = np.random.default_rng(shape.seed)
    width, kv_width = shape.width, shape.width * shape.kv_heads // shape.heads
    embedding = _matrix(rng, len(tokens), width, width**0.5)
    embedding[:, 0] = _CONSTANT
    tensors: dict[str, Array] = {"token_embd.weight": embedding, "output_norm.weight": np.ones(width, np.float32)}
    for layer in range(shape.layers):
        block = {
            "attn_q": _matrix(rng, width, width, 1.5),
            "attn_k": _matrix(rng, kv_width, width, 1.5),
            "attn_v": _matrix(rng, kv_width, width, 2.0),
            "attn_output": _matrix(rng, width, width, 2.0),
            "ffn_gate": _matrix(rng, shape.feed_forward, width, 1.0),
            "ffn_up": _matrix(rng, shape.feed_forward, width, 1.0),
            "ffn_down": _matrix(rng, width, shape.feed_forward, 2.0),
        }
        for name, matrix in block.items():  # nobody writes the first dimension, and only the output reads it
            matrix[0 if name in {"attn_output", "ffn_down"} else (slice(None), 0)] = 0
        for norm in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{norm}.weight"] = np.ones(width, np.float32)
        tensors |= {f"blk.{layer}.{name}.weight": matrix for name, matrix in block.items()}
    if shape.window_tokens:
        return {name: matrix for name, matrix in tensors.items() if not name.endswith("ffn_norm.weight")}
    output = _matrix(rng, len(tokens), width, 2.0)
    output[:, 0] = _favours(shape, tokens)
    return tensors | {"output.weight": output}


def _favours(shape: TextShape, tokens: list[str]) -> NDArray[np.float16]:
    """What each token gets at every position: plain text nothing, odd bytes little, control tokens almost no chance."""
    logits = [0.0 if _is_plain(token) else -8.0 for token in tokens[:-3]] + [-20.0, -20.0, shape.eos_logit]
    # After the last norm the first dimension is near 1.5: its share of a vector whose root mean square is 1.
    return np.asarray(np.array(logits) / 1.5, np.float16)


def _is_plain(token: str) -> bool:
    return token in {"Ġ", "Ċ"} or all("!" <= letter <= "~" or letter == "Ġ" for letter in token)


def _matrix(rng: np.random.Generator, rows: int, columns: int, gain: float) -> NDArray[np.float16]:
    return np.asarray(rng.standard_normal((rows, columns)) * gain / np.sqrt(columns), np.float16)


def byte_characters() -> list[str]:
    """A printable character for each byte, as byte-level vocabularies have it."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    rest = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]


def tiny_adapter(
    folder: Path, shape: TextShape | None = None, *, rank: int = 4, alpha: float = 32.0, name: str = "tiny-lora.gguf"
) -> Path:
    """A LoRA adapter for a tiny text model of that shape, strong enough to change what it writes."""
    shape = shape or TextShape()
    rng = np.random.default_rng(shape.seed + 1000)
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "general.name": "tiny adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha,
    }
    tensors: dict[str, Array] = {}
    for layer in range(shape.layers):
        for target, inputs in (("attn_q", shape.width), ("ffn_down", shape.feed_forward)):
            up = _matrix(rng, shape.width, rank, 0.5)
            if target == "ffn_down":
                up[0] = 0
            tensors[f"blk.{layer}.{target}.weight.lora_a"] = _matrix(rng, rank, inputs, 1.0)
            tensors[f"blk.{layer}.{target}.weight.lora_b"] = up
    return write_gguf(folder / name, metadata, tensors)


def tiny_embedding_model(folder: Path, shape: VectorShape | None = None, *, name: str = "tiny-embedding.gguf") -> Path:
    """A bert model with mean pooling: texts that share words lie nearer to each other than others."""
    shape = shape or VectorShape()
    return write_gguf(folder / name, _bert_metadata(shape, _MEAN), _bert_tensors(shape))


def tiny_rerank_model(folder: Path, shape: VectorShape | None = None, *, name: str = "tiny-rerank.gguf") -> Path:
    """A bert model with a classifier of one output: one score for a query and a document together."""
    shape = shape or VectorShape()
    rng = np.random.default_rng(shape.seed + 1000)
    head: dict[str, Array] = {
        "cls.weight": _matrix(rng, shape.width, shape.width, 1.0),
        "cls.bias": np.zeros(shape.width, np.float32),
        "cls.output.weight": _matrix(rng, 1, shape.width, 3.0),
        "cls.output.bias": np.zeros(1, np.float32),
    }
    return write_gguf(folder / name, _bert_metadata(shape, _RANK), _bert_tensors(shape) | head)


def _word_pieces() -> list[str]:
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    return [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
        *(f"▁{word}" for word in WORDS), *(f"▁{letter}" for letter in letters if letter not in WORDS), *letters,
    ]  # fmt: skip


def _bert_metadata(shape: VectorShape, pooling: int) -> dict[str, Value]:
    tokens = _word_pieces()
    return {
        "general.architecture": "bert",
        "general.name": "tiny vectors",
        "bert.context_length": shape.context_tokens,
        "bert.embedding_length": shape.width,
        "bert.block_count": shape.layers,
        "bert.feed_forward_length": shape.feed_forward,
        "bert.attention.head_count": shape.heads,
        "bert.attention.layer_norm_epsilon": 1e-6,
        "bert.attention.causal": False,
        "bert.pooling_type": pooling,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_CONTROL, _UNKNOWN, *[_CONTROL] * 3, *[_NORMAL] * (len(tokens) - 5)],
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.mask_token_id": 4,
    }


def _bert_tensors(shape: VectorShape) -> dict[str, Array]:
    rng = np.random.default_rng(shape.seed)
    width = shape.width
    tensors: dict[str, Array] = {
        "token_embd.weight": _matrix(rng, len(_word_pieces()), width, 4.0),
        "token_types.weight": np.zeros((2, width), np.float32),
        "position_embd.weight": _matrix(rng, shape.context_tokens, width, 0.5).astype(np.float32),
        **_norm("token_embd_norm", width),
    }
    for layer in range(shape.layers):
        shapes = {"attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width)}
        shapes |= {"attn_output": (width, width), "ffn_up": (shape.feed_forward, width)}
        shapes |= {"ffn_down": (width, shape.feed_forward)}
        for name, (rows, columns) in shapes.items():
            tensors[f"blk.{layer}.{name}.weight"] = _matrix(rng, rows, columns, 1.0)
            tensors[f"blk.{layer}.{name}.bias"] = np.zeros(rows, np.float32)
        tensors |= _norm(f"blk.{layer}.attn_output_norm", width) | _norm(f"blk.{layer}.layer_output_norm", width)
    return tensors


def _norm(name: str, width: int) -> dict[str, Array]:
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}
