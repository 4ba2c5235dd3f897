"""What a failure means: what may be done about it, and whose fault it is.

This is the one rule table of what may be retried where; `attempts` and `breaker` read it and add time and state.
Codes come before statuses, since an upstream that says `content_filter` under status 500 still means the request.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from policies.route_rules import Capability
from policies.vocabulary import FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.vocabulary import Failure


class Remedy(StrEnum):
    """What a failure leaves open, as long as nothing of the answer has reached the caller."""

    AGAIN = "again"  # the same deployment first, then elsewhere
    MOVE = "move"  # elsewhere first; the same deployment only where there is no elsewhere
    LEAVE = "leave"  # elsewhere only: this deployment will not do better
    DECLARED = "declared"  # only a fallback that the route declares: another model may take what this one cannot
    CONTEXT = "context"  # only those declared for what is too long, else a declared fallback
    CONTENT = "content"  # only those declared for what others refuse for its content
    NEVER = "never"  # the request itself is to blame, or there is no time left


BY_KIND: Final[Mapping[FailureKind, Remedy]] = {
    FailureKind.CONNECT: Remedy.AGAIN,
    FailureKind.POOL: Remedy.LEAVE,  # it has waited for a connection already; a second wait helps nobody
    FailureKind.RESET: Remedy.AGAIN,
    FailureKind.STATUS: Remedy.LEAVE,
    FailureKind.BAD_RESPONSE: Remedy.MOVE,
    FailureKind.TRUNCATED: Remedy.MOVE,
    FailureKind.IN_BAND: Remedy.MOVE,
    FailureKind.FIRST_TOKEN: Remedy.MOVE,
    FailureKind.IDLE: Remedy.MOVE,
    FailureKind.WRITE: Remedy.MOVE,
    FailureKind.TOTAL: Remedy.NEVER,
    FailureKind.LIMITED: Remedy.LEAVE,  # who waits for a limit waits in front of it, not between attempts
    FailureKind.BUSY: Remedy.LEAVE,  # it has said when to come back, and that is later than this call can wait
    FailureKind.CRASHED: Remedy.MOVE,  # it may be what killed the worker: once more there at most, and then alone
    FailureKind.LOST: Remedy.MOVE,  # it was not even begun
}

BY_STATUS: Final[Mapping[int, Remedy]] = {
    400: Remedy.NEVER,
    401: Remedy.LEAVE,
    402: Remedy.LEAVE,  # the provider's bill for us, not ours for the caller
    403: Remedy.LEAVE,
    404: Remedy.DECLARED,
    408: Remedy.AGAIN,
    413: Remedy.NEVER,
    422: Remedy.NEVER,
    429: Remedy.AGAIN,
    500: Remedy.AGAIN,
    501: Remedy.LEAVE,
    502: Remedy.AGAIN,
    503: Remedy.AGAIN,
    504: Remedy.AGAIN,
    529: Remedy.AGAIN,
}

# An error inside a stream comes under status 200 and often names none; these words are what it has instead.
STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "BadRequestError": 400,
    "INVALID_ARGUMENT": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "RESOURCE_EXHAUSTED": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "overloaded_error": 529,
}

CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})
CONTENT_CODES: Final = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
# An engine elsewhere says this of a request that was given its second try there.
ENGINE_CRASHED: Final = "engine_crashed"
QUOTA_CODES: Final = frozenset(
    {"insufficient_quota", "enforced_spend_limit_reached", "billing_hard_limit_reached", "billing_not_active"}
)
REQUEST_CODES: Final = CONTEXT_CODES | CONTENT_CODES
REQUEST_STATUSES: Final = frozenset({400, 404, 413, 422})
CREDENTIAL_STATUSES: Final = frozenset({401, 402, 403})
# 403 also stands for one model, one region or one prompt, so it takes a word about the key to blame the key: else a
# single caller could set aside every deployment that shares it.
CREDENTIAL_CODES: Final = frozenset(
    {"authentication_error", "invalid_api_key", "account_deactivated", "organization_deactivated"}
)
WAIT_NAMED_MAX_S: Final = 86_400.0

# What servers say no with when a model lacks something. Evidence is a word of refusal beside the member or the thing
# refused: a 400 that only finds fault with a tool's schema would meet the same fault elsewhere.
CAPABILITY_STATUSES: Final = frozenset({400, 404, 422})
REFUSAL: Final = re.compile(r"(?i)support|not available|not allowed|unrecognized|unknown parameter|requires? --")
REFUSAL_CODES: Final = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
CAPABILITY_WORDS: Final[Mapping[Capability, re.Pattern[str]]] = {
    Capability.TOOLS: re.compile(r"(?i)\btools?\b|tool[_ -](?:use|choice|call)|function[_ -]call"),
    Capability.IMAGES: re.compile(r"(?i)\bimages?\b|image_url|\bvision\b|multi-?modal"),
    Capability.AUDIO: re.compile(r"(?i)\baudio\b"),
    Capability.FILES: re.compile(r"(?i)\bfiles?\b|\bpdf\b"),
    Capability.JSON_MODE: re.compile(r"(?i)response_format|json[_ ](?:mode|object)|structured output"),
    Capability.JSON_SCHEMA: re.compile(r"(?i)response_format|json_schema|structured output"),
    Capability.STREAM: re.compile(r"(?i)\bstream(?:ing)?\b"),
    Capability.CHOICES: re.compile(r"(?i)[\"'`]n[\"'`]|\bn\s*[>=]|multiple (?:choices|completions)"),
    Capability.LOGPROBS: re.compile(r"(?i)log_?probs"),
    Capability.REASONING: re.compile(r"(?i)\breasoning|\bthinking\b"),
    Capability.PREFILL: re.compile(r"(?i)\bprefill|continue_final_message|last message"),
}
CAPABILITY_BY_PARAM: Final[Mapping[str, frozenset[Capability]]] = {
    "tools": frozenset({Capability.TOOLS}),
    "tool_choice": frozenset({Capability.TOOLS}),
    "parallel_tool_calls": frozenset({Capability.TOOLS}),
    "functions": frozenset({Capability.TOOLS}),
    "response_format": frozenset({Capability.JSON_MODE, Capability.JSON_SCHEMA}),
    "logprobs": frozenset({Capability.LOGPROBS}),
    "top_logprobs": frozenset({Capability.LOGPROBS}),
    "n": frozenset({Capability.CHOICES}),
    "stream": frozenset({Capability.STREAM}),
    "stream_options": frozenset({Capability.STREAM}),
    "reasoning_effort": frozenset({Capability.REASONING}),
    "reasoning": frozenset({Capability.REASONING}),
    "audio": frozenset({Capability.AUDIO}),
    "modalities": frozenset({Capability.AUDIO}),
}


def remedy(failure: Failure) -> Remedy:
    """What may be done about `failure`, by its code, else its status, else its kind."""
    code = failure.code
    if code is not None:
        if code in CONTENT_CODES:
            return Remedy.CONTENT
        if code in CONTEXT_CODES:
            return Remedy.CONTEXT
        if out_of_quota(failure) or (code == ENGINE_CRASHED and failure.kind is not FailureKind.CRASHED):
            return Remedy.LEAVE
    status = status_of(failure)
    if status is None:
        return BY_KIND[failure.kind]
    # Statuses that nobody wrote a rule for: a 5xx is an upstream in trouble, a 4xx is about the request.
    return BY_STATUS.get(status) or (Remedy.MOVE if status >= 500 else Remedy.NEVER)


def status_of(failure: Failure) -> int | None:
    """The error status that the upstream gave, in its head or inside its stream; None where it did not say no."""
    if failure.kind is FailureKind.STATUS or (failure.kind is FailureKind.IN_BAND and failure.status):
        status = failure.status
    elif failure.kind is FailureKind.IN_BAND:
        status = STATUS_BY_CODE.get(failure.code or "")
    else:
        return None
    return status if status is not None and status >= 400 else None


def out_of_quota(failure: Failure) -> bool:
    """The provider's account is spent; unlike a rate limit, no wait is named because none helps."""
    return failure.code in QUOTA_CODES and not named_wait_s(failure)


