"""Every name on a span, OpenTelemetry's and our own, in one place: backends and people's queries depend on them.

OpenTelemetry renames its own from version to version; `Wording` says which ones a policy asks for, and nothing outside
this module knows that there are several. A test holds the names to the published package and table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from policies.vocabulary import Endpoint


class Attr:
    """Span attributes. `gen_ai.*` are OpenTelemetry's names as of v1.41, the rest our own."""

    HTTP_METHOD = "http.request.method"
    HTTP_ROUTE = "http.route"
    HTTP_STATUS = "http.response.status_code"
    SERVER_ADDRESS = "server.address"
    SERVER_PORT = "server.port"
    ERROR_TYPE = "error.type"
    OPERATION = "gen_ai.operation.name"
    PROVIDER = "gen_ai.provider.name"
    REQUEST_MODEL = "gen_ai.request.model"
    REQUEST_STREAM = "gen_ai.request.stream"
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
    REQUEST_TEMPERATURE = "gen_ai.request.temperature"
    REQUEST_TOP_P = "gen_ai.request.top_p"
    REQUEST_TOP_K = "gen_ai.request.top_k"
    REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
    REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
    REQUEST_SEED = "gen_ai.request.seed"
    REQUEST_CHOICES = "gen_ai.request.choice.count"
    RESPONSE_ID = "gen_ai.response.id"
    RESPONSE_MODEL = "gen_ai.response.model"
    FINISH_REASONS = "gen_ai.response.finish_reasons"
    FIRST_CHUNK_S = "gen_ai.response.time_to_first_chunk"
    INPUT_TOKENS = "gen_ai.usage.input_tokens"
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
    CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
    CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
    REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
    USAGE_COST = "gen_ai.usage.cost"
    USAGE_COST_AMOUNT = "gen_ai.usage.cost.amount"
    USAGE_COST_CURRENCY = "gen_ai.usage.cost.currency"
    USAGE_COST_SOURCE = "gen_ai.usage.cost.source"
    REQUEST_ID = "pointsman.request.id"
    ROUTE = "pointsman.route"
    ORG = "pointsman.org"
    TEAM = "pointsman.team"
    KEY_ID = "pointsman.key.id"
    MODEL_REQUESTED = "pointsman.model.requested"
    ATTEMPTS = "pointsman.attempts"
    FALLBACK = "pointsman.fallback"
    OUTCOME = "pointsman.outcome"
    DECISION = "pointsman.decision"
    SAMPLED_BY = "pointsman.sampled.by"
    REPLAY_OF = "pointsman.replay_of"
    STRATEGY = "pointsman.route.strategy"
    CANDIDATES = "pointsman.route.candidates"
    SCORES = "pointsman.route.scores"
    REJECTIONS = "pointsman.route.rejections"
    TOTAL_INPUT_TOKENS = "pointsman.usage.input_tokens"
    TOTAL_OUTPUT_TOKENS = "pointsman.usage.output_tokens"
    OUR_CACHED_TOKENS = "pointsman.usage.cached_input_tokens"
    OUR_CACHE_WRITE_TOKENS = "pointsman.usage.cache_write_tokens"
    OUR_REASONING_TOKENS = "pointsman.usage.reasoning_tokens"
    ESTIMATED = "pointsman.usage.estimated"
    CACHE_WRITE_1H_TOKENS = "pointsman.usage.cache_write_1h_tokens"
    INPUT_AUDIO_TOKENS = "pointsman.usage.input_audio_tokens"
    CACHED_AUDIO_TOKENS = "pointsman.usage.cached_audio_tokens"
    INPUT_IMAGE_TOKENS = "pointsman.usage.input_image_tokens"
    OUTPUT_AUDIO_TOKENS = "pointsman.usage.output_audio_tokens"
    OUTPUT_IMAGE_TOKENS = "pointsman.usage.output_image_tokens"
    SEARCHES = "pointsman.usage.searches"
    DEPLOYMENT = "pointsman.deployment"
    PROVIDER_NAME = "pointsman.provider"
    ATTEMPT = "pointsman.attempt"
    ATTEMPT_KIND = "pointsman.attempt.kind"
    WAITED_S = "pointsman.waited"
    COST_TOTAL = "pointsman.cost.total"
    COST_INPUT = "pointsman.cost.input"
    COST_CACHED_INPUT = "pointsman.cost.cached_input"
    COST_CACHE_WRITE = "pointsman.cost.cache_write"
    COST_OUTPUT = "pointsman.cost.output"
    COST_REQUEST = "pointsman.cost.request"
    COST_TOOL = "pointsman.cost.tool"
    COST_UPSTREAM = "pointsman.cost.upstream"
    COST_CURRENCY = "pointsman.cost.currency"
    COST_SOURCE = "pointsman.cost.source"
    COST_UNPRICED = "pointsman.cost.unpriced_reason"
    COST_PER_MTOK = "pointsman.cost.per_mtok_effective"
    PRICE_ID = "pointsman.price.id"
    PRICE_VERSION = "pointsman.price.version"
    PRICE_AS_OF = "pointsman.price.as_of"
    PRICE_TIER = "pointsman.price.tier_above_tokens"
    PRICE_SERVICE = "pointsman.price.service"
    PRICE_DISCOUNT = "pointsman.price.discount"
    PRICE_MARGIN = "pointsman.price.margin"
    PRICE_INPUT = "pointsman.price.input_per_mtok"
    PRICE_CACHED_INPUT = "pointsman.price.cached_input_per_mtok"
    PRICE_CACHE_WRITE = "pointsman.price.cache_write_per_mtok"
    PRICE_CACHE_WRITE_1H = "pointsman.price.cache_write_1h_per_mtok"
    PRICE_OUTPUT = "pointsman.price.output_per_mtok"
    PRICE_REASONING = "pointsman.price.reasoning_per_mtok"
    PRICE_INPUT_AUDIO = "pointsman.price.input_audio_per_mtok"
    PRICE_CACHED_AUDIO = "pointsman.price.cached_audio_per_mtok"
    PRICE_INPUT_IMAGE = "pointsman.price.input_image_per_mtok"
    PRICE_OUTPUT_AUDIO = "pointsman.price.output_audio_per_mtok"
    PRICE_OUTPUT_IMAGE = "pointsman.price.output_image_per_mtok"
    PRICE_REQUEST = "pointsman.price.request"
    PRICE_SEARCH = "pointsman.price.search"
    GPU_S = "pointsman.local.gpu_seconds"
    INPUT_MESSAGES = "gen_ai.input.messages"
    OUTPUT_MESSAGES = "gen_ai.output.messages"
    SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
    TOOL_DEFINITIONS = "gen_ai.tool.definitions"
    CONTENT_LEVEL = "pointsman.content.level"
    CONTENT_INPUT_HASH = "pointsman.content.input_hash"
    CONTENT_OUTPUT_HASH = "pointsman.content.output_hash"
    ENGINE_QUEUE_S = "pointsman.engine.queue"
    ENGINE_READ_S = "pointsman.engine.prefill"
    ENGINE_WRITE_S = "pointsman.engine.decode"
    ENGINE_COMPUTE_S = "pointsman.engine.compute"
    CACHE_RESULT = "pointsman.cache.result"
    CACHE_LEVEL = "pointsman.cache.level"
    CACHE_BYPASS = "pointsman.cache.bypass_reason"
    CACHE_CLOSED = "pointsman.cache.exact_only_reason"
    CACHE_ENTRY = "pointsman.cache.entry"
    CACHE_AGE_S = "pointsman.cache.age"
    CACHE_RISK = "pointsman.cache.risk"
    CACHE_BAR = "pointsman.cache.risk_bar"
    CACHE_SIMILARITY = "pointsman.cache.similarity"
    CACHE_VETO = "pointsman.cache.veto"
    CACHE_JOINED = "pointsman.cache.joined"
    CACHE_JUDGED = "pointsman.cache.judged"
    CACHE_LOOKUP_S = "pointsman.cache.lookup"
    CACHE_SAVED_TOKENS = "pointsman.cache.saved_tokens"
    COST_SAVED = "pointsman.cost.saved"
    LEDGER_ROWS = "pointsman.ledger.rows"


