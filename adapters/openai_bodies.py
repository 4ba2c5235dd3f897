"""What is known of each endpoint's request body, as types. Fields that are not named here ride along unread."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

MESSAGES_KEPT: Final = 16_384
STOP_KEPT_CHARS: Final = 4096
DOCUMENTS_KEPT: Final = 10_000
_TOKENS_KEPT: Final = 2**31 - 1

_TokenCount = Annotated[int, Meta(ge=1, le=_TOKENS_KEPT)] | None
_Choices = Annotated[int, Meta(ge=1, le=128)] | None
_Temperature = Annotated[float, Meta(ge=0, le=2)] | None
_Share = Annotated[float, Meta(ge=0, le=1)] | None
_Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
_StopText = Annotated[str, Meta(max_length=STOP_KEPT_CHARS)]
_Stop = _StopText | Annotated[list[_StopText], Meta(max_length=4)] | None
_LogitBias = Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] | None
_MetadataKey = Annotated[str, Meta(max_length=64)]
_Metadata = Annotated[dict[_MetadataKey, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None
_Model = Annotated[str, Meta(min_length=1, max_length=512)]

# The last five are what vLLM and Mistral add to OpenAI's own.
PartType = Literal[
    "text", "image_url", "input_audio", "file", "refusal",
    "audio_url", "video_url", "document_url", "thinking", "reference",
]  # fmt: skip
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class AnyObject(Struct, gc=False):
    """An object whose members nobody here reads."""


class StreamOptions(Struct, gc=False):
    include_usage: bool | None = None


class Link(Struct, gc=False):
    url: str


class Part(Struct, gc=False):
    type: PartType
    text: str | None = None
    image_url: Link | str | None = None
    audio_url: Link | str | None = None
    video_url: Link | str | None = None
    document_url: Link | str | None = None


class Message(Struct, gc=False):
    role: Role
    content: str | list[Part] | None = None
    tool_calls: list[AnyObject] | None = None
    function_call: AnyObject | None = None
    refusal: str | None = None
    audio: AnyObject | None = None
    reasoning: Any = None
    reasoning_content: Any = None


class Body(Struct, gc=False, kw_only=True):
    """What every endpoint shares."""

    model: _Model
    stream: bool | None = None
    user: str | None = None
    metadata: _Metadata = None


class Generation(Body, gc=False, kw_only=True):
    """What chat and completions share."""

    stream_options: StreamOptions | None = None
    max_tokens: _TokenCount = None
    n: _Choices = None
    temperature: _Temperature = None
    top_p: _Share = None
    stop: _Stop = None
    seed: _Seed = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: _LogitBias = None


class ChatBody(Generation, gc=False, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES_KEPT)]
    max_completion_tokens: _TokenCount = None
    tools: list[AnyObject] | None = None
    functions: list[AnyObject] | None = None
    tool_choice: str | AnyObject | None = None
    response_format: AnyObject | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None


class CompletionsBody(Generation, gc=False, kw_only=True):
    prompt: str | list[str | int | list[int]]
    best_of: _Choices = None
    logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None


class EmbeddingsBody(Body, gc=False, kw_only=True):
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: _TokenCount = None


class Document(Struct, gc=False):
    """A document that is more than its text. What is no text would be read, and paid for, by nobody knows what."""

    text: str
    image: None = None
    image_url: None = None


class RerankBody(Body, gc=False, kw_only=True):
    """The form that Cohere, Jina, vLLM and llama.cpp share."""

    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=DOCUMENTS_KEPT)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None


class ResponsesBody(Body, gc=False, kw_only=True):
    input: str | list[AnyObject] | None = None
    prompt: AnyObject | None = None
    instructions: str | list[AnyObject] | None = None
    previous_response_id: str | None = None
    stream_options: AnyObject | None = None
    max_output_tokens: _TokenCount = None
    temperature: _Temperature = None
    top_p: _Share = None
    tools: list[AnyObject] | None = None
    text: AnyObject | None = None
    reasoning: AnyObject | None = None
    include: list[str] | None = None
    store: bool | None = None
    background: bool | None = None
    parallel_tool_calls: bool | None = None
