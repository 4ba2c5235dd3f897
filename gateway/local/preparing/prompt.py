"""Prompts as tokens: rendered, tokenized, and made to fit the context, or refused with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from adapters.schema import InvalidRequest
from gateway.local.binding.llama import LLAMA
from gateway.local.preparing.chat_prompt import chat_prompt
from gateway.local.preparing.control_marks import ControlMarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.llama_cpp_job import Job
    from gateway.local.binding.llama import Model
    from gateway.local.preparing.template import ChatTemplate

ERROR: Final = "error"
TRUNCATE: Final = "truncate"
SHIFT: Final = "shift"

# Even where prompts are cut to fit, one that is this many times too long is refused: reading it would take seconds.
_MOST_CONTEXTS = 64
# An answer over so many contexts has forgotten how it began, and its slot is wanted by others.
_MOST_SHIFTED = 16
# A conversation of less text is read whatever the model can hold: its template may leave most of it out.
_ANYWAY_CHARS = 1 << 20


class Prompt(NamedTuple):
    """`left_out` of its tokens are missing from its middle. An answer begins inside of the marks in `opening`."""

    tokens: list[int]
    left_out: int = 0
    opening: str = ""


class Prompter:
    """Makes prompts for one model and context."""

    def __init__(self, model: Model, template: ChatTemplate | None, context_tokens: int, on_overflow: str) -> None:
        self._model = model
        self._template = template
        self._context_tokens = context_tokens
        self._on_overflow = on_overflow
        self._marks = ControlMarks(_control_texts(model))

    def conversation(self, job: Job) -> Prompt:
        """Raises `InvalidRequest`."""
        pieces, opening = self._rendered(job)
        tokens = self._tokens(pieces, "messages")
        if len(tokens) < self._context_tokens:
            return Prompt(tokens, opening=opening)
        head_tokens = self._head_tokens(job, tokens)
        return self._shortened(tokens, job.max_tokens, "messages", head_tokens=head_tokens)._replace(opening=opening)

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
        return min(max_tokens, room + self._context_tokens * _MOST_SHIFTED if self._on_overflow == SHIFT else room)

    def _rendered(self, job: Job) -> tuple[list[str], str]:
        if self._template is None:
            message = "This model file brings no chat template, so it cannot hold conversations; set one for it."
            raise InvalidRequest(message, param="messages", code="no_chat_template")
        options = job.template_options or {}
        given = [job.messages or [], job.tools, list(options.values())]
        self._check_size(_chars(given))
        (messages, tools, values), mark = self._marks.cut(given)
        job = replace(job, template_options=dict(zip(options, values, strict=True)) or None)
        prompt = chat_prompt(self._template, job, messages, tools)
        return self._marks.pieces(prompt.text, mark), prompt.opening

    def _check_size(self, chars: int) -> None:
        """Refuse what cannot fit before anything is done with it: all others' requests wait meanwhile."""
        least = chars // self._model.longest_piece_bytes()
        if chars > _ANYWAY_CHARS and least >= self._most_tokens:
            raise self._overflow(least, "messages", about="at least ")

    @property
    def _most_tokens(self) -> int:
        return self._context_tokens * (_MOST_CONTEXTS if self._on_overflow == TRUNCATE else 1)

    def _tokens(self, pieces: list[str], param: str) -> list[int]:
        # Tokenizing what cannot fit anyway would take long for a text of many megabytes.
        least = sum(map(len, pieces)) // self._model.longest_piece_bytes()
        if least >= self._most_tokens:
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
            alone = self._tokens(self._rendered(replace(job, messages=messages[:1]))[0], "messages")
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


def _control_texts(model: Model) -> tuple[str, ...]:
    return model.special_texts(LLAMA.LLAMA_TOKEN_ATTR_CONTROL | LLAMA.LLAMA_TOKEN_ATTR_UNKNOWN)


def _chars(value: object) -> int:
    """How much text is in the value."""
    chars, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            chars += len(one)
        elif isinstance(one, dict):
            waiting += one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return chars
