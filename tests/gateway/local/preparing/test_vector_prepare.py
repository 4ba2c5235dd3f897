from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.llama_cpp_job import EmbedJob, RerankJob
from adapters.schema import InvalidRequest

pytest.importorskip("llama_cpp")

from gateway.local.binding.llama import Model
from gateway.local.preparing import vector_prepare
from gateway.local.preparing.vector_prepare import VectorHandle, VectorLimits, VectorPreparer
from tests.gateway.local.measuring.vector_rig import Rig
from tests.tiny_gguf import tiny_text_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def preparer(tiny_embedding_path: Path) -> Iterator[VectorPreparer]:
    rig = Rig(tiny_embedding_path)
    yield rig.parts.preparer
    rig.close()


@pytest.fixture(scope="module")
def ranker(tiny_rerank_path: Path) -> Iterator[VectorPreparer]:
    rig = Rig(tiny_rerank_path, "rerank")
    yield rig.parts.preparer
    rig.close()


def refused(preparer: VectorPreparer, job: EmbedJob | RerankJob) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        preparer.prepare(VectorHandle(job))
    return raised.value


def test_texts_get_the_tokens_that_the_model_wants_around_them(preparer: VectorPreparer) -> None:
    texts = preparer.prepare(VectorHandle(EmbedJob(1, ("the cat", "a dog")))).texts
    assert [(text[0], text[-1], len(text)) for text in texts] == [(CLS, SEP, 4), (CLS, SEP, 4)]


def test_control_tokens_in_a_text_are_text(preparer: VectorPreparer) -> None:
    (text,) = preparer.prepare(VectorHandle(EmbedJob(1, ("cat [SEP] dog",)))).texts
    assert text.count(SEP) == 1


def test_token_ids_are_taken_as_they_are(preparer: VectorPreparer) -> None:
    assert preparer.prepare(VectorHandle(EmbedJob(1, ((7, 8), (9,))))).texts == [[7, 8], [9]]


@pytest.mark.parametrize("ids", [(10**6,), (-1,), (5, 2**31)])
def test_token_ids_that_the_vocabulary_lacks_are_refused(preparer: VectorPreparer, ids: tuple[int, ...]) -> None:
    assert "Input 1 has a token id" in refused(preparer, EmbedJob(1, ("cat", ids))).message


def test_what_is_too_long_is_refused_with_both_numbers(preparer: VectorPreparer) -> None:
    error = refused(preparer, EmbedJob(1, ("cat", "cat " * 300)))
    assert (error.code, error.param) == ("context_length_exceeded", "input")
    assert error.message == "This model's maximum context length is 256 tokens. Input 1 has 302."


def test_what_cannot_fit_is_not_even_tokenized(preparer: VectorPreparer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VectorPreparer, "_tokens", None)
    assert "has at least" in refused(preparer, EmbedJob(1, ("x" * 10**7,))).message


def test_a_long_run_of_one_character_does_not_end_the_process(tmp_path: Path) -> None:
    """Texts are split here by an expression that calls itself once for every character of a word."""
    path = tiny_text_model(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"gpt-2", b"bloom"))
    model = Model(path, lambda _: None)
    preparer = VectorPreparer(model, VectorLimits(10**6, 1))
    (text,) = preparer.prepare(VectorHandle(EmbedJob(1, ("a" * 40_000,)))).texts
    assert b"".join(map(model.piece, text)).decode() == "a" * 40_000
    model.close()


def test_a_text_in_parts_has_the_ends_of_a_whole_one(preparer: VectorPreparer, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = preparer.prepare(VectorHandle(EmbedJob(1, ("the cat a dog",)))).texts
    monkeypatch.setattr(Model, "parts", lambda _self, _text: ["the cat ", "a dog"])
    assert preparer.prepare(VectorHandle(EmbedJob(1, ("the cat a dog",)))).texts == [whole]


def test_an_empty_list_of_tokens_is_refused(preparer: VectorPreparer) -> None:
    assert refused(preparer, EmbedJob(1, ((),))).message == "Input 0 is empty."


def test_more_dimensions_than_the_model_has_are_refused(preparer: VectorPreparer) -> None:
    error = refused(preparer, EmbedJob(1, ("cat",), dimensions=33))
    assert error.param == "dimensions"
    assert "has 32 dimensions" in error.message.replace("have", "has")


def test_an_answer_beyond_a_frame_is_refused(preparer: VectorPreparer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_prepare, "ANSWER_BYTES_MAX", 1000)
    assert "at most 7 at once" in refused(preparer, EmbedJob(1, ("cat",) * 8)).message


def test_a_query_and_a_document_are_framed_for_a_classifier(ranker: VectorPreparer) -> None:
    texts = ranker.prepare(VectorHandle(RerankJob(1, "the cat", ("a dog", "sun [SEP] moon")))).texts
    assert [text.count(SEP) for text in texts] == [texts[0].count(SEP)] * 2
    assert texts[0][0] == CLS
    query, document = texts[0][1:3], texts[0][-2:] if texts[0][-1] != SEP else texts[0][-3:-1]
    assert texts[0].index(SEP) == 3
    assert query != document


def test_every_document_is_measured_with_the_query(ranker: VectorPreparer) -> None:
    error = refused(ranker, RerankJob(1, "cat " * 200, ("dog", "dog " * 100)))
    assert error.param == "documents"
    assert "The query with document 1 has 30" in error.message
    assert refused(ranker, RerankJob(1, "x" * 10**7, ("dog",))).param == "query"


class TestTemplate:
    """A model of text that brings a prompt of its own for ranking."""

    TEMPLATE = "<|im_start|>query: {query} document: {document}<|im_end|>"

    @pytest.fixture
    def filled(self, tiny_model: Model) -> VectorPreparer:
        preparer = VectorPreparer(tiny_model, VectorLimits(512, 1))
        preparer._template = self.TEMPLATE
        return preparer

    def test_both_places_are_filled(self, filled: VectorPreparer, tiny_model: Model) -> None:
        (text,) = filled.prepare(VectorHandle(RerankJob(1, "cats?", ("dogs.",)))).texts
        assert b"".join(map(tiny_model.piece, text)) == b"query: cats? document: dogs."
        assert text == tiny_model.tokenize(self.TEMPLATE.format(query="cats?", document="dogs."))

    def test_what_callers_send_is_never_a_control_token_nor_a_place(
        self, filled: VectorPreparer, tiny_model: Model
    ) -> None:
        job = RerankJob(1, "{document}", ("a<|im_end|>b{query}",))
        (text,) = filled.prepare(VectorHandle(job)).texts
        assert b"".join(map(tiny_model.piece, text)) == b"query: {document} document: a<|im_end|>b{query}"
        assert [token for token in text if not tiny_model.piece(token)] == [text[0], text[-1]]
