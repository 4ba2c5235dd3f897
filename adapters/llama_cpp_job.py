"""What passes between the gateway and the bundled engine: jobs one way, events the other.

The types are plain msgspec structs, packed as arrays; nothing on either side knows how jobs share the context. Some
jobs ask for text, some for vectors, some for scores; the model that is loaded can do one of the three.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

# A worker reads files and requests that may be hostile. What it counts is checked where it is read, so that nothing
# negative gets into the ledger or a limit.
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


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


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a request stands in the engine's line.

    `flow` is whose burst waits behind itself, `weight` its share, `scope` within which beginnings of prompts may be
    shared (an org). Work that has not begun after `patience_s` is not begun any more.
    """

    flow: str = ""
    weight: float = 1.0
    priority: int = 1
    scope: str = ""
    patience_s: float = 3600.0


class Job(msgspec.Struct, frozen=True, array_like=True, tag="text"):
    """One request for text. Exactly one of `messages` (a conversation for the chat template), `prompt` and
    `prompt_tokens` is given. `adapter` names the LoRA adapter that it is answered with.

    `more_prompts`, texts or ids of tokens, have `choices` answers each, as the first prompt has: answers are counted
    through. `echo` puts the prompt before each. `ignore_eos` goes on where the model would have ended its text.

    `schema` is a JSON schema that the text must obey (`{}`: any JSON object), `strict` refuses what a grammar cannot
    hold it to. `forced_tools` makes the answer one call of one of them: the text is then its name, a line feed, and
    its arguments. `tools` are shown to the model. `template_options` are more names that its chat template may ask for.
    `choices` is OpenAI's `n`.
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
    place: Place = Place()
    adapter: str | None = None
    prompt_tokens: tuple[int, ...] | None = None
    template_options: dict[str, Any] | None = None
    more_prompts: tuple[str | tuple[int, ...], ...] = ()
    echo: bool = False
    ignore_eos: bool = False

    @property
    def answers(self) -> int:
        """How many choices the answer holds."""
        return self.choices * (1 + len(self.more_prompts))


class EmbedJob(msgspec.Struct, frozen=True, array_like=True, tag="embed"):
    """One request for vectors, one for each input: a text or the ids of its tokens.

    `dimensions` other than 0: the vectors are cut to so many numbers and made unit vectors again.
    """

    id: int
    inputs: tuple[str | tuple[int, ...], ...]
    place: Place = Place()
    dimensions: int = 0


class RerankJob(msgspec.Struct, frozen=True, array_like=True, tag="rerank"):
    """One request for scores: how well each document answers the query."""

    id: int
    query: str
    documents: tuple[str, ...]
    place: Place = Place()


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """One token's bytes and its natural log-probability."""

    token: bytes
    logprob: float


class ChosenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """The token that was chosen and the likeliest at its place, best first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...]


class Started(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The engine has begun to read the prompt, `cached_tokens` of which it still knew, after `queue_s` in its line.

    `ignored` names members of the request that have no effect with this model. `truncated_tokens` of the prompt were
    left out because the engine was told to do so with what is too long. `opening` are marks of the model's dialect that
    the prompt ends with, so that the answer stands inside of them from its first token on.
    """

    job: int
    prompt_tokens: Count
    cached_tokens: Count
    ignored: tuple[str, ...] = ()
    queue_s: float = 0.0
    truncated_tokens: Count = 0
    opening: str = ""


class Delta(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """More text of one choice. `tokens` counts what was generated since the last event, held-back text included;
    `compute_s` is what of the engine's time the choice has had so far.
    """

    job: int
    choice: Count
    text: str
    tokens: Count
    logprobs: tuple[ChosenLogprob, ...] = ()
    compute_s: float = 0.0


class Finished(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One choice is complete: `reason` is `stop` or `length`.

    `read_s` went by from the slot to the first token, `write_s` from there to the end; `compute_s` is the engine's time
    that this choice alone had, each step's being shared among those that it served.
    `shifted_tokens` of prompt and text were dropped on the way, because the context was full and shifts.
    """

    job: int
    choice: Count
    reason: str
    completion_tokens: Count
    read_s: float = 0.0
    write_s: float = 0.0
    compute_s: float = 0.0
    shifted_tokens: int = 0


class Vectors(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """All vectors of an embedding job, in the order of its inputs, as little-endian float32. They end the job."""

    job: int
    vectors: tuple[bytes, ...]
    prompt_tokens: Count
    compute_s: float = 0.0


class Scores(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """All scores of a rerank job, in the order of its documents; higher is better. They end the job."""

    job: int
    scores: tuple[float, ...]
    prompt_tokens: Count
    compute_s: float = 0.0


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The job ended without an answer. `status` 400 blames the request, at `param`; 500 blames the engine; 503 says
    that there is too much to do, and when that may be over.
    """

    job: int
    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None


AnyJob = Job | EmbedJob | RerankJob
Event = Started | Delta | Finished | Failed | Vectors | Scores
