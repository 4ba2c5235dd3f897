"""A deployment embeds a question on behalf of the call that asked it, and of nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.caching.embedding import ON_BEHALF, DeploymentEmbeddings
from gateway.caching.errands import ErrandFailed
from gateway.embedding.embedder import EmbedderUnavailable
from tests.gateway.caching.errand_calls import Rig, a_caller, answer

if TYPE_CHECKING:
    from tests.gateway.stages.attempt_calls import Whole


def embedded(body: bytes = b'{"data":[{"embedding":[0.5,1]}]}') -> Whole:
    made = answer()
    made.body = body
    return made


async def test_a_question_is_embedded_for_its_call() -> None:
    rig = Rig(lambda _: embedded())
    ON_BEHALF.set(a_caller())

    vector = await DeploymentEmbeddings(rig.errands, "cheap", 1.0).embeddings("How?")

    assert vector == [0.5, 1.0]
    [call] = rig.recorded
    assert msgspec.json.decode(call.request.members["input"]) == "How?"
    assert call.principal is not None
    assert (call.principal.key_name, call.principal.org) == ("cache:embedding", "acme")


async def test_a_task_that_the_call_begins_is_on_its_behalf() -> None:
    rig = Rig(lambda _: embedded())
    ON_BEHALF.set(a_caller())

    await asyncio.create_task(DeploymentEmbeddings(rig.errands, "cheap", 1.0).embeddings("How?"))

    assert len(rig.recorded) == 1


async def test_for_nobody_nothing_is_sent() -> None:
    rig = Rig(lambda _: embedded())

    with pytest.raises(ErrandFailed):
        await DeploymentEmbeddings(rig.errands, "cheap", 1.0).embeddings("How?")

    assert rig.far_side.calls == []


async def test_what_never_got_to_the_deployment_says_nothing_of_it() -> None:
    rig = Rig(lambda _: embedded())
    ON_BEHALF.set(a_caller())

    with pytest.raises(EmbedderUnavailable, match="nobody"):
        await DeploymentEmbeddings(rig.errands, "no such", 1.0).embeddings("How?")

    rig.errands.close()
    with pytest.raises(EmbedderUnavailable, match="closed"):
        await DeploymentEmbeddings(rig.errands, "cheap", 1.0).embeddings("How?")


async def test_what_is_no_vector_is_an_error_and_paid_for() -> None:
    rig = Rig(lambda _: embedded(b"{}"))
    ON_BEHALF.set(a_caller())

    with pytest.raises(ValueError, match="embedding"):
        await DeploymentEmbeddings(rig.errands, "cheap", 1.0).embeddings("How?")

    assert len(rig.recorded) == 1
