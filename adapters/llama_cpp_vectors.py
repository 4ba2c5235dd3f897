"""Embeddings and rankings for the bundled engine: requests turned into jobs, vectors and scores into answers.

Answers come in pieces, so that whoever joins them can do something else in between: thousands of vectors are megabytes.
"""

from __future__ import annotations

import binascii
from array import array
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from adapters.llama_cpp_job import EmbedJob, Place, RerankJob
from adapters.openai_bodies import Document, EmbeddingsBody, RerankBody
from adapters.schema import InferenceRequest, InvalidRequest
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.llama_cpp_job import Scores, Vectors

INPUTS_KEPT: Final = 2048
"""OpenAI's own bound."""
PIECE_BYTES: Final = 64 * 1024
"""Of vectors in one piece of an answer; one takes less than a millisecond to write."""

# Members that mean nothing to a model on this machine, or that the gateway has dealt with.
_UNREMARKED: Final = frozenset(("model", "stream", "user", "metadata", "store", "safety_identifier"))
_KNOWN: Final = {
    Endpoint.EMBEDDINGS: _UNREMARKED | frozenset(EmbeddingsBody.__struct_fields__),
    Endpoint.RERANK: _UNREMARKED | frozenset(RerankBody.__struct_fields__),
}


class Wish(NamedTuple):
    """What a caller wants back. `documents` are shown beside their scores, None: they are not."""

    endpoint: Endpoint
    model: str
    as_base64: bool = False
    top_n: int | None = None
    documents: tuple[str, ...] | None = None


def vector_job_of(request: InferenceRequest, job_id: int, place: Place) -> tuple[EmbedJob | RerankJob, Wish]:
    """What the engine is to do, and what is to be made of it. Raises `InvalidRequest`, naming the parameter."""
    make = _embedding if request.endpoint is Endpoint.EMBEDDINGS else _ranking
    return make(request, job_id, place)


def ignored_members(request: InferenceRequest) -> list[str]:
    """Members of the request that have no effect here and that its sender may expect to have one."""
    return [name for name in request.members if name not in _KNOWN[request.endpoint]]


def _embedding(request: InferenceRequest, job_id: int, place: Place) -> tuple[EmbedJob, Wish]:
    given = _read(request, "input", str | list[str | int | list[int]])
    inputs = _inputs(given)
    if len(inputs) > INPUTS_KEPT:
        raise InvalidRequest(f"'input' has {len(inputs)} texts; send at most {INPUTS_KEPT} at once.", "input")
    if "" in inputs:
        raise InvalidRequest("'input' must not hold empty texts.", "input")
    dimensions = _read(request, "dimensions", int | None) or 0
    as_base64 = _read(request, "encoding_format", str | None) == "base64"
    return EmbedJob(job_id, inputs, place, dimensions), Wish(request.endpoint, request.model, as_base64)


def _inputs(given: Any) -> tuple[str | tuple[int, ...], ...]:  # noqa: ANN401 - a text, or lists of one kind
    if isinstance(given, str):
        return (given,)
    if isinstance(given[0], int):
        return (tuple(given),)
    return tuple(item if isinstance(item, str) else tuple(item) for item in given)


def _ranking(request: InferenceRequest, job_id: int, place: Place) -> tuple[RerankJob, Wish]:
    given = _read(request, "documents", list[str | Document])
    documents = tuple(item if isinstance(item, str) else item.text for item in given)
    shown = documents if _read(request, "return_documents", bool | None) else None
    wish = Wish(request.endpoint, request.model, top_n=_read(request, "top_n", int | None), documents=shown)
    return RerankJob(job_id, _read(request, "query", str), documents, place), wish


def _read(request: InferenceRequest, name: str, kind: Any) -> Any:  # noqa: ANN401 - any type, and a value of it
    """A member that was checked when the request was read."""
    raw = request.members.get(name)
    return None if raw is None else msgspec.json.decode(raw, type=kind)


def answer_pieces(wish: Wish, outcome: Vectors | Scores, answer_id: str) -> Iterator[bytes]:
    """The whole body, piece by piece."""
    if wish.endpoint is Endpoint.EMBEDDINGS:
        return _embeddings(wish, outcome)  # type: ignore[arg-type]  # what was asked for came
    return iter((_ranked(wish, outcome, answer_id),))  # type: ignore[arg-type]  # as above


def _embeddings(wish: Wish, outcome: Vectors) -> Iterator[bytes]:
    head = b'{"object":"list","data":['
    size = max(1, PIECE_BYTES // max(1, len(outcome.vectors[0])))
    for start in range(0, len(outcome.vectors), size):
        part = outcome.vectors[start : start + size]
        yield head + b",".join(_vector(start + at, vector, wish) for at, vector in enumerate(part))
        head = b","
    usage = {"prompt_tokens": outcome.prompt_tokens, "total_tokens": outcome.prompt_tokens}
    yield b'],"model":%b,"usage":%b}' % (msgspec.json.encode(wish.model), msgspec.json.encode(usage))


def _vector(index: int, vector: bytes, wish: Wish) -> bytes:
    if wish.as_base64:
        numbers = b'"%b"' % binascii.b2a_base64(vector, newline=False)
    else:
        numbers = msgspec.json.encode(array("f", vector).tolist())
    return b'{"object":"embedding","index":%d,"embedding":%b}' % (index, numbers)


def _ranked(wish: Wish, outcome: Scores, answer_id: str) -> bytes:
    """Best first; of equal scores the earlier document."""
    order = sorted(range(len(outcome.scores)), key=lambda index: (-outcome.scores[index], index))[: wish.top_n]
    results: list[dict[str, object]] = [{"index": index, "relevance_score": outcome.scores[index]} for index in order]
    if wish.documents is not None:
        for result, index in zip(results, order, strict=True):
            result["document"] = {"text": wish.documents[index]}
    usage = {"prompt_tokens": outcome.prompt_tokens, "total_tokens": outcome.prompt_tokens}
    body = {"id": answer_id, "object": "list", "model": wish.model, "results": results, "usage": usage}
    return msgspec.json.encode(body)
