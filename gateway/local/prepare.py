"""Jobs made ready for the engine: rendered, tokenized, checked against the context, with their samplers built.

This is done on a thread of its own, so that a hostile schema or a megabyte of text delays other preparations at most,
and never a running generation.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.schema import InvalidRequest
from gateway.local.constraint import Constraint
from gateway.local.gbnf import GrammarTooLarge
from gateway.local.grammar import Grammar
from gateway.local.json_schema import grammar_for_schema, grammar_for_tools
from gateway.local.notation import NotationError
from gateway.local.sampling import Chooser
from gateway.local.vocabulary import Vocabulary

if TYPE_CHECKING:
    from adapters.llama_cpp_job import Job, ToolSpec
    from gateway.local.llama import Model
    from gateway.local.template import ChatTemplate


_KEPT_GRAMMARS = 8


@dataclass(slots=True, weakref_slot=True)
class Handle:
    """A job inside the worker. Any thread may set `cancelled`; the engine looks at it between steps."""

    job: Job
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """A job that the engine can run: prompt tokens, one chooser per choice, and how much may be generated."""

    handle: Handle
    tokens: list[int]
    choosers: list[Chooser]
    max_tokens: int
    ignored: tuple[str, ...]

    def close(self) -> None:
        for chooser in self.choosers:
            chooser.close()


class Preparer:
    """Turns jobs into work for one model."""

    def __init__(self, model: Model, template: ChatTemplate | None, context_tokens: int) -> None:
        self._model = model
        self._template = template
        self._context_tokens = context_tokens
        self._grammars: dict[str, Grammar] = {}
        self._vocabulary: Vocabulary | None = None

    def prepare(self, handle: Handle) -> Work:
        """Raises `InvalidRequest` when the request is to blame."""
        job = handle.job
        tokens = self._tokens(job)
        room = self._context_tokens - len(tokens)
        max_tokens = room if job.max_tokens is None else min(job.max_tokens, room)
        knows_tools = self._template is not None and self._template.knows_tools
        ignored = ("tools",) if job.tools and not job.forced_tools and not knows_tools else ()
        return Work(handle, tokens, self._choosers(job), max_tokens, ignored)

    def _tokens(self, job: Job) -> list[int]:
        text = self._text(job)
        # Tokenizing what cannot fit anyway would take long for a text of many megabytes.
        least = len(text) // self._model.longest_piece_bytes()
        tokens = self._model.tokenize(text) if least < self._context_tokens else None
        count = least if tokens is None else len(tokens)
        if tokens is None or count >= self._context_tokens:
            about = "at least " if tokens is None else ""
            message = (
                f"This model's maximum context length is {self._context_tokens} tokens. "
                f"However, your prompt has {about}{count} tokens, which leaves no room for an answer."
            )
            raise InvalidRequest(
                message, param="messages" if job.messages else "prompt", code="context_length_exceeded"
            )
        if not tokens:
            raise InvalidRequest("The prompt is empty.", param="prompt", code="invalid_request")
        return tokens

    def _text(self, job: Job) -> str:
        if job.messages is None:
            return job.prompt or ""
        if self._template is None:
            message = "This model file brings no chat template, so it cannot hold conversations; set one for it."
            raise InvalidRequest(message, param="messages", code="no_chat_template")
        messages = job.messages
        if job.forced_tools and not self._template.knows_tools:
            messages = _with_instruction(messages, _instruction(job.forced_tools))
        if begun := _begun(job):
            return self._template.render(messages[:-1], job.tools) + begun
        return self._template.render(messages, job.tools)

    def _choosers(self, job: Job) -> list[Chooser]:
        grammar = self._grammar(job)
        if any(token >= self._model.vocab_size for token, _ in job.sampling.logit_bias):
            message = f"A token of `logit_bias` is not below {self._model.vocab_size}, the size of this vocabulary."
            raise InvalidRequest(message, param="logit_bias", code="invalid_request")
        seed = secrets.randbits(31) if job.sampling.seed is None else job.sampling.seed
        return [
            Chooser(self._model, job.sampling, seed=seed + choice, constraint=self._constraint(grammar))
            for choice in range(job.choices)
        ]

    def _grammar(self, job: Job) -> Grammar | None:
        if job.forced_tools:
            text = grammar_for_tools(job.forced_tools)
        elif job.schema is not None:
            text = grammar_for_schema(job.schema, strict=job.strict)
        else:
            return None
        if (known := self._grammars.pop(text, None)) is None:
            try:
                known = Grammar(text)
            except (NotationError, GrammarTooLarge) as error:
                message = f"The JSON schema makes no usable grammar: {error or 'it is too large'}."
                raise InvalidRequest(message, "response_format", "invalid_json_schema") from None
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


def _begun(job: Job) -> str:
    """The beginning of the answer, where the conversation ends with one: text of the assistant's that goes on as it is.

    An answer that must obey a grammar begins with its own beginning.
    """
    messages = job.messages or []
    last = messages[-1] if len(messages) > 1 and not job.forced_tools and job.schema is None else {}
    is_begun = last.get("role") == "assistant" and not last.get("tool_calls")
    return str(last.get("content") or "") if is_begun else ""


def _instruction(tools: tuple[ToolSpec, ...]) -> str:
    """What a model whose template has no word for tools is told when it must call one."""
    lines = ["Answer with a call of a function: its name on one line, then its arguments as a JSON object."]
    for tool in tools:
        lines.append(f"Function {tool.name}: {tool.description or 'no description'}")
        if tool.parameters:
            lines.append(f"Its arguments obey this JSON schema: {tool.parameters}")
    return "\n".join(lines)


def _with_instruction(messages: list[dict[str, object]], text: str) -> list[dict[str, object]]:
    if messages and messages[0].get("role") == "system":
        first = {**messages[0], "content": f"{messages[0].get('content') or ''}\n\n{text}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
