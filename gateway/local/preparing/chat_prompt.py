"""Conversations as one model reads them: its template, its words for tools, and the beginning of the answer."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.dialects.fallback import instruction, spoken_calls, spoken_results, told, without_system
from adapters.schema import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.llama_cpp_job import Job, ToolSpec
    from gateway.local.preparing.template import ChatTemplate

Messages = list[dict[str, Any]]
Tools = list[dict[str, Any]] | None

_SHORT_ID_CHARS = 9


class ChatPrompt(NamedTuple):
    """A rendered prompt, and the marks of the model's dialect that the answer stands inside of."""

    text: str
    opening: str = ""


def chat_prompt(template: ChatTemplate, job: Job, messages: Messages, tools: Tools) -> ChatPrompt:
    """The prompt of a conversation; `messages` and `tools` stand for the job's own. Raises `InvalidRequest`."""
    begun = _begun(messages, job)
    text = _rendered(template, job, messages[:-1] if begun else messages, tools)
    dialect = template.dialect
    added, inside = dialect.answer_opening(text)
    if job.forced_tools:
        # Its grammar holds the answer to a name and arguments, so thoughts are over, and the mark of a call is set.
        return ChatPrompt(text + ("" if dialect.reads_messages else added) + dialect.forced_opening)
    if begun or job.schema is not None:
        return ChatPrompt(text + added + begun, inside)
    return ChatPrompt(text, dialect.opening_of(text))


def _rendered(template: ChatTemplate, job: Job, messages: Messages, tools: Tools) -> str:
    options = job.template_options
    if not (template.knows_tools and template.knows_calls):
        messages = spoken_calls(messages)
    if template.dialect.short_ids:
        messages = _with_short_ids(messages)
    if template.knows_tools:
        return template.render(messages, tools, options)
    messages = spoken_results(messages)
    offered = _offered(job, tools)
    if not offered:
        return template.render(messages, None, options)
    messages = told(messages, instruction(offered, forced=bool(job.forced_tools)))
    try:
        return template.render(messages, None, options)
    except InvalidRequest:
        if (merged := without_system(messages)) is messages:
            raise
        return template.render(merged, None, options)


def _offered(job: Job, tools: Tools) -> Tools:
    """The tools that the model is told of: those it must choose from, else all. `tools` stand for the job's own."""
    if not job.forced_tools:
        return tools
    forced = {spec.name for spec in job.forced_tools}
    pairs = zip(job.tools or (), tools or (), strict=True)
    chosen = [shown for own, shown in pairs if own["function"]["name"] in forced]
    return chosen or [_tool(spec) for spec in job.forced_tools]


def _tool(spec: ToolSpec) -> dict[str, Any]:
    parameters = json.loads(spec.parameters or "{}")
    return {"function": {"name": spec.name, "description": spec.description, "parameters": parameters}}


def _begun(messages: Messages, job: Job) -> str:
    """The beginning of the answer, where the conversation ends with one: text of the assistant's that goes on as it is.

    An answer that must obey a grammar begins with its own beginning.
    """
    last = messages[-1] if len(messages) > 1 and not job.forced_tools and job.schema is None else {}
    is_begun = last.get("role") == "assistant" and not last.get("tool_calls")
    return str(last.get("content") or "") if is_begun else ""


def _with_short_ids(messages: Sequence[Mapping[str, Any]]) -> Messages:
    """Ids of calls as some templates demand them: nine letters and digits, the same for a call and its result."""
    changed = []
    for message in messages:
        one = dict(message)
        if isinstance(calls := one.get("tool_calls"), list):
            one["tool_calls"] = [{**call, "id": _short_id(call.get("id"))} for call in calls]
        if "tool_call_id" in one:
            one["tool_call_id"] = _short_id(one["tool_call_id"])
        changed.append(one)
    return changed


def _short_id(long: object) -> str:
    text = str(long)
    if len(text) == _SHORT_ID_CHARS and text.isascii() and text.isalnum():
        return text
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_SHORT_ID_CHARS]
