"""The sixteen scenarios through a real gateway: none fails, the defaults answer but three, and resumption answers all.

`make test` runs them against a fast wall, `make test-all` against one as slow as the catalogue's, with true defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.end_to_end.failover.running import ALIGN, DEFAULTS, RESUME, WHOLE, run
from tests.end_to_end.failover.scenarios import SCALED, SCENARIOS, TRUE
from tests.end_to_end.failover.scoring import Verdict
from tests.end_to_end.failover.table import rendered
from tests.wall_faults import CUT_AFTER, TOKENS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.end_to_end.failover.running import Result, Variant
    from tests.end_to_end.failover.scenarios import Profile

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN_AFTER_COMMIT = frozenset({"S08", "S09", "S14"})
VARIANTS = (DEFAULTS, RESUME, ALIGN, WHOLE)
Results = dict[tuple[str, str], "Result"]
both_profiles = pytest.mark.parametrize(
    "profile", [SCALED, pytest.param(TRUE, marks=pytest.mark.slow)], ids=lambda profile: profile.name
)
by_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Profile], Awaitable[Results]]:
    """Everything that a profile gives, run once."""
    known: dict[str, Results] = {}

    async def results(profile: Profile) -> Results:
        if profile.name not in known:
            found = await run(profile, VARIANTS, tmp_path_factory.mktemp(profile.name))
            known[profile.name] = {(result.variant.name, result.scenario.id): result for result in found}
        return known[profile.name]

    return results


@both_profiles
@by_variant
async def test_every_scenario_is_survived(
    results_of: Callable[[Profile], Awaitable[Results]], profile: Profile, variant: Variant
) -> None:
    results = {id_: result for (name, id_), result in (await results_of(profile)).items() if name == variant.name}
    assert set(results) == {scenario.id for scenario in SCENARIOS} - set(variant.without)
    may_be_safe = BROKEN_AFTER_COMMIT if variant is DEFAULTS else frozenset()
    short = {
        id_: result.score
        for id_, result in results.items()
        if result.score.verdict is not Verdict.PASS
        and not (id_ in may_be_safe and result.score.verdict is Verdict.SAFE)
    }
    assert not short, rendered(profile, results.values())


@both_profiles
@by_variant
async def test_what_failed_is_not_billed(
    results_of: Callable[[Profile], Awaitable[Results]], profile: Profile, variant: Variant
) -> None:
    result = (await results_of(profile))[variant.name, "S16"]
    *failed, answered = sorted(result.rows, key=lambda row: int(row["attempt"]))
    assert len(failed) == len(result.seen.primary)
    assert not any(row["cost_nanousd"] or row["output_tokens"] for row in failed)
    assert answered["output_tokens"] == len(TOKENS)
    assert answered["cost_nanousd"] > 0


@both_profiles
async def test_tokens_flow_while_a_resumable_stream_lasts(
    results_of: Callable[[Profile], Awaitable[Results]], profile: Profile
) -> None:
    """Resumption is no holding back: the caller reads long before the stream breaks."""
    cut_s = CUT_AFTER * profile.timing.between_tokens_s
    call = (await results_of(profile))[RESUME.name, "S08"].seen.last
    assert call.first_s is not None
    assert call.took_s - call.first_s > cut_s / 2


@both_profiles
async def test_a_text_is_continued_where_that_is_known_to_work_and_else_begun_anew(
    results_of: Callable[[Profile], Awaitable[Results]], profile: Profile
) -> None:
    results = await results_of(profile)
    continued = [attempt.did for attempt in results[RESUME.name, "S08"].seen.spare]
    assert continued == [f"continued after {CUT_AFTER} words"]
    aligned = [attempt.did for attempt in results[RESUME.name, "S14"].seen.spare]
    assert aligned == ["answered"]
