from gateway.state.fleet import Fleet
from policies.breaker import Phase
from policies.vocabulary import Deployment, Failure, FailureKind, Route, Strategy, Target

A = Deployment("a", "p", "openai", "m")
B = Deployment("b", "p", "openai", "m")
DOWN = Failure(FailureKind.CONNECT)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def failed(fleet: Fleet, name: str, times: int) -> None:
    for _ in range(times):
        lease = fleet.lease(name)
        lease.fail(DOWN)
        lease.release()


def test_in_flight_counts_leases_and_release_is_idempotent() -> None:
    fleet = Fleet(Clock())
    lease = fleet.lease("a")
    assert fleet.state_of("a").in_flight == 1
    lease.release()
    lease.release()
    assert fleet.state_of("a").in_flight == 0


def test_five_failures_set_a_deployment_aside_and_a_success_brings_it_back() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    failed(fleet, "a", 5)
    assert set(fleet.live((A, B), repeating=True).set_aside) == {"a"}
    clock.now += 6
    assert not fleet.live((A, B), repeating=True).set_aside
    probe = fleet.lease("a")
    assert set(fleet.live((A, B), repeating=True).set_aside) == {"a"}, "one probe at a time"
    probe.answer()
    assert fleet.state_of("a").breaker.phase is Phase.CLOSED, "the first content settles a probe"
    probe.release()


def test_a_probe_whose_caller_left_frees_its_place() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    failed(fleet, "a", 5)
    clock.now += 6
    fleet.lease("a").release()
    assert not fleet.live((A,), repeating=True).set_aside


def test_a_deployment_that_cuts_every_stream_is_set_aside() -> None:
    fleet = Fleet(Clock())
    for _ in range(5):
        lease = fleet.lease("a")
        lease.answer()
        lease.fail(DOWN)
        lease.release()
    assert fleet.state_of("a").last_failure == DOWN
    assert fleet.state_of("a").breaker.phase is Phase.OPEN


def test_second_tries_stop_when_their_budget_is_spent() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    route = Route("r", ("r",), Strategy.ORDERED, (Target(A),))
    spent = 0
    while not fleet.live((A,), repeating=True).spent:
        fleet.order(route, (A,))
        fleet.spend_retry()
        spent += 1
    assert 10 <= spent <= 13
    clock.now += 1
    assert not fleet.live((A,), repeating=True).spent


def test_a_weighted_route_takes_turns_across_calls() -> None:
    fleet = Fleet(Clock())
    route = Route("r", ("r",), Strategy.WEIGHTED, (Target(A, 2), Target(B, 1)))
    leaders = [fleet.order(route, (A, B)).candidates[0].name for _ in range(6)]
    assert sorted(leaders) == ["a"] * 4 + ["b"] * 2


def test_a_reload_forgets_what_it_removed() -> None:
    fleet = Fleet(Clock())
    failed(fleet, "a", 1)
    failed(fleet, "b", 1)
    fleet.keep_only(frozenset({"a"}), frozenset())
    assert fleet.state_of("a").failures == 1
    assert fleet.state_of("b").failures == 0
