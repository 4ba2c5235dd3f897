from __future__ import annotations

from dataclasses import replace

import pytest

from policies.choosing import Asked, Line, Refused, Seen
from policies.route_rules import SpillRules
from policies.vocabulary import Route, Strategy
from tests.policies.a_choice import NEEDS, Choosing, aside, asked, deployment, ids, priced, quick


def spilling(wait_max_s: float = 1.0, cost_max_nanousd: int | None = None) -> Route:
    targets = (deployment("local", 0, 0), deployment("near", 1, 1), deployment("far", 50, 50), deployment("dark"))
    return replace(priced(Strategy.SPILL, *targets), spill=SpillRules(wait_max_s, cost_max_nanousd))


BUSY = quick(2.0, in_flight=6, queued=4)


def test_the_first_serves_while_it_can_in_time() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": quick(9.0, in_flight=4, queued=0)}
    assert ids(choosing.choose()) == "local near far dark"


def test_a_queue_that_is_too_long_sends_the_call_on() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": BUSY}
    choice = choosing.choose()
    assert ids(choice) == "near local far dark"
    assert dict(choice.scores)["local"] == pytest.approx((4 + 1) * 2.0 / 2)
    assert "too long" in choice.why


def test_what_does_not_tell_its_queue_is_as_late_as_it_was() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": quick(3.0, in_flight=1)}
    assert choosing.leaders(1) == "near"
    choosing.live = {"local": quick(3.0)}
    assert choosing.leaders(1) == "local"


def test_beyond_the_guard_there_are_no_candidates() -> None:
    choosing = Choosing(spilling(cost_max_nanousd=10_000_000))
    choice = choosing.choose(asked(choosing.route))
    assert ids(choice) == "local near"
    assert [(r.deployment.id, r.reason) for r in choice.rejected] == [("far", Refused.COST), ("dark", Refused.PRICE)]


def test_where_the_guard_refuses_all_the_call_stays_and_that_is_told() -> None:
    choosing = Choosing(spilling(cost_max_nanousd=0))
    choosing.live = {"local": BUSY}
    choice = choosing.choose(asked(choosing.route))
    assert ids(choice) == "local"
    assert "guard" in choice.why


def test_where_all_are_late_the_call_stays() -> None:
    choosing = Choosing(spilling())
    choosing.live = dict.fromkeys(("local", "near", "far", "dark"), BUSY)
    choice = choosing.choose()
    assert choice.candidates[0].id == "local"
    assert "all are late" in choice.why


def test_calls_that_wait_where_nothing_is_known_may_wait_for_ever() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": Seen(in_flight=4, line=Line(3))}
    assert choosing.leaders(1) == "near"


def cold(wait_s: float) -> Seen:
    return Seen(line=Line(slots=4, wait_s=wait_s, is_cold=True))


def test_a_cold_home_is_passed_over_and_woken() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": cold(20.0)}
    choice = choosing.choose()
    assert (ids(choice), choice.wakes) == ("near local far dark", "local")
    assert "not loaded" in choice.why
    assert dict(choice.scores)["local"] == 20.0


def test_a_cold_home_that_is_there_in_time_keeps_its_call() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": cold(0.5)}
    choice = choosing.choose()
    assert (choice.candidates[0].id, choice.wakes) == ("local", None)


def test_nobody_else_is_woken() -> None:
    choosing = Choosing(spilling())
    choosing.live = {"local": BUSY, "near": cold(5.0)}
    choice = choosing.choose()
    assert (choice.candidates[0].id, choice.wakes) == ("far", None)
    choosing.live = dict.fromkeys(("local", "near", "far", "dark"), cold(5.0))
    assert choosing.choose().wakes is None  # the call itself goes there


def test_a_home_inside_another_route_is_woken_where_the_call_goes() -> None:
    inner = replace(spilling(), name="inner")
    local = inner.targets[0].to
    for first, woken in ((inner, "local"), (deployment("other"), None)):
        outer = priced(Strategy.ORDERED, first, *([] if first is inner else [inner]))
        choosing = Choosing(outer)
        choosing.live = {"local": cold(20.0)}
        assert (choosing.choose().wakes, local.name) == (woken, "local")


def test_a_first_target_set_aside_makes_the_next_the_home() -> None:
    choosing = Choosing(spilling(cost_max_nanousd=10_000_000))
    choosing.live = {"local": aside()}
    assert choosing.leaders(1) == "near"


def test_the_guard_holds_where_the_first_is_down_or_cannot_and_fallbacks_are_free_of_it() -> None:
    of = replace(spilling(cost_max_nanousd=0), fallbacks=(deployment("far"),))
    choosing = Choosing(of)
    choosing.live = {"local": aside()}
    assert ids(choosing.choose(asked(of))) == "local far"
    near, far = of.targets[1].to, of.targets[2].to
    choice = choosing.choose(Asked(of, (near, far), NEEDS))  # type: ignore[arg-type]  # deployments both
    assert (ids(choice), choice.primaries) == ("far", 0)
    assert [r.deployment.id for r in choice.rejected] == ["near"]
