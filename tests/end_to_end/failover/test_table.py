from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.failover.running import DEFAULTS, RESUME, WHOLE, Result
from tests.end_to_end.failover.scenarios import SCALED, SCENARIOS
from tests.end_to_end.failover.scoring import Ended, Heard, Seen, score
from tests.end_to_end.failover.table import rendered
from tests.wall_faults import TEXT, Attempt

if TYPE_CHECKING:
    from tests.end_to_end.failover.running import Variant

GOOD = Heard(Ended.ANSWERED, 1.25, text=TEXT, done=True)
CUT = Heard(Ended.ERROR, 0.5, text=TEXT[:9], error="upstream_incomplete")
PASSED_OFF = Heard(Ended.ANSWERED, 0.5, text=TEXT[:9], done=True)


def result(variant: Variant, call: Heard) -> Result:
    scenario = SCENARIOS[7]
    attempt = Attempt(0.0, "m", 1, is_stream=True, continues="", prompt_words=1)
    seen = Seen((call,), (attempt,), (), "spare")
    return Result(scenario, variant, seen, score(scenario.checks(SCALED.limits), seen), [])


def test_a_row_says_verdict_attempts_time_and_why() -> None:
    text = rendered(SCALED, [result(DEFAULTS, CUT), result(RESUME, GOOD), result(WHOLE, PASSED_OFF)])
    (row,) = [line for line in text.splitlines() if line.startswith("| S08")]
    title, defaults, resume, whole = row.strip("| ").split(" | ")
    assert title == "S08 Stream cut in the middle"
    assert defaults == "safe (1p/0f, 0.5 s; upstream_incomplete)"
    assert resume == "pass (1p/0f, 1.2 s)"
    assert whole.startswith("**fail** (1p/0f, 0.5 s; passed off what was not whole")
    assert "| all | 1 safe | 1 pass | 1 fail |" in text
