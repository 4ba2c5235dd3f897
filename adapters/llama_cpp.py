"""OpenAI requests turned into jobs for the bundled engine.

What the engine cannot do is refused by name. What it may leave out without changing the meaning of the answer (hints,
labels, fields nobody knows yet) is left out; those a caller may wonder about are listed, and shown in a header.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Meta, Struct

from adapters.llama_cpp_job import Job, Sampling, ToolSpec
from adapters.llama_cpp_messages import conversation
from adapters.schema import InferenceRequest, InvalidRequest
from policies.vocabulary import Endpoint

MAX_CHOICES: Final = 16
MAX_TOP_LOGPROBS: Final = 20
COMPLETION_TOKENS_DEFAULT: Final = 16

# Members that mean nothing to a model on this machine, or that the gateway has dealt with.
UNREMARKED: Final = frozenset(
    (
        "model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier",
        "prompt_cache_key", "prompt_cache_retention",
    )
)  # fmt: skip
UNSUPPORTED: Final = frozenset(("audio", "functions", "function_call", "web_search_options", "suffix", "best_of"))
MAX_PROMPTS: Final = 64
MAX_TOKEN: Final = 2**31
MAX_ANSWERS: Final = 128
MAX_TEMPLATE_OPTIONS_BYTES: Final = 64 * 1024

_Share = Annotated[float, Meta(ge=0, le=1)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_Count = Annotated[int, Meta(ge=1)]


class Body(Struct, kw_only=True):
    """What the engine reads of a request, whichever its endpoint. Null means absent."""

    messages: list[dict[str, Any]] | None = None
    prompt: str | list[Any] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    min_p: _Share | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: bool | Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    modalities: list[str] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    ignore_eos: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None


def job_of(request: InferenceRequest, job_id: int) -> Job:
    """What the engine is to do. Raises `InvalidRequest`, naming the parameter, for what it cannot."""
    body = _read(request)
    schema, strict = _schema(body.response_format)
    tools, forced = _tools(body.tools, body.tool_choice)
    if forced and schema is not None:
        _refuse("a forced tool call cannot be combined with 'response_format'", "tool_choice")
    is_chat = request.endpoint is Endpoint.CHAT
    prompts = [] if is_chat else _prompts(body.prompt)
    first = prompts[0] if prompts else None
    if len(prompts) * (body.n or 1) > MAX_ANSWERS:
        _refuse(f"may ask for up to {MAX_ANSWERS} answers, n times prompts, of the bundled engine", "prompt")
    return Job(
        id=job_id,
        messages=conversation(body.messages or []) if is_chat else None,
        prompt=first if isinstance(first, str) else None,
        prompt_tokens=first if isinstance(first, tuple) else None,
        more_prompts=tuple(prompts[1:]),
        echo=body.echo is True and not is_chat,
        ignore_eos=body.ignore_eos is True,
        tools=tools,
        forced_tools=forced,
        schema=schema,
        strict=strict,
        sampling=_sampling(body, is_chat=is_chat),
        stop=_stop(body.stop),
        max_tokens=body.max_completion_tokens
        or body.max_tokens
        or request.output_tokens_added
        or (None if is_chat else COMPLETION_TOKENS_DEFAULT),
        choices=body.n or 1,
        template_options=_template_options(body),
    )


def ignored_members(request: InferenceRequest) -> list[str]:
    """Members of the request that have no effect here and that its sender may expect to have one."""
    return [name for name in request.members if name not in UNREMARKED and name not in Body.__struct_fields__]


def _read(request: InferenceRequest) -> Body:
    """The known members, each decoded by itself, so that the error names the one at fault."""
    values = {}
    for name, raw in request.members.items():
        if name in UNSUPPORTED and bytes(raw) not in (b"null", b"[]"):
            _refuse("is not supported by the bundled engine", name)
        if (kind := _KINDS.get(name)) is not None:
            if name == "chat_template_kwargs" and len(bytes(raw)) > MAX_TEMPLATE_OPTIONS_BYTES:
                _refuse(f"may be up to {MAX_TEMPLATE_OPTIONS_BYTES} bytes long with the bundled engine", name)
            try:
                values[name] = msgspec.json.decode(raw, type=kind)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise InvalidRequest(f"Invalid value for '{name}': {str(error)[:200]}.", name) from None
    body = Body(**values)
    if body.echo and body.logprobs is not None and body.logprobs is not False:
        _refuse("cannot be combined with 'logprobs': the bundled engine keeps none of the prompt", "echo")
    if body.modalities not in (None, ["text"]):
        _refuse("can only be ['text'] with the bundled engine", "modalities")
    return body


_KINDS: Final = {field.name: field.type for field in msgspec.structs.fields(Body) if field.name not in UNSUPPORTED}


def _sampling(body: Body, *, is_chat: bool) -> Sampling:
    set_ = {
        name: value
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "repeat_penalty",
            "seed",
        )
        if (value := getattr(body, name)) is not None
    }
    return Sampling(
        **set_, logit_bias=_biases(body.logit_bias or {}), top_logprobs=_top_logprobs(body, is_chat=is_chat)
    )


def _top_logprobs(body: Body, *, is_chat: bool) -> int | None:
    """Chat asks with a flag and a number, completions with a number alone."""
    asked = body.logprobs
    if is_chat:
        if asked not in (None, True, False):
            raise InvalidRequest("Invalid value for 'logprobs': expected a boolean.", "logprobs")
        if body.top_logprobs is not None and not asked:
            raise InvalidRequest("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs")
        return (body.top_logprobs or 0) if asked else None
    if asked is True:
        raise InvalidRequest("Invalid value for 'logprobs': expected a number.", "logprobs")
    return None if asked is None or asked is False else int(asked)


def _biases(biases: dict[str, float]) -> tuple[tuple[int, float], ...]:
    if not all(token.isascii() and token.isdigit() and len(token) < 10 for token in biases):
        raise InvalidRequest("Invalid value for 'logit_bias': its keys must be token ids.", "logit_bias")
    # -100 is OpenAI's way to say never.
    return tuple((int(token), float("-inf") if bias == -100 else bias) for token, bias in biases.items())


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    texts = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(texts) > 16 or "" in texts or any(len(text) > 4096 for text in texts):
        raise InvalidRequest("Invalid value for 'stop': up to 16 texts of 1 to 4096 characters.", "stop")
    return texts


def _prompts(prompt: str | list[Any] | None) -> list[str | tuple[int, ...]]:
    """All prompts. One may be a text or a list of token ids, several are a list of those."""
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise InvalidRequest("'prompt' must not be empty.", "prompt")
    if all(_is_token(one) for one in prompt):
        return [tuple(prompt)]
    if len(prompt) > MAX_PROMPTS:
        _refuse(f"may hold up to {MAX_PROMPTS} prompts with the bundled engine", "prompt")
    prompts: list[str | tuple[int, ...]] = []
    for one in prompt:
        if isinstance(one, str):
            prompts.append(one)
        elif isinstance(one, list) and one and all(_is_token(token) for token in one):
            prompts.append(tuple(one))
        else:
            raise InvalidRequest("Invalid value for 'prompt': expected texts or lists of token ids.", "prompt")
    return prompts


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TOKEN


def _template_options(body: Body) -> dict[str, Any] | None:
    """What the chat template may ask for. OpenAI's way to ask for thoughts is given under all names it goes by."""
    effort = body.reasoning_effort
    thinks = effort is not None and effort != "none"
    asked = {} if effort is None else {"enable_thinking": thinks, "thinking": thinks}
    return {**asked, **({"reasoning_effort": effort} if thinks else {}), **(body.chat_template_kwargs or {})} or None


