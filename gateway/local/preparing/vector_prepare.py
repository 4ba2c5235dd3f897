"""Texts made ready for an engine of vectors: tokenized and measured, so that nothing too long ever gets near llama.cpp.

Nothing is cut off in silence: a text that does not fit is refused with both numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from adapters.llama_cpp_job import EmbedJob, RerankJob
from adapters.schema import InvalidRequest
from gateway.local.binding.llama import LLAMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from gateway.local.binding.llama import Model

ANSWER_BYTES_MAX: Final = 48 * 1024 * 1024
"""All vectors of a job travel in one frame, which may be larger than this, but not by much."""
_QUERY, _DOCUMENT = "{query}", "{document}"


@dataclass(slots=True, weakref_slot=True)
class VectorHandle:
    """A job inside the worker. Any thread may set `cancelled`; the engine looks at it between batches."""

    job: EmbedJob | RerankJob
    cancelled: bool = False


@dataclass(slots=True)
class VectorWork:
    """A job that the engine can run: the tokens of each text, and the rows of numbers that it has so far."""

    handle: VectorHandle
    texts: list[list[int]]
    rows: list[NDArray[np.float32] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = [None] * len(self.texts)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.texts))

    def close(self) -> None:
        self.texts.clear()


class VectorLimits(NamedTuple):
    """The longest text, in tokens, and how many numbers each text gets."""

    text_tokens: int
    width: int


class VectorPreparer:
    """Turns jobs into work for one model."""

    def __init__(self, model: Model, limits: VectorLimits) -> None:
        self._model = model
        self._limits = limits
        template = LLAMA.llama_model_chat_template(model.handle, b"rerank")
        self._template: str | None = template.decode(errors="replace") if template else None

    def prepare(self, handle: VectorHandle) -> VectorWork:
        """Raises `InvalidRequest` when the request is to blame."""
        job = handle.job
        if isinstance(job, RerankJob):
            return VectorWork(handle, self._pairs(job))
        width = job.dimensions or self._limits.width
        if width > self._limits.width:
            message = f"'dimensions' is {width}, but this model's vectors have {self._limits.width} dimensions."
            raise InvalidRequest(message, "dimensions")
        if 4 * width * len(job.inputs) > ANSWER_BYTES_MAX:
            most = ANSWER_BYTES_MAX // (4 * width)
            raise InvalidRequest(f"'input' has {len(job.inputs)} texts; send at most {most} at once.", "input")
        return VectorWork(handle, [self._input(index, given) for index, given in enumerate(job.inputs)])

    def _input(self, index: int, given: str | tuple[int, ...]) -> list[int]:
        what = f"Input {index}"
        tokens = self._written(given, what, "input") if isinstance(given, str) else self._given(given, what)
        return self._checked(tokens, what, "input")

    def _written(self, text: str, what: str, param: str) -> list[int]:
        self._check_size(text, what, param)
        return self._tokens(text, frame=True)

    def _given(self, ids: tuple[int, ...], what: str) -> list[int]:
        if not all(0 <= token < self._model.vocab_size for token in ids):
            message = f"{what} has a token id that is not below {self._model.vocab_size}, the size of this vocabulary."
            raise InvalidRequest(message, "input")
        return list(ids)

    def _pairs(self, job: RerankJob) -> list[list[int]]:
        self._check_size(job.query, "The query", "query")
        query = self._tokens(job.query)
        return [self._pair(index, job, query, document) for index, document in enumerate(job.documents)]

    def _pair(self, index: int, job: RerankJob, query: list[int], document: str) -> list[int]:
        what = f"The query with document {index}"
        self._check_size(document, what, "documents")
        if self._template is not None:
            return self._checked(self._filled(self._template, job.query, document), what, "documents")
        return self._checked(_framed(self._model, query, self._tokens(document)), what, "documents")

    def _filled(self, template: str, query: str, document: str) -> list[int]:
        """The model's own prompt. Control tokens count only where the template has them, never in what callers sent."""
        given = {_QUERY: query, _DOCUMENT: document}
        if not any(self._has_control(text) for text in given.values()):
            return self._tokens(_fill(template, given), special=True)
        tokens: list[int] = []
        for piece in _pieces(template):
            tokens += self._tokens(given[piece]) if piece in given else self._tokens(piece, special=True)
        return tokens

    def _has_control(self, text: str) -> bool:
        return self._tokens(text) != self._tokens(text, special=True)

    def _tokens(self, text: str, *, frame: bool = False, special: bool = False) -> list[int]:
        """`frame` puts the tokens around it that the model wants at the ends of a text."""
        parts = self._model.parts(text)
        if len(parts) == 1:
            return self._tokenized(text, frame=frame, special=special)
        tokens = [token for part in parts for token in self._tokenized(part, special=special)]
        ends = self._tokenized("", frame=True) if frame else []
        begins = 1 if ends and LLAMA.llama_vocab_get_add_bos(self._model.vocab) else 0
        return ends[:begins] + tokens + ends[begins:]

    def _tokenized(self, text: str, *, frame: bool = False, special: bool = False) -> list[int]:
        data = text.encode(errors="replace")
        room = len(data) + 8
        tokens = (LLAMA.llama_token * room)()
        count = LLAMA.llama_tokenize(self._model.vocab, data, len(data), tokens, room, frame, special)
        return list(tokens[: max(0, count)])

    def _check_size(self, text: str, what: str, param: str) -> None:
        """Tokenizing what cannot fit anyway would take long for a text of many megabytes."""
        least = len(text) // self._model.longest_piece_bytes()
        if least > self._limits.text_tokens:
            raise self._too_long(f"at least {least}", what, param)

    def _checked(self, tokens: list[int], what: str, param: str) -> list[int]:
        if not tokens:
            raise InvalidRequest(f"{what} is empty.", param)
        if len(tokens) > self._limits.text_tokens:
            raise self._too_long(str(len(tokens)), what, param)
        return tokens

    def _too_long(self, count: str, what: str, param: str) -> InvalidRequest:
        message = f"This model's maximum context length is {self._limits.text_tokens} tokens. {what} has {count}."
        return InvalidRequest(message, param, code="context_length_exceeded")


def _framed(model: Model, query: Sequence[int], document: Sequence[int]) -> list[int]:
    """A query and a document with the tokens between that this vocabulary asks for (as llama.cpp's server has it)."""
    begin, end, separator = (getattr(LLAMA, f"llama_vocab_{name}")(model.vocab) for name in ("bos", "eos", "sep"))
    adds_end = LLAMA.llama_vocab_get_add_eos(model.vocab)
    ending = [end if end >= 0 else separator] if adds_end else []
    tokens = [begin] if LLAMA.llama_vocab_get_add_bos(model.vocab) else []
    tokens += [*query, *ending]
    tokens += [separator] if LLAMA.llama_vocab_get_add_sep(model.vocab) else []
    tokens += [*document, *ending]
    return [token for token in tokens if token >= 0]


def _pieces(template: str) -> list[str]:
    """The template cut at its two places, which stand for themselves in the result."""
    pieces = [template]
    for mark in (_QUERY, _DOCUMENT):
        cut: list[str] = []
        for piece in pieces:
            first, *others = piece.split(mark) if piece != _QUERY else [piece]
            cut.append(first)
            for other in others:
                cut += [mark, other]
        pieces = cut
    return [piece for piece in pieces if piece]


def _fill(template: str, given: dict[str, str]) -> str:
    return "".join(given.get(piece, piece) for piece in _pieces(template))
