from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.config import Config, examine_text
from gateway.explaining.cache_pairs import Likeness, PairTold, explain_pair
from gateway.explaining.rehearsal import Question, Rehearsal
from policies.cache_curves import SHIPPED
from tests.gateway.explaining.cache_policy import CACHED

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    Config.model_rebuild()
    config, problems = examine_text(CACHED, tmp_path / "policy.yaml", {})
    assert config is not None, problems
    return Rehearsal(config)


def a_question(text: object = "Why?", model: str = "faq", key: str = "red", **members: Any) -> Question:
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return Question(msgspec.json.encode({"model": model, "messages": messages} | members), key=key)


def alike(similarity: float | None) -> Any:
    async def told(_one: str, _other: str) -> Likeness:
        return Likeness(SHIPPED[0].embedder, similarity)

    return told


async def told(rehearsal: Rehearsal, one: Question, other: Question, similarity: float | None = 0.99) -> PairTold:
    return await explain_pair(rehearsal, one, other, alike(similarity))


async def test_the_same_request_is_an_exact_hit_however_it_is_written(rehearsal: Rehearsal) -> None:
    found = await told(rehearsal, a_question(stream=True), a_question(key="red2"))
    assert (found.served, found.same_request, found.differs) == ("exact", True, [])


async def test_the_same_vector_is_within_every_budget(rehearsal: Rehearsal) -> None:
    one, other = a_question("How do I settle my outstanding bill?"), a_question("How do I settle an outstanding bill?")
    found = await told(rehearsal, one, other, 1.0)
    assert (found.served, found.similarity, found.budget) == ("semantic", 1.0, 0.01)
    assert found.risk is not None
    assert found.bar is not None
    assert found.risk <= found.bar


async def test_a_doubtful_candidate_is_the_judges(rehearsal: Rehearsal) -> None:
    found = await told(rehearsal, a_question("How do I settle my bill?"), a_question("How do I pay a bill?"), 0.85)
    assert (found.served, found.judged) == (None, "a")
    assert "the judge would be asked" in found.why


SYSTEM = {"role": "system", "content": "Be short."}
USER = {"role": "user", "content": "Why?"}


@pytest.mark.parametrize(
    ("one", "other", "differs", "why"),
    [
        (a_question(seed=1), a_question("Why so?", seed=2), ["seed"], "beside the last question"),
        (a_question([SYSTEM, USER]), a_question("Why so?"), ["messages before the last"], "beside the last question"),
        (a_question(model="other"), a_question(), ["model"], "the routes do not share"),
        (a_question(key="blue"), a_question(), [], "do not share answers"),
        (a_question(user="u1"), a_question("Why so?"), ["user"], "beside the last question"),
        (a_question("What is new today?"), a_question(), [], "the question is served to its exact like only: time"),
        (a_question(), a_question("My order 48213-77?"), [], "the stored question is served to its exact like only"),
        (a_question(model="words"), a_question("Why so?", "words"), [], "the route compares no meanings"),
        (a_question(model="plain"), a_question(), [], "asks goes to a route without a cache"),
        (a_question(), a_question(key="off"), [], "stored request is left alone: off"),
        (a_question(temperature=1.5), a_question(), [], "asks is left alone: temperature"),
        (a_question(model="nobody"), a_question(), [], "asks would be refused"),
    ],
)
async def test_what_keeps_two_requests_apart_is_named(
    rehearsal: Rehearsal, one: Question, other: Question, differs: list[str], why: str
) -> None:
    found = await told(rehearsal, one, other)
    assert found.served is None
    assert found.differs == differs
    assert why in found.why


async def test_a_route_may_ignore_members_and_routes_may_share(rehearsal: Rehearsal) -> None:
    found = await told(rehearsal, a_question("Why?", "shared2", user="a"), a_question("Why?", "shared2", user="b"))
    assert (found.served, found.differs) == ("exact", [])


@pytest.mark.parametrize(
    ("similarity", "why"), [(None, "does not fit the embedder's window"), (0.1, "the risk is above the bar")]
)
async def test_what_cannot_be_weighed_is_told(rehearsal: Rehearsal, similarity: float | None, why: str) -> None:
    found = await told(rehearsal, a_question("Why so?"), a_question("How come?"), similarity)
    assert found.served is None
    assert why in found.why


async def test_without_an_embedder_the_words_alone_are_told(rehearsal: Rehearsal) -> None:
    found = await explain_pair(rehearsal, a_question("May I bring 2?"), a_question("May I bring 3?"), None)
    assert (found.veto, found.similarity) == ("numbers", None)
    assert "install the extra semantic" in found.why
