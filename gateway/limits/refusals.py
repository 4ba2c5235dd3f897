"""What a caller is told whom a limit stops: "you are over" with the limit, its holder and the wait, or "it is full".

Only limits that the caller came under are named, and of amounts only what the caller's own holders have used.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.errors import LimitError, RequestError
from gateway.limits.headers import go_duration
from gateway.signals.telemetry import NANO
from policies.limits import remaining
from policies.vocabulary import Period, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.limits.plans import Term
    from gateway.limits.waiting_room import QueueRefusal
    from policies.limits import Ask, Denied
    from policies.vocabulary import Limit

SOON_S: Final = 1.0
"""Where only calls under way can make room, nobody knows when; callers are asked back after the shortest wait."""
TOO_LARGE: Final = "request_too_large_for_limit"
PER_CALL: Final = frozenset({Resource.REQUESTS, Resource.CONCURRENT})
WORDS: Final = {
    Resource.REQUESTS: "requests",
    Resource.TOKENS: "tokens",
    Resource.INPUT_TOKENS: "input tokens",
    Resource.OUTPUT_TOKENS: "output tokens",
    Resource.CONCURRENT: "calls at once",
}
WINDOWS: Final = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86_400.0: "day"}


def named(terms: Sequence[Term], denied: Denied) -> Term:
    """The limit to name of those that are short: a budget first, since no wait of seconds helps there."""
    short = [terms[number] for number in denied.short]
    return next((term for term in short if term.limit.resource is Resource.COST), short[0])


def over(terms: Sequence[Term], asks: Sequence[Ask], denied: Denied) -> LimitError:
    """429: the caller has used up a limit."""
    term = named(terms, denied)
    number = terms.index(term)
    ask, resource = asks[number], term.limit.resource
    left = remaining(ask, denied.accounts[number])
    wait_s = denied.wait_s
    when = "Try again when a call has ended." if wait_s is None else f"Try again in {go_duration(ceil(wait_s))}."
    message = f"{_limit(term)} is reached. {when}"
    if resource not in PER_CALL:
        asked = f"{_amount(resource, left)} left, {_amount(resource, ask.amount)} asked for"
        message = f"{_limit(term)} is reached: {asked}. {when}"
    if resource is Resource.COST:
        quota = LimitError.QUOTA
        return LimitError(message, status=429, type_=quota, code=quota, retry_after_s=wait_s)
    retry_after_s = SOON_S if wait_s is None else wait_s
    return LimitError(message, status=429, type_=resource, code="rate_limit_exceeded", retry_after_s=retry_after_s)


def not_in_time(refusal: QueueRefusal, terms: Sequence[Term], asks: Sequence[Ask], denied: Denied | None) -> LimitError:
    """429: the queue is full, or the call's turn did not come in time. A budget's refusal stays what it is."""
    if denied is not None and named(terms, denied).limit.resource is Resource.COST:
        return over(terms, asks, denied)
    what = "Too many calls wait for this limit already." if refusal.full else "The wait for this limit took too long."
    when = f"Try again in {go_duration(ceil(refusal.retry_after_s))}."
    resource = Resource.REQUESTS if denied is None else named(terms, denied).limit.resource
    limit = "" if denied is None else f"{_limit(named(terms, denied))} is reached. "
    return LimitError(
        f"{limit}{what} {when}",
        status=429,
        type_=resource,
        code="rate_limit_exceeded",
        retry_after_s=refusal.retry_after_s,
    )


def too_large(term: Term, amount: int, added: int | None) -> RequestError:
    """400: no wait would help. `added` is the output limit that the gateway set where the caller set none."""
    resource = term.limit.resource
    message = f"{_limit(term)} can never take this request, which may come to {_amount(resource, amount)}."
    if added is not None:
        message += f" Without a limit of its own its answer counts as {added} tokens; send a smaller one."
    return RequestError(message, code=TOO_LARGE)


def uncountable() -> RequestError:
    return RequestError("The request asks for more tokens than can be counted.", code=TOO_LARGE)


def unpriced(model: str) -> RequestError:
    """403: a price must be known for this call, and no candidate has one."""
    return RequestError(
        f"What `{model}` costs is not known, and the gateway's policy does not allow this call at an unknown price.",
        status=403,
        code="price_unknown",
    )


def full(wait_s: float | None) -> LimitError:
    """503: every deployment that could answer is at a limit, whoever used it up."""
    return LimitError(
        "The service is full: every deployment for this model is at its limit.",
        status=503,
        type_="api_error",
        code="service_full",
        retry_after_s=SOON_S if wait_s is None else wait_s,
    )


def unavailable(code: str, message: str) -> LimitError:
    """503: what must be asked before a call may run cannot be asked."""
    return LimitError(message, status=503, type_="api_error", code=code, retry_after_s=SOON_S)


def limits_unavailable() -> LimitError:
    return unavailable("limits_unavailable", "The gateway cannot check its limits at the moment.")


def ledger_unavailable() -> LimitError:
    return unavailable("ledger_unavailable", "The gateway cannot write down what calls cost at the moment.")


def reservation_lost() -> LimitError:
    return unavailable("reservation_lost", "The gateway lost this call's place under its limits and had to end it.")


def _limit(term: Term) -> str:
    limit = term.limit
    return f"The limit of {_quota(limit)} for the {limit.scope} '{term.holder}'"


def _quota(limit: Limit) -> str:
    window = limit.window
    if window is None:
        return _amount(limit.resource, limit.amount)
    per = window.value if isinstance(window, Period) else WINDOWS.get(window, go_duration(window))
    return f"{_amount(limit.resource, limit.amount)} per {per}"


def _amount(resource: Resource, amount: int) -> str:
    if resource is Resource.COST:
        dollars, _, rest = f"{amount / NANO:.6f}".rstrip("0").partition(".")
        return f"${dollars}.{rest:0<2}"
    return f"{amount} {WORDS[resource]}"
