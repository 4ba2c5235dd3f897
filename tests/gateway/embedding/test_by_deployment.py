from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.embedding import by_deployment
from gateway.embedding.by_deployment import DeploymentEmbedder
from gateway.embedding.embedder import EmbedderUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence


class Upstream:
    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def embeddings(self, text: str) -> Sequence[float]:
        self.asked.append(text)
        await self.gate.wait()
        answer: Any = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]


def embedder(upstream: Upstream, *, window_tokens: int = 512, waiting_max: int = 2) -> DeploymentEmbedder:
    return DeploymentEmbedder("eu", "embed-3", upstream, window_tokens=window_tokens, waiting_max=waiting_max)


async def test_vectors_are_made_one_long_and_belong_to_all_who_have_them() -> None:
    made = embedder(Upstream([3.0, 4.0]))
    assert (made.id, made.dimensions) == ("eu/embed-3/0", 0)
    vector = await made.embed("Why?")
    assert vector is not None
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [0.6, 0.8], atol=1e-7)
    assert not vector.flags.writeable
    assert (made.id, made.dimensions) == ("eu/embed-3/2", 2)


@pytest.mark.parametrize(
    "answer",
    [[], [0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [1e300, 1e300], ["a", "b"], [None], [[1.0]], [0.5] * 20_000],
    ids=str,
)
async def test_what_is_no_vector_is_not_believed(answer: Any) -> None:
    made = embedder(Upstream(answer, [1.0, 0.0]))
    with pytest.raises(EmbedderUnavailable):
        await made.embed("Why?")
    assert made.dimensions == 0
    assert await made.embed("Why?") is not None


async def test_a_model_that_changes_its_dimensions_is_not_believed_from_then_on() -> None:
    made = embedder(Upstream([1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0]))
    await made.embed("one")
    with pytest.raises(EmbedderUnavailable, match="3 numbers, not 2"):
        await made.embed("two")
    assert await made.embed("three") is not None
    assert made.id == "eu/embed-3/2"


@given(st.text(), st.integers(3, 40))
def test_what_could_have_more_tokens_than_the_window_is_never_sent(text: str, window_tokens: int) -> None:
    upstream = Upstream([1.0])
    vector = asyncio.run(embedder(upstream, window_tokens=window_tokens).embed(text))
    fits = len(text.encode()) + 2 <= window_tokens
    assert (vector is not None, upstream.asked) == (fits, [text] if fits else [])


@pytest.mark.parametrize("error", [TimeoutError(), ValueError("no JSON"), RuntimeError("closed")])
async def test_a_call_that_fails_makes_the_embedder_unavailable(error: Exception) -> None:
    with pytest.raises(EmbedderUnavailable) as caught:
        await embedder(Upstream(error)).embed("a secret question")
    assert type(error).__name__ in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_no_more_wait_than_were_agreed_and_who_gives_up_makes_room() -> None:
    upstream = Upstream([1.0], [1.0], [1.0])
    upstream.gate.clear()
    made = embedder(upstream, waiting_max=2)
    await made.start()
    first, second = (asyncio.create_task(made.embed(text)) for text in ("one", "two"))
    await asyncio.sleep(0)
    with pytest.raises(EmbedderUnavailable, match="too many"):
        await made.embed("three")
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    third = asyncio.create_task(made.embed("three"))
    await asyncio.sleep(0)
    upstream.gate.set()
    assert [vector is not None for vector in await asyncio.gather(second, third)] == [True, True]
    await made.close()


async def test_it_is_down_after_failures_in_a_row_and_up_with_the_next_vector(caplog: pytest.LogCaptureFixture) -> None:
    broken: list[Any] = [TimeoutError(), [], RuntimeError("a secret"), [0.0], TimeoutError()]
    made = embedder(Upstream(TimeoutError(), [1.0], *broken, [1.0], [1.0]))
    told = []
    for _ in range(9):
        with contextlib.suppress(EmbedderUnavailable):
            await made.embed("a secret question")
        told.append(made.is_ready)
    assert told == [True, True, True, True, False, False, False, True, True]
    assert caplog.messages == [
        "the embedder eu/embed-3 makes no vectors; its last failure: RuntimeError",
        "the embedder eu/embed-3 makes vectors again",
    ]


async def test_what_says_nothing_of_the_deployment_takes_it_down_for_nobody() -> None:
    made = embedder(Upstream(*[EmbedderUnavailable("not for this caller")] * 4))
    for _ in range(4):
        with pytest.raises(EmbedderUnavailable, match="not for this caller"):
            await made.embed("Why?")
    assert made.is_ready


@pytest.mark.parametrize(("slow_s", "is_ready"), [(0.0, False), (60.0, True)])
async def test_one_that_nobody_can_wait_for_is_down(
    monkeypatch: pytest.MonkeyPatch,
    slow_s: float,
    is_ready: bool,  # noqa: FBT001 - a parameter
) -> None:
    monkeypatch.setattr(by_deployment, "SLOW_S", slow_s)
    upstream = Upstream()
    upstream.gate.clear()
    made = embedder(upstream, waiting_max=3)
    waiting = [asyncio.create_task(made.embed("Why?")) for _ in range(3)]
    await asyncio.sleep(0)
    assert made.waiting == 3
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert (made.is_ready, made.waiting) == (is_ready, 0)