def blames_request(failure: Failure) -> bool:
    """The deployment is well and said no to this request."""
    if failure.code in REQUEST_CODES:
        return True
    return status_of(failure) is not None and remedy(failure) in (Remedy.NEVER, Remedy.DECLARED)


def refused_capabilities(failure: Failure) -> frozenset[Capability]:
    """What the deployment says its model cannot do; empty where it finds fault with something else."""
    if status_of(failure) not in CAPABILITY_STATUSES or failure.code in REQUEST_CODES:
        return frozenset()
    if failure.code not in REFUSAL_CODES and not REFUSAL.search(failure.message):
        return frozenset()
    root = re.split(r"[.\[]", failure.param or "", maxsplit=1)[0]
    named = CAPABILITY_BY_PARAM.get(root, frozenset())
    return named | {capability for capability, words in CAPABILITY_WORDS.items() if words.search(failure.message)}


def blames_credential(failure: Failure) -> bool:
    """The provider refuses the gateway's own credential or account: every deployment that shares it is struck."""
    if failure.code in REQUEST_CODES:
        return False
    status = status_of(failure)
    if status == 403:
        return out_of_quota(failure) or failure.code in CREDENTIAL_CODES
    return out_of_quota(failure) or status in CREDENTIAL_STATUSES


def named_wait_s(failure: Failure) -> float:
    """The upstream's `Retry-After`, at most a day; 0 where it named none, or nonsense (negative, not a number)."""
    wait_s = failure.retry_after_s
    return min(wait_s, WAIT_NAMED_MAX_S) if wait_s is not None and wait_s > 0 else 0.0
