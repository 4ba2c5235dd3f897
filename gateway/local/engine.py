"""The engine: one thread that owns the context and turns work into events.

This one serves one job after another. Whatever replaces it needs the same four methods, gets the same `Work`, and
reports through the same `emit`; neither the worker around it nor the gateway can tell how many jobs share a step.

On a CPU its output depends on the request alone, not on what ran before: prompts are read in chunks that lie on a fixed
grid, and only whole chunks of an earlier prompt are reused, because llama.cpp's sums come out a little differently
when the same tokens are grouped differently, and a little is enough to turn a sentence.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from adapters.llama_cpp_job import Delta, Event, Failed, Finished, Started
from gateway.local.llama import Context, DecodeFailed, Model
from gateway.local.sampling import DeadEnd
from gateway.local.text import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from gateway.local.prepare import Work
    from gateway.local.sampling import Chooser

# A cancelled job leaves within one chunk: about 0.4 s of prompt on one slow core. Smaller chunks cost throughput.
CHUNK_TOKENS = 64


class Engine(Protocol):
    """What the worker needs of an engine."""

    steps: int

    @property
    def busy(self) -> bool: ...

    def submit(self, work: Work) -> None:
        """Take over work, from any thread. It is closed by the engine, and its events end in one of the last kinds."""

    def run(self) -> None:
        """Work until stopped; the calling thread owns the context from now on."""

    def stop(self) -> None:
        """Return from `run` after the current step."""


class SerialEngine:
    """One job at a time, in the order of arrival."""

    def __init__(self, model: Model, context: Context, emit: Callable[[list[Event]], None]) -> None:
        self.steps = 0
        self._model = model
        self._context = context
        self._emit = emit
        self._line: deque[Work] = deque()
        self._wakeup = threading.Condition()
        self._stopping = False
        self._running = False
        self._known: list[int] = []

    @property
    def busy(self) -> bool:
        return self._running or bool(self._line)

    def submit(self, work: Work) -> None:
        with self._wakeup:
            self._line.append(work)
            self._wakeup.notify()

    def stop(self) -> None:
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify()

    def run(self) -> None:
        while (work := self._next()) is not None:
            try:
                self._serve(work)
            except DecodeFailed as error:
                self._forget()
                self._emit([Failed(work.handle.job.id, 500, "engine_failure", str(error))])
            finally:
                work.close()
                self._running = False

    def _next(self) -> Work | None:
        with self._wakeup:
            while not self._line and not self._stopping:
                self._wakeup.wait()
            if self._stopping:
                return None
            self._running = True
            return self._line.popleft()

    def _serve(self, work: Work) -> None:
        if work.handle.cancelled:
            return
        cached = self._reuse(work.tokens)
        self._emit([Started(work.handle.job.id, len(work.tokens), cached, work.ignored)])
        row = self._read_prompt(work)
        if row is None:
            return
        if len(work.choosers) > 1:
            row = row.copy()
        for choice, chooser in enumerate(work.choosers):
            if choice and self._context.rewind(len(work.tokens)) != len(work.tokens):
                self._known.clear()
                self._read_prompt(work)
            self._generate(work, choice, chooser, row)
            if work.handle.cancelled:
                return

    def _reuse(self, tokens: list[int]) -> int:
        """Keep what the context shares with this prompt, in whole chunks; at least one token is always read anew."""
        common = 0
        for known, wanted in zip(self._known, tokens[:-1], strict=False):
            if known != wanted:
                break
            common += 1
        kept = self._context.rewind(common - common % CHUNK_TOKENS)
        del self._known[kept:]
        return kept

    def _read_prompt(self, work: Work) -> NDArray[np.float32] | None:
        """Prefill; the logits after the last token, or None when the job was cancelled on the way."""
        tokens = work.tokens
        row = None
        for start in range(len(self._known), len(tokens), self._chunk_tokens):
            if work.handle.cancelled:
                return None
            chunk = tokens[start : start + self._chunk_tokens]
            if start + len(chunk) == len(tokens):
                row = self._context.decode(chunk)
            else:
                self._context.append(chunk)
            self.steps += 1
            self._known += chunk
        return row

    def _generate(self, work: Work, choice: int, chooser: Chooser, row: NDArray[np.float32]) -> None:
        job = work.handle.job
        text = TextStream(job.stop)
        count = unreported = 0
        reason = "stop"
        while True:
            try:
                token = chooser.choose(row)
            except DeadEnd:
                break
            if self._model.ends_text(token):
                break
            count += 1
            unreported += 1
            shown = text.push(self._model.piece(token), chooser.logprob(row, token))
            if shown:
                self._emit([Delta(job.id, choice, shown, unreported, text.take_logprobs())])
                unreported = 0
            if text.stopped:
                break
            if count >= work.max_tokens:
                reason = "length"
                break
            if work.handle.cancelled:
                return
            row = self._context.decode([token])
            self.steps += 1
        self._emit([*self._last(job.id, choice, text, unreported), Finished(job.id, choice, reason, count)])

    def _last(self, job: int, choice: int, text: TextStream, unreported: int) -> list[Event]:
        shown = text.finish()
        logprobs = text.take_logprobs()
        return [Delta(job, choice, shown, unreported, logprobs)] if shown or logprobs or unreported else []

    @property
    def _chunk_tokens(self) -> int:
        return min(CHUNK_TOKENS, self._context.batch_tokens)

    def _forget(self) -> None:
        self._context.rewind(0)
        self._known.clear()
