"""Jobs made ready for the engine: rendered, tokenized, checked against the context, with what chooses their tokens.

This is done on a thread of its own, so that a hostile schema or a megabyte of text delays other preparations at most,
and never a running generation.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from adapters.schema import InvalidRequest
from gateway.local.choosing.constraint import Constraint
from gateway.local.choosing.gbnf import GrammarTooLarge
from gateway.local.choosing.grammar import Grammar
from gateway.local.choosing.json_schema import grammar_for_schema, grammar_for_tools
from gateway.local.choosing.notation import NotationError
from gateway.local.choosing.sampling import Chooser
from gateway.local.choosing.text import TextStream
from gateway.local.choosing.vocabulary import Vocabulary
from gateway.local.preparing.prompt import ERROR, Prompt, Prompter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.llama_cpp_job import Job, Sampling
    from gateway.local.binding.llama import Model
    from gateway.local.preparing.template import ChatTemplate

_KEPT_GRAMMARS = 8


@dataclass(slots=True, weakref_slot=True)
class Handle:
    """A job inside the worker, since `arrived_s`. Any thread may set `cancelled`; the engine sees it between steps."""

    job: Job
    cancelled: bool = False
    arrived_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Work:
    """One prompt of a job, which the engine can run: its tokens, a chooser per choice, and how much may be generated.

    Its choices are numbered from `first_choice`. `truncated_tokens` of the prompt are missing from `tokens`. `siblings`
    are the work of the job's other prompts: they are taken over together with it.
    """

    handle: Handle
    tokens: list[int]
    choosers: list[Chooser]
    max_tokens: int
    ignored: tuple[str, ...]
    first_choice: int = 0
    truncated_tokens: int = 0
    echo: str = ""
    opening: str = ""
    siblings: tuple[Work, ...] = ()

    def new_text(self) -> TextStream:
        """The text of one of its choices, which nothing has been written of yet."""
        return TextStream(self.handle.job.stop, self.echo)

    def close(self) -> None:
        for chooser in self.choosers:
            chooser.close()


class Preparer:
    """Turns jobs into work for one model."""

    def __init__(
        self, model: Model, template: ChatTemplate | None, context_tokens: int, on_overflow: str = ERROR
    ) -> None:
        self._model = model
        self._prompter = Prompter(model, template, context_tokens, on_overflow)
        self._grammars: dict[str, Grammar] = {}
        self._vocabulary: Vocabulary | None = None

    def prepare(self, handle: Handle) -> Work:
        """The work of the job's first prompt, with the others as its siblings. Raises `InvalidRequest`."""
        job = handle.job
        if job.adapter is not None and job.adapter not in self._model.adapters:
            raise InvalidRequest(f"This model has no adapter {job.adapter[:64]!r}.", "model", "model_not_found")
        sampling = self._sampling(job)
        grammar = self._grammar(job)
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        works = []
        for number, (prompt, echo) in enumerate(self._prompts(job)):
            choosers = [
                Chooser(self._model, sampling, seed=seed + choice, constraint=self._constraint(grammar))
                for choice in range(job.choices)
            ]
            most, first = self._prompter.answer_tokens(len(prompt.tokens), job.max_tokens), number * job.choices
            work = Work(handle, prompt.tokens, choosers, most, (), first, prompt.left_out, echo, prompt.opening)
            works.append(work)
        return dataclasses.replace(works[0], siblings=tuple(works[1:]))

    def _prompts(self, job: Job) -> list[tuple[Prompt, str]]:
        """All prompts, each with what goes before its answers."""
        if job.messages is not None:
            return [(self._prompter.conversation(job), "")]
        first = job.prompt if job.prompt_tokens is None else job.prompt_tokens
        asked = [first or "", *job.more_prompts]
        prompts = [self._prompter.plain(prompt, job.max_tokens) for prompt in asked]
        return [(prompt, self._text(one) if job.echo else "") for prompt, one in zip(prompts, asked, strict=True)]

    def _text(self, prompt: str | Sequence[int]) -> str:
        if isinstance(prompt, str):
            return prompt
        return b"".join(map(self._model.piece, prompt)).decode(errors="replace")

    def _sampling(self, job: Job) -> Sampling:
        """How tokens are chosen, checked against the vocabulary. Raises `InvalidRequest`."""
        sampling, size = job.sampling, self._model.vocab_size
        if any(token >= size for token, _ in sampling.logit_bias):
            message = f"A token of `logit_bias` is not below {size}, the size of this vocabulary."
            raise InvalidRequest(message, param="logit_bias", code="invalid_request")
        if not job.ignore_eos:
            return sampling
        never = tuple((token, float("-inf")) for token in range(size) if self._model.ends_text(token))
        others = tuple(bias for bias in sampling.logit_bias if not self._model.ends_text(bias[0]))
        return replace(sampling, logit_bias=others + never)

    def _grammar(self, job: Job) -> Grammar | None:
        param = "tools" if job.forced_tools else "response_format"
        try:
            text = _notation(job)
            return None if text is None else self._known_grammar(text)
        except InvalidRequest as refusal:
            raise InvalidRequest(refusal.message, param, refusal.code) from None
        except (NotationError, GrammarTooLarge) as error:
            message = f"The JSON schema makes no usable grammar: {error or 'it is too large'}."
            raise InvalidRequest(message, param, "invalid_json_schema") from None

    def _known_grammar(self, text: str) -> Grammar:
        """What a grammar has learnt of its own texts is worth keeping: the same schemas come again and again."""
        if (known := self._grammars.pop(text, None)) is None:
            known = Grammar(text)
            known.start()
        self._grammars[text] = known
        if len(self._grammars) > _KEPT_GRAMMARS:
            del self._grammars[next(iter(self._grammars))]
        return known

    def _constraint(self, grammar: Grammar | None) -> Constraint | None:
        if grammar is None:
            return None
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self._model)
        return Constraint(grammar, self._vocabulary)


def _notation(job: Job) -> str | None:
    """The grammar that the job's text must obey, None where it is free. Raises `InvalidRequest`."""
    if job.forced_tools:
        return grammar_for_tools(job.forced_tools)
    return None if job.schema is None else grammar_for_schema(job.schema, strict=job.strict)
