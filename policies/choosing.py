"""Which of a route's deployments may answer a request, which first, and why not the others."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from policies.vocabulary import Deployment


class Refused(StrEnum):
    """Why a deployment is no candidate for a request. The value is what operators read, and a metric label."""

    ENDPOINT = "endpoint"
    CAPABILITY = "capability"
    CONTEXT = "context"
    REGION = "region"
    DATA_CLASS = "data_class"
    WHEN = "when"  # of a route inside the route
    COST = "cost"  # beyond the guard of a spill
    PRICE = "price"  # unknown, where a budget has to count it


class Rejection(NamedTuple):
    """One deployment that was ruled out; `detail` names what it lacks, in a few words."""

    deployment: Deployment
    reason: Refused
    detail: str = ""


class Choice(NamedTuple):
    """The candidates of one call in the order to try, and how that order came about.

    The first `primaries` are targets, the rest declared fallbacks. `scores` are the strategy's own numbers by
    deployment id, lower is better, empty where it has none; `why` says what decided, in a few words. `context_fallbacks` and
    `content_fallbacks` are tried only after a failure of that kind.
    """

    candidates: tuple[Deployment, ...]
    primaries: int
    rejected: tuple[Rejection, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()
    why: str = ""
    context_fallbacks: tuple[Deployment, ...] = ()
    content_fallbacks: tuple[Deployment, ...] = ()
