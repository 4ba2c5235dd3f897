from __future__ import annotations

from gateway.state.prefixes import KEPT_MAX, KEPT_S, Prefixes


def test_what_was_sent_is_known_for_a_while() -> None:
    sent = Prefixes()
    sent.add("a", 1000.0)
    sent.add("b", 1000.0 + KEPT_S)
    assert ("a" in sent, "b" in sent, "c" in sent) == (True, True, False)
    sent.add("c", 1000.0 + 2 * KEPT_S)
    assert sorted(sent) == ["b", "c"]
    assert len(sent) == 2


def test_a_long_silence_forgets_all_at_once() -> None:
    sent = Prefixes()
    sent.add("a", 1000.0)
    sent.add("b", 1000.0 + 10 * KEPT_S)
    assert sorted(sent) == ["b"]


def test_a_flood_of_prefixes_stays_bounded_and_keeps_the_latest() -> None:
    sent = Prefixes()
    for number in range(5 * KEPT_MAX):
        sent.add(str(number), 1000.0)
    assert len(sent) <= 2 * KEPT_MAX
    assert str(5 * KEPT_MAX - 1) in sent
