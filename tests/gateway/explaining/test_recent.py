from gateway.explaining.recent import RecentDecisions
from policies.vocabulary import Principal
from tests.gateway.calls import attempt, call, errand


def test_the_latest_are_kept_and_the_oldest_go() -> None:
    recent = RecentDecisions(kept_max=2)
    calls = [call(attempt()) for _ in range(3)]
    for made in calls:
        recent.add(made)
    assert len(recent) == 2
    assert recent.of(calls[0].id) is None
    found = recent.of(calls[2].id)
    assert found is not None
    assert found.request_id == calls[2].id
    assert [decision.request_id for decision in recent.latest(10)] == [calls[2].id, calls[1].id]
    assert [decision.request_id for decision in recent.latest(1)] == [calls[2].id]


def test_those_of_one_route_or_key_can_be_asked_for() -> None:
    recent = RecentDecisions()
    lost, bob, ada = call(route=None), call(attempt(), principal=Principal("k2", "bob")), call(attempt())
    for made in (lost, bob, ada):
        recent.add(made)
    assert [decision.key for decision in recent.latest(10, route="smart")] == ["ci", "bob"]
    assert [decision.request_id for decision in recent.latest(10, key="bob")] == [bob.id]
    assert recent.latest(10, route="other") == []
    assert [decision.request_id for decision in recent.latest(10, "smart", "ci")] == [ada.id]


def test_what_a_cache_asked_by_itself_is_told_to_who_asks_for_it() -> None:
    recent = RecentDecisions()
    asked, judged = call(attempt()), errand(attempt())
    for made in (asked, judged):
        recent.add(made)
    assert [decision.request_id for decision in recent.latest(10)] == [asked.id]
    assert [decision.request_id for decision in recent.latest(10, key="cache:judge")] == [judged.id]
    assert recent.of(judged.id) is not None
