"""Prompts as tokens: rendered, tokenized, and made to fit the context, or refused with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from adapters.schema import InvalidRequest
from gateway.local.control_marks import ControlMarks
from gateway.local.llama import LLAMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.llama_cpp_job import Job, ToolSpec
    from gateway.local.llama import Model
    from gateway.local.template import ChatTemplate

ERROR: Final = "error"
TRUNCATE: Final = "truncate"
SHIFT: Final = "shift"

# Even where prompts are cut to fit, one that is this many times too long is refused: reading it would take seconds.
_MOST_CONTEXTS = 64


class Prompt(NamedTuple):
    """`left_out` of its tokens are missing from its middle."""

    tokens: list[int]
    left_out: int = 0


class Prompter:
    """Makes prompts for one model and context."""

    def __init__(self, model: Model, template: ChatTemplate | None, context_tokens: int, on_overflow: str) -> None:
        self._model = model
        self._template = template
        self._context_tokens = context_tokens
        self._on_overflow = on_overflow
        self._marks = ControlMarks(_control_texts(model))

    @property
    def knows_tools(self) -> bool:
        return self._template is not None and self._template.knows_tools

    def conversation(self, job: Job) -> Prompt:
        """Raises `InvalidRequest`."""
        pieces = self._rendered(job)
        tokens = self._tokens(pieces, "messages")
        if len(tokens) < self._context_tokens:
            return Prompt(tokens)
        return self._shortened(tokens, job.max_tokens, "messages", head_tokens=self._head_tokens(job, tokens))

    def plain(self, prompt: str | Sequence[int], max_tokens: int | None) -> Prompt:
        """A prompt as it is. Raises `InvalidRequest`."""
        if isinstance(prompt, str):
            tokens = self._tokens([prompt], "prompt")
        else:
            tokens = list(prompt)
            if any(not 0 <= token < self._model.vocab_size for token in tokens):
                message = f"A token of the prompt is not below {self._model.vocab_size}, the size of this vocabulary."
                raise InvalidRequest(message, param="prompt", code="invalid_request")
        if not tokens:
            raise InvalidRequest("The prompt is empty.", param="prompt", code="invalid_request")
        if len(tokens) < self._context_tokens:
            return Prompt(tokens)
        return self._shortened(tokens, max_tokens, "prompt", head_tokens=None)

    def answer_tokens(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """How much may be generated: as much as was asked for, and no more than fits unless the context shifts."""
        room = self._context_tokens - prompt_tokens
        if max_tokens is None:
            return room
        return max_tokens if self._on_overflow == SHIFT else min(max_tokens, room)

    def _rendered(self, job: Job) -> list[str]:
        if self._template is None:
            message = "This model file brings no chat template, so it cannot hold conversations; set one for it."
            raise InvalidRequest(message, param="messages", code="no_chat_template")
        (messages, tools), mark = self._marks.cut([job.messages or [], job.tools])
        if job.forced_tools and not self._template.knows_tools:
            messages = _with_instruction(messages, self._marks.marked(_instruction(job.forced_tools), mark))
        if begun := _begun(messages, job):
            rendered = self._template.render(messages[:-1], tools) + begun
        else:
            rendered = self._template.render(messages, tools)
        return self._marks.pieces(rendered, mark)

    def _tokens(self, pieces: list[str], param: str) -> list[int]:
        # Tokenizing what cannot fit anyway would take long for a text of many megabytes.
        least = sum(map(len, pieces)) // self._model.longest_piece_bytes()
        most = self._context_tokens * (_MOST_CONTEXTS if self._on_overflow == TRUNCATE else 1)
        if least >= most:
            raise self._overflow(least, param, about="at least ")
        tokens = self._model.tokenize(pieces[0])
        for piece in pieces[1:]:
            tokens += self._model.tokenize(piece, begins=False)
        return tokens

    def _shortened(self, tokens: list[int], max_tokens: int | None, param: str, *, head_tokens: int | None) -> Prompt:
        """The beginning and the end of what is too long, where the policy asks for that."""
        if self._on_overflow != TRUNCATE:
            raise self._overflow(len(tokens), param)
        context = self._context_tokens
        kept = context - min(max_tokens or context // 4, context // 2)
        head = kept // 4 if head_tokens is None else min(head_tokens, kept // 2)
        tail = kept - head
        return Prompt(tokens[:head] + tokens[len(tokens) - tail :], len(tokens) - kept)

    def _head_tokens(self, job: Job, tokens: list[int]) -> int | None:
        """How many tokens the system's message comes to, with all that the template puts before it."""
        messages = job.messages or []
        if messages[0].get("role") != "system":
            return None
        try:
            alone = self._tokens(self._rendered(replace(job, messages=messages[:1])), "messages")
        except InvalidRequest:
            return None
        pairs = enumerate(zip(alone, tokens, strict=False))
        return next((at for at, (one, other) in pairs if one != other), min(len(alone), len(tokens)))

    def _overflow(self, count: int, param: str, about: str = "") -> InvalidRequest:
        message = (
            f"This model's maximum context length is {self._context_tokens} tokens. "
            f"However, your prompt has {about}{count} tokens, which leaves no room for an answer."
        )
        return InvalidRequest(message, param=param, code="context_length_exceeded")


def _control_texts(model: Model) -> list[str]:
    control = LLAMA.LLAMA_TOKEN_ATTR_CONTROL | LLAMA.LLAMA_TOKEN_ATTR_UNKNOWN
    tokens = range(model.vocab_size)
    return [model.special_text(token) for token in tokens if LLAMA.llama_vocab_get_attr(model.vocab, token) & control]


def _begun(messages: list[dict[str, Any]], job: Job) -> str:
    """The beginning of the answer, where the conversation ends with one: text of the assistant's that goes on as it is.

    An answer that must obey a grammar begins with its own beginning.
    """
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


def _with_instruction(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    if messages and messages[0].get("role") == "system":
        first = {**messages[0], "content": f"{messages[0].get('content') or ''}\n\n{text}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
