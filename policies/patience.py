"""How long an attempt may go without its first token: as stated, else as long as is usual, within bounds.

Where the call could go elsewhere, waiting long for a silent deployment costs the caller what a fallback would have
given; where it could not, giving up early costs the answer. What is usual grows with time-outs, which count as waits of
at least that long, so that a deployment which is only slow is not cut for ever.
"""

from __future__ import annotations

from typing import Final, NamedTuple

USUAL_TIMES: Final = 4.0
ELSEWHERE_MIN_S: Final = 10.0
ELSEWHERE_MAX_S: Final = 60.0
ALONE_S: Final = 60.0
REASONING_ALONE_S: Final = 300.0


class Outlook(NamedTuple):
    """What an attempt's patience goes by. `late_s`: the deployment's live 95th percentile, None before any is known.

    `elsewhere`: another candidate is left. `reasons`: the request lets the model think before it speaks.
    """

    late_s: float | None = None
    elsewhere: bool = False
    reasons: bool = False


def first_token_s(outlook: Outlook) -> float:
    """The time limit to the first token, for a route that states none."""
    if not outlook.elsewhere:
        return REASONING_ALONE_S if outlook.reasons else ALONE_S
    if outlook.reasons:
        return ELSEWHERE_MAX_S
    if outlook.late_s is None:
        return ELSEWHERE_MIN_S
    return min(ELSEWHERE_MAX_S, max(ELSEWHERE_MIN_S, USUAL_TIMES * outlook.late_s))
