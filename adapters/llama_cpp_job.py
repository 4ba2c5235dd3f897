"""What passes between the gateway and the bundled engine: jobs one way, events the other.

The types are plain msgspec structs, packed as arrays. They are the seam behind which a scheduler with many slots can
replace an engine that runs one job at a time: nothing on either side knows how jobs share the context.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Sampling(msgspec.Struct, frozen=True, array_like=True):
    """How the next token is chosen. Temperature 0 takes the likeliest; `top_k` 0 looks at the whole vocabulary.

    `top_logprobs` None reports no log-probabilities at all; a number reports the chosen token's and that many rivals'.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 1000
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    top_logprobs: int | None = None


class ToolSpec(msgspec.Struct, frozen=True, array_like=True):
    """A function that the answer may have to call; `parameters` is its JSON schema as text, None for any object."""

    name: str
    description: str
    parameters: str | None


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One request for text. Exactly one of `messages` (a conversation for the chat template) and `prompt` is given.

    `schema` is a JSON schema that the text must obey (`{}`: any JSON object), `strict` refuses what a grammar cannot
    hold it to. `forced_tools` makes the answer one call of one of them: the text is then its name, a line feed, and
    its arguments. `tools` are shown to a chat template that knows what tools are. `choices` is OpenAI's `n`.
    """

    id: int
    messages: list[dict[str, Any]] | None = None
    prompt: str | None = None
    tools: list[dict[str, Any]] | None = None
    forced_tools: tuple[ToolSpec, ...] = ()
    schema: str | None = None
    strict: bool = False
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    choices: int = 1


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """One token's bytes and its natural log-probability."""

    token: bytes
    logprob: float


class ChosenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """The token that was chosen and the likeliest at its place, best first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...]


class Started(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The engine has begun to read the prompt, `cached_tokens` of which it still knew.

    `ignored` names members of the request that have no effect with this model.
    """

    job: int
    prompt_tokens: int
    cached_tokens: int
    ignored: tuple[str, ...] = ()


class Delta(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """More text of one choice. `tokens` counts what was generated since the last event, held-back text included."""

    job: int
    choice: int
    text: str
    tokens: int
    logprobs: tuple[ChosenLogprob, ...] = ()


class Finished(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One choice is complete: `reason` is `stop` or `length`."""

    job: int
    choice: int
    reason: str
    completion_tokens: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The job ended without an answer. `status` 400 blames the request, at `param`; 500 blames the engine."""

    job: int
    status: int
    code: str
    message: str
    param: str | None = None


Event = Started | Delta | Finished | Failed