def _schema(response_format: dict[str, Any] | None) -> tuple[str | None, bool]:
    """The JSON schema that the answer must obey, as text, and whether nothing of it may be left unenforced."""
    kind = "text" if response_format is None else response_format.get("type")
    if response_format is None or kind == "text":
        return None, False
    # The older format may bring a schema too, beside its type.
    wrapper = response_format if kind == "json_object" else response_format.get("json_schema")
    schema = wrapper.get("schema", {}) if isinstance(wrapper, dict) else None
    if kind not in ("json_object", "json_schema") or not isinstance(wrapper, dict) or not isinstance(schema, dict):
        message = "Invalid value for 'response_format': expected type text, json_object, or json_schema with a schema."
        raise InvalidRequest(message, "response_format")
    return json.dumps(schema, ensure_ascii=False), kind == "json_schema" and wrapper.get("strict") is True


def _tools(
    tools: list[dict[str, Any]] | None, choice: str | dict[str, Any] | None
) -> tuple[list[dict[str, Any]] | None, tuple[ToolSpec, ...]]:
    """The tools to show to the model, and those of which it must call one."""
    specs = {spec.name: spec for spec in map(_tool, tools or ())}
    if choice in (None, "auto"):
        return tools or None, ()
    if choice == "none":
        return None, ()
    if choice == "required":
        if not specs:
            raise InvalidRequest("'tool_choice' is 'required', but there are no 'tools'.", "tool_choice")
        return tools, tuple(specs.values())
    called = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    name = called.get("name") if isinstance(called, dict) else None
    if not isinstance(name, str) or name not in specs:
        message = "Invalid value for 'tool_choice': expected none, auto, required, or a function that is among 'tools'."
        raise InvalidRequest(message, "tool_choice")
    return tools, (specs[name],)


def _tool(tool: dict[str, Any]) -> ToolSpec:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        _refuse("may only hold functions with the bundled engine", "tools")
    name, parameters = function.get("name"), function.get("parameters")
    is_name = isinstance(name, str) and 0 < len(name) <= 64 and name.replace("-", "_").isidentifier()
    if not is_name or not isinstance(parameters, dict | None):
        message = "Invalid value for 'tools': a function needs a name (letters, digits, _ and -) and a schema."
        raise InvalidRequest(message, "tools")
    return ToolSpec(str(name), str(function.get("description") or ""), json.dumps(parameters) if parameters else None)


def _refuse(reason: str, param: str) -> NoReturn:
    raise InvalidRequest(f"'{param}' {reason}.", param, "unsupported_parameter")