class Mark:
    """The stages that take time, as `Call.marks` names what they have done; each is a span of its own where kept."""

    AUTH = "pointsman.auth"
    READ = "pointsman.read"
    REPLAY = "pointsman.idempotency"
    ROUTE = "pointsman.route"
    LIMITS = "pointsman.ratelimit"
    CACHE = "pointsman.cache.lookup"


class Happened:
    """Events on spans."""

    FIRST_CHUNK = "pointsman.first_chunk"
    WAITED = "pointsman.waited"
    FURTHER = "pointsman.further_attempt"


LEDGER_WRITE: Final = "pointsman.ledger.write"
CACHE_STORE: Final = "pointsman.cache.store"
ERRAND: Final = "pointsman.cache."
"""Begins the name of the spans of calls that the cache makes by itself: its judges, embeddings and shadow checks."""
ENDED_EARLY: Final = "error"
"""The finish reason of a stream that broke off."""


class Semconv(StrEnum):
    """Which version of OpenTelemetry's names for generative AI is spoken."""

    V1_41 = "1.41"  # the last that was published with a version
    LATEST = "latest"  # what the repository of those names has had since, as of 2026-11


class CostNames(StrEnum):
    """How an attempt's cost is called beside `pointsman.cost.*`: there is no convention yet, only two customs."""

    NONE = "none"
    DEFACTO = "defacto"  # gen_ai.usage.cost, which Langfuse and others read
    PR443 = "pr443"  # gen_ai.usage.cost.{amount,currency,source}, as proposed to OpenTelemetry


