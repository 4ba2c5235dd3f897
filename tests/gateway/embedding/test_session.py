from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gateway.data_files import data_dir
from gateway.embedding.preparing import cache_folder, model_bytes, source_file
from gateway.embedding.session import DIMENSIONS, Session
from gateway.embedding.wordpiece import WordPiece, read_pieces

PIECES = WordPiece(read_pieces(data_dir() / "wordpiece" / "bert-uncased.txt"))
QUESTIONS = [
    "How do I reset my password?",
    "I forgot my password, how can I get a new one?",
    "How can I reset my modem?",
    "What is the capital of Australia?",
    "What is the capital of Austria?",
    "How long does a refund take to arrive on my credit card?",
    "When will I get my money back after returning an item?",
    "Explain the difference between TCP and UDP in two sentences.",
    "Why is the sky blue?",
    "Which of your plans includes telephone support on weekends, and what would it cost for twelve who speak French?",
    "Give me a recipe for vegetarian lasagne for six people.",
    "Does the warranty cover water damage?",
]


def numbers_of(text: str) -> list[int]:
    numbers = PIECES.encode(text, 256)
    assert numbers is not None
    return numbers


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(model_bytes(cache_folder()))


def test_a_vector_is_of_length_one_and_belongs_to_all_who_have_it(session: Session) -> None:
    vector = session.vector(numbers_of("Why is the sky blue?"))
    assert vector.shape == (DIMENSIONS,)
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-6
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1.0


def test_it_is_the_mean_of_the_states(session: Session) -> None:
    numbers = numbers_of("Why is the sky blue?")
    states = session.states(numbers)
    mean = states.mean(axis=0)
    assert states.shape == (len(numbers), DIMENSIONS)
    np.testing.assert_allclose(session.vector(numbers), mean / np.linalg.norm(mean), atol=1e-6)


def test_vectors_are_near_those_of_the_model_before_it_was_prepared(session: Session) -> None:
    before = Session(source_file().read_bytes())
    cosines = [float(session.vector(n) @ before.vector(n)) for n in map(numbers_of, QUESTIONS)]
    assert min(cosines) > 0.985
    assert sum(cosines) / len(cosines) > 0.991


def test_questions_that_mean_the_same_are_nearer_than_others(session: Session) -> None:
    password, same, modem, *_ = (session.vector(numbers_of(text)) for text in QUESTIONS)
    assert float(password @ same) > 0.75
    assert float(password @ modem) < 0.7


def test_threads_get_what_one_gets(session: Session) -> None:
    alone = [session.vector(numbers_of(text)) for text in QUESTIONS]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda text: session.vector(numbers_of(text)), QUESTIONS * 3))
    for index, vector in enumerate(together):
        np.testing.assert_allclose(vector, alone[index % len(QUESTIONS)], atol=1e-6)


def test_the_longest_window_is_taken(session: Session) -> None:
    vector = session.vector([101, *[2129] * 254, 102])
    assert np.isfinite(vector).all()


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(Exception, match=r"(?i)protobuf|model"):
        Session(b"nothing of the sort")


def test_the_file_s_bytes_are_not_kept_beside_the_model_that_was_made_of_them() -> None:
    model = model_bytes(cache_folder())
    before = sys.getrefcount(model)
    session = Session(model)
    assert sys.getrefcount(model) == before
    assert session.vector(numbers_of(QUESTIONS[0])).shape == (DIMENSIONS,)
