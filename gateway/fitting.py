"""Who has room for a prompt. Its bytes bound it cheaply, and before anyone is ruled out by that it is counted.

A count is exact for the text that OpenAI's models see, and above it for others. Nobody is refused by what may be too
high: where all are ruled out, those that may just have room are kept, and their upstream says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.prompts.bounds import family_of
from gateway.prompts.estimates import COUNTED_BYTES, per_text, quick_bound
from gateway.prompts.parts import is_elsewhere
from policies.capabilities import filter_candidates, lacking
from policies.choosing import Refused
from policies.route_rules import Capability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.schema import InferenceRequest
    from gateway.call import Call
    from policies.choosing import Rejection
    from policies.matching import Way
    from policies.route_rules import Needs
    from policies.vocabulary import Deployment

MEDIA: Final = frozenset({Capability.IMAGES, Capability.AUDIO, Capability.FILES})
WORTH_COUNTING: Final = 2
"""Where nobody else could answer, a prompt is counted only from so many bytes per token of the window: most have four,
and one that does not fit after all is refused by its upstream at once.
"""
SURE_PERCENT: Final = {100: 90}
SURE_PERCENT_OTHERS: Final = 25
"""The share of a count that is certain, by the factor that the count of a family is raised by."""


class Counts(Protocol):
    """What `gateway.prompts.estimates.Estimator` says of prompts."""

    async def exact(self, request: InferenceRequest, model: str, context_tokens: int | None = None) -> int: ...


class Fit(NamedTuple):
    """Who can and may answer, who not, and what the prompt was found to come to."""

    capable: tuple[Deployment, ...]
    rejected: tuple[Rejection, ...]
    input_tokens: int


def may_be_too_long(way: Way, needs: Needs, candidates: tuple[Deployment, ...]) -> bool:
    """Whether a prompt is worth counting before it is held against windows."""
    least = way.context_tokens_least
    if least is None:
        return False
    tokens = needs.input_tokens + (needs.output_tokens or 0)
    return tokens > least and (len(candidates) > 1 or tokens > WORTH_COUNTING * least)


async def fit(call: Call, way: Way, candidates: tuple[Deployment, ...], counts: Counts) -> Fit:
    """`filter_candidates`, with the prompt counted as each candidate counts it. Where nobody has room for all of the
    answer, those are kept that have room for the prompt; where nobody has, those of which that is not certain.
    """
    request, needs = call.request, call.needs
    models = {deployment.model for deployment in candidates if deployment.context_tokens is not None}
    if needs.capabilities & MEDIA or is_elsewhere(request):
        # What pictures and files come to, only their upstream knows: the published bounds are for budgets.
        return _judged(way, candidates, needs._replace(output_tokens=None), dict.fromkeys(models, 0))
    counted = {model: per_text(request, await counts.exact(request, model)) for model in models}
    needs = needs._replace(input_tokens=min(needs.input_tokens, max(counted.values(), default=needs.input_tokens)))
    found = _judged(way, candidates, needs, counted)
    if not found.capable and needs.output_tokens:
        needs = needs._replace(output_tokens=None)
        found = _judged(way, candidates, needs, counted)
    if found.capable:
        return found
    least = {model: _at_least(request, model, counted[model]) for model in models}
    found = _judged(way, candidates, needs, least)
    return found._replace(rejected=tuple([_by_least(refused) for refused in found.rejected]))


def _judged(way: Way, candidates: tuple[Deployment, ...], needs: Needs, counted: Mapping[str, int]) -> Fit:
    capable: list[Deployment] = []
    rejected: list[Rejection] = []
    for deployment in candidates:
        own = needs._replace(input_tokens=counted.get(deployment.model, needs.input_tokens))
        refused = lacking(way.route, deployment, own)
        if refused is None:
            capable.append(deployment)
        else:
            rejected.append(refused)
    if not any(refused.reason is Refused.CONTEXT for refused in rejected):
        return Fit(*filter_candidates(way.route, candidates, needs._replace(input_tokens=0)), needs.input_tokens)
    if all(deployment.id in way.spared for deployment in capable):
        capable.clear()
    return Fit(tuple(capable), tuple(rejected), needs.input_tokens)


def _by_least(refused: Rejection) -> Rejection:
    return refused._replace(detail=f"at least {refused.detail}") if refused.reason is Refused.CONTEXT else refused


def _at_least(request: InferenceRequest, model: str, counted: int) -> int:
    """What of a count is certain: nothing where bytes were taken for tokens, for want of time or because it is huge."""
    if request.body_bytes > COUNTED_BYTES or counted >= per_text(request, quick_bound(request)):
        return 0
    return counted * SURE_PERCENT.get(family_of(model).percent, SURE_PERCENT_OTHERS) // 100
