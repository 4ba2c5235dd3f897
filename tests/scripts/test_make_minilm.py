"""The conversion is right if the engine's vectors are those of the original weights, computed here another way."""

from __future__ import annotations

import json
import math
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from adapters.llama_cpp_job import EmbedJob, Vectors
from gateway.config.model_file import model_file
from gateway.local.frames import Tuning
from scripts.make_minilm import FILE, PACKAGE, convert, metadata_of, read_weights, tensors_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.gateway.local.measuring.vector_rig import Rig

SENTENCES = (
    "A man is eating food.",
    "Somebody eats a meal.",
    "The girl is carrying a baby.",
    "Interest rates rose again in March.",
    "The central bank raised its key rate once more this spring.",
    "Ünïcödé wörds, naïve café; 東京 is a city! (100%) [UNK] ##ing don't",
    "x",
    "How do I reset my password? " * 30,
)


class Original(NamedTuple):
    """The package's own files."""

    config: dict[str, Any]
    tokenizer: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def gguf() -> Path:
    try:
        return model_file(f"package:{PACKAGE}")
    except FileNotFoundError as error:
        pytest.skip(f"no embedding model: {error}")


@pytest.fixture(scope="module")
def original(gguf: Path) -> Original:
    with zipfile.ZipFile(gguf.parent / "model.zip") as files:
        config, tokenizer = json.loads(files.read("config.json")), json.loads(files.read("tokenizer.json"))
        return Original(config, tokenizer, read_weights(files.read("model.safetensors")))


@pytest.fixture(scope="module")
def rig(gguf: Path) -> Iterator[Rig]:
    pytest.importorskip("llama_cpp")
    from tests.gateway.local.measuring.vector_rig import Rig  # noqa: PLC0415 - loads llama.cpp

    rig = Rig(gguf)
    yield rig
    rig.close()


def embedded(rig: Rig, *texts: str) -> NDArray[np.float32]:
    rig.events.clear()
    rig.submit(EmbedJob(1, texts))
    rig.work_off()
    done = rig.events[-1]
    assert isinstance(done, Vectors)
    return np.stack([np.frombuffer(vector, "<f4") for vector in done.vectors])


def tokens_of(original: Original, text: str) -> list[int]:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer.from_str(json.dumps(original.tokenizer))
    made.no_truncation()
    made.no_padding()
    # The engine takes the names of control tokens in a text for text; this tokenizer takes them for the tokens.
    return list(made.encode(text).ids)


def test_the_engine_gives_the_vectors_of_the_original_weights(rig: Rig, original: Original) -> None:
    ours = embedded(rig, *SENTENCES)
    for text, vector in zip(SENTENCES, ours, strict=True):
        if "[UNK]" in text:
            continue
        reference = forward(original, tokens_of(original, text))
        assert float(vector @ reference) > 0.9999, text


def test_texts_are_cut_into_the_same_tokens(rig: Rig, original: Original) -> None:
    plain = tuple(text.replace("[UNK]", "") for text in SENTENCES)
    work = rig.submit(EmbedJob(1, plain))
    assert work.texts == [tokens_of(original, text) for text in plain]
    rig.work_off()


def test_paraphrases_are_nearer_than_strangers(rig: Rig) -> None:
    vectors = embedded(rig, *SENTENCES[:5])
    near = vectors @ vectors.T
    assert near[0, 1] > 0.7
    assert near[3, 4] > 0.5
    strangers = [near[a, b] for a in (0, 1, 2) for b in (3, 4)]
    assert max(strangers) < 0.2


def test_a_batch_gives_what_each_text_gives_alone(rig: Rig) -> None:
    """Flash attention, twice as fast in batches, sums up in half precision."""
    together = embedded(rig, *SENTENCES)
    alone = np.concatenate([embedded(rig, text) for text in SENTENCES])
    assert np.abs(together - alone).max() < 3e-4
    assert (together * alone).sum(1).min() > 1 - 1e-5


@pytest.mark.parametrize("tuning", [Tuning(threads=1, flash_attention=False), Tuning(threads=1, deterministic=True)])
def test_who_wants_the_last_digits_can_have_them(gguf: Path, tuning: Tuning) -> None:
    from tests.gateway.local.measuring.vector_rig import Rig  # noqa: PLC0415 - loads llama.cpp

    rig = Rig(gguf, tuning=tuning)
    together = embedded(rig, *SENTENCES)
    alone = np.concatenate([embedded(rig, text) for text in SENTENCES])
    assert np.abs(together - alone).max() < (1e-9 if tuning.deterministic else 1e-4)
    rig.close()


def test_a_package_is_converted_to_the_file_that_is_there(gguf: Path, tmp_path: Path) -> None:
    made = convert(gguf.parent / "model.zip", tmp_path / FILE)
    assert made.read_bytes() == gguf.read_bytes()
    assert list(tmp_path.iterdir()) == [made]


def test_tensors_that_are_no_numbers_are_left_out() -> None:
    head = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "ids": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
            "w": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]},
        }
    ).encode()
    data = len(head).to_bytes(8, "little") + head + bytes(8) + np.array([1.5, -2.0], "<f4").tobytes()
    weights = read_weights(data)
    assert list(weights) == ["w"]
    assert weights["w"].tolist() == [[1.5], [-2.0]]


def test_a_weight_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        tensors_of({"embeddings.word_embeddings.weight": np.zeros((2, 2), np.float32)}, 1)


def test_pieces_are_written_as_llama_cpp_wants_them() -> None:
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = {token: number for number, token in enumerate((*special, "cat", "##s"))}
    tokenizer = {
        "model": {"vocab": vocabulary},
        "added_tokens": [{"content": token, "id": vocabulary[token], "special": True} for token in special],
    }
    sizes = dict.fromkeys(
        ("max_position_embeddings", "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads"), 1
    )
    metadata = metadata_of({**sizes, "layer_norm_eps": 1e-12, "type_vocab_size": 2}, tokenizer)
    assert metadata["tokenizer.ggml.tokens"] == [*special, "\u2581cat", "s"]
    assert metadata["tokenizer.ggml.token_type"] == [3, 2, 3, 3, 3, 1, 1]


def forward(original: Original, ids: list[int]) -> NDArray[np.float32]:
    """BERT in single precision, after its paper: the mean of the last layer, at length one."""
    weights, eps = original.weights, original.config["layer_norm_eps"]

    def norm(rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        centred = rows - rows.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float32)

    def linear(rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return np.asarray(rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], np.float32)

    words = weights["embeddings.word_embeddings.weight"][ids]
    rows = words + weights["embeddings.position_embeddings.weight"][: len(ids)]
    rows = norm(rows + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(original.config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        parts = [linear(rows, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        seen = attention(parts, original.config["num_attention_heads"])
        rows = norm(rows + linear(seen, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = linear(rows, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float32])(inner / math.sqrt(2)))
        rows = norm(rows + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean = rows.mean(0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def attention(parts: list[NDArray[np.float32]], heads: int) -> NDArray[np.float32]:
    """`parts` are the queries, keys and values of all heads, side by side."""
    count, width = parts[0].shape
    query, key, value = (part.reshape(count, heads, width // heads).swapaxes(0, 1) for part in parts)
    scores = query @ key.swapaxes(1, 2) / math.sqrt(width // heads)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return np.asarray((shares @ value).swapaxes(0, 1).reshape(count, width), np.float32)
