"""What a caller is told whom none of a route's deployments can or may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import RequestError
from policies.choosing import Refused
from policies.route_rules import Capability
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from gateway.call import Call
    from policies.choosing import Rejection

RESIDENCY: Final = frozenset({Refused.REGION, Refused.DATA_CLASS})
DOES: Final = {
    Capability.TOOLS: "takes tools",
    Capability.IMAGES: "takes images",
    Capability.AUDIO: "takes or makes audio",
    Capability.FILES: "takes files",
    Capability.JSON_MODE: "answers in JSON when asked to",
    Capability.JSON_SCHEMA: "keeps to a JSON schema",
    Capability.STREAM: "streams",
    Capability.CHOICES: "gives more than one answer (n)",
    Capability.LOGPROBS: "gives logprobs",
    Capability.REASONING: "takes a reasoning effort",
    Capability.PREFILL: "goes on from an assistant message at the end",
}
_PROMPT: Final = {Endpoint.CHAT: "messages", Endpoint.COMPLETIONS: "prompt", Endpoint.RERANK: "documents"}


def unknown_model(model: str) -> RequestError:
    return RequestError(
        f"The model `{model[:200]}` does not exist or you do not have access to it.",
        status=404,
        code="model_not_found",
        param="model",
    )


def key_refused(model: str) -> RequestError:
    message = f"This key may not use the model `{model[:200]}`."
    return RequestError(message, status=403, code="model_not_allowed", param="model")


def endpoint_refused(call: Call) -> RequestError:
    message = f"The model `{call.request.model[:200]}` does not offer {call.request.endpoint}."
    return RequestError(message, code="unsupported_endpoint", param="model")


def nobody_left(call: Call, rejected: tuple[Rejection, ...]) -> RequestError:
    """Fail closed where only residency stands in the way; else what the request would have to do without."""
    reasons = {rejection.reason for rejection in rejected} - {Refused.ENDPOINT}
    model = call.request.model[:200]
    if reasons & RESIDENCY and reasons <= RESIDENCY:
        return RequestError(
            f"No deployment of `{model}` may see this request: {_required(call)} is required.",
            status=403,
            code="no_compliant_deployment",
            param="model",
        )
    if Refused.CONTEXT in reasons:
        return _too_long(call, rejected)
    message = f"No deployment of `{model}` {_missing(call, rejected)}."
    return RequestError(message, code="no_capable_deployment", param="model")


def _too_long(call: Call, rejected: tuple[Rejection, ...]) -> RequestError:
    request, needs = call.request, call.needs
    most = max(
        rejection.deployment.context_tokens or 0 for rejection in rejected if rejection.reason is Refused.CONTEXT
    )
    asked = f" and an answer of up to {needs.output_tokens}" if needs.output_tokens else ""
    return RequestError(
        f"The maximum context length of `{request.model[:200]}` is {most} tokens; this request comes to about"
        f" {needs.input_tokens}{asked}.",
        code="context_length_exceeded",
        param=_PROMPT.get(request.endpoint, "input"),
    )


def _missing(call: Call, rejected: tuple[Rejection, ...]) -> str:
    """What none of those that might answer can do, or, where each lacks something else, all that is asked."""
    lacks = [
        rejection.deployment.lacks & call.needs.capabilities
        for rejection in rejected
        if rejection.reason is Refused.CAPABILITY
    ]
    if not lacks:
        return "takes this request, by the conditions of the routes inside it"
    by_all = frozenset.intersection(*lacks)
    words = sorted(DOES[capability] for capability in by_all or frozenset.union(*lacks))
    return " or ".join(words) if by_all else f"does all that this request needs: {', '.join(words)}"


def _required(call: Call) -> str:
    requires = call.needs.requires
    return ", ".join(
        [f"region={name}" for name in sorted(requires.regions)]
        + [f"data_class={name}" for name in sorted(requires.data_classes)]
    )