class UsageShown(StrEnum):
    """Whether attempts carry `gen_ai.usage.*`; callers whose own spans do would have it counted twice."""

    ALWAYS = "always"
    NEVER = "never"
    WHEN_ROOT = "when_root"  # only where the trace begins here


class Wording(NamedTuple):
    """What a policy says of names."""

    semconv: Semconv = Semconv.V1_41
    cost: CostNames = CostNames.DEFACTO
    usage: UsageShown = UsageShown.ALWAYS

    def of(self, name: str) -> str:
        """What this version calls what is called `name` here."""
        return _RENAMED.get(name, name) if self.semconv is Semconv.LATEST else name

    @property
    def has_modalities(self) -> bool:
        """Whether tokens of sound and pictures have names of OpenTelemetry's."""
        return self.semconv is Semconv.LATEST


_RENAMED: Final = {Attr.CACHE_WRITE_TOKENS: "gen_ai.usage.cache_write.input_tokens"}

MODALITIES: Final = {
    Attr.INPUT_AUDIO_TOKENS: "gen_ai.usage.audio.input_tokens",
    Attr.CACHED_AUDIO_TOKENS: "gen_ai.usage.audio.cache_read.input_tokens",
    Attr.INPUT_IMAGE_TOKENS: "gen_ai.usage.image.input_tokens",
    Attr.OUTPUT_AUDIO_TOKENS: "gen_ai.usage.audio.output_tokens",
    Attr.OUTPUT_IMAGE_TOKENS: "gen_ai.usage.image.output_tokens",
}

_PROVIDERS: Final = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "x-ai": "x_ai",
    "hosted_vllm": "vllm",
}


def provider_name(known_as: str) -> str:
    """OpenTelemetry's word for a provider that price tables know by this one; others keep theirs, as is allowed."""
    return _PROVIDERS.get(known_as, known_as)


# The conventions have no name for reranking yet and allow others.
_OPERATIONS: Final = {
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EMBEDDINGS: "embeddings",
    Endpoint.RERANK: "rerank",
}


def operation_of(endpoint: Endpoint) -> str:
    """What OpenTelemetry calls that which is asked for."""
    return _OPERATIONS.get(endpoint, "chat")


class Metric:
    """Metrics as OpenTelemetry names them, as of v1.41; what scrapes are told has names of our own, in `catalogue`."""

    DURATION = "gen_ai.client.operation.duration"
    FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
    PER_TOKEN = "gen_ai.server.time_per_output_token"  # noqa: S105 - no secret
    TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - as above
    TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - as above


_METRICS: Final = {
    "pointsman_upstream_duration_seconds": Metric.DURATION,
    "pointsman_time_to_first_token_seconds": Metric.FIRST_CHUNK,
    "pointsman_time_per_output_token_seconds": Metric.PER_TOKEN,
}
_METRICS_LATEST: Final = {
    Metric.DURATION: "gen_ai.client.inference.duration",
    Metric.FIRST_CHUNK: "gen_ai.client.inference.time_to_first_chunk",
}
_USAGE_LATEST: Final = "gen_ai.client.inference.usage."
_SIZES_LATEST: Final = "gen_ai.client.inference.operation."
_TOKENS_LATEST: Final = {
    "input": "input_tokens",
    "cached_input": "cache_read.input_tokens",
    "cache_write_input": "cache_write.input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning.output_tokens",
}


class NamedMetric(NamedTuple):
    """What a metric of our own is called besides, in a version of OpenTelemetry's names: of each label set."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()


def metric_name(ours: str, type_: str, semconv: Semconv) -> NamedMetric | None:
    """OpenTelemetry's metric for one of ours; `type_` is the kind of tokens where it has such a label. None where that
    version has none: it counts tokens as sizes of calls in the one, and in the other as what was used as well.
    """
    is_latest = semconv is Semconv.LATEST
    if ours == "pointsman_tokens_total":
        return NamedMetric(_USAGE_LATEST + _TOKENS_LATEST[type_]) if is_latest and type_ in _TOKENS_LATEST else None
    if ours == "pointsman_attempt_tokens":
        if is_latest:
            return NamedMetric(f"{_SIZES_LATEST}{type_}_tokens")
        return NamedMetric(Metric.TOKEN_USAGE, ((Metric.TOKEN_TYPE, type_),))
    name = _METRICS.get(ours)
    return None if name is None else NamedMetric(_METRICS_LATEST.get(name, name) if is_latest else name)
