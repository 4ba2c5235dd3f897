from __future__ import annotations

import hiredis
import msgspec

from gateway.state.limits.store import Kept
from gateway.state.redis.calls import Calls, reserved, seen
from gateway.state.redis.scripts import SCRIPTS
from policies.limits import Account, Ask, Denied, Granted, Hold, Kind, Phase, Unknown

ASKS = (
    Ask("tokens", Kind.RATE, 2**53 - 1, 2**53, 1 / 3),
    Ask("budget", Kind.CALENDAR, 5, 100, 0.0, (0.1, 50.0, 100.0)),
)
CALLS = Calls("ns", 30.0, SCRIPTS)
SEEN = Kept("t", "budget", Account(0.1, 50.5, 3), Kind.CALENDAR)


def words(packed: bytes) -> list[bytes]:
    reader = hiredis.Reader()
    reader.feed(packed)
    parsed = reader.gets()
    assert isinstance(parsed, list)
    return parsed


def test_a_reserve_names_every_key_under_the_tenants_tag_and_all_numbers_exactly() -> None:
    said = words(CALLS.reserve("a}b", "r1", ASKS))
    assert said[:3] == [b"EVALSHA", SCRIPTS.reserve.sha, b"4"]
    prefix = b"ns:1:{t:a%7Db}:"
    assert said[3:7] == [prefix + name for name in (b"leases", b"r:r1", b"a:tokens", b"a:budget")]
    assert said[7:9] == [b"30", b"r1"]
    assert msgspec.msgpack.decode(said[9]) == [
        ["tokens", 0, 2**53 - 1, 2**53, 1 / 3, [0.0, 0.0, 0.0]],
        ["budget", 1, 5, 100, 0.0, [0.1, 50.0, 100.0]],
    ]


def test_the_other_calls_name_what_they_touch() -> None:
    holds = (Hold("tokens", Kind.RATE, 7, 0.5),)
    packed = {
        "settle": CALLS.settle("t", "r", holds, (3,)),
        "release": CALLS.release("t", "r"),
        "renew": CALLS.renew("t", ["r", "s"]),
        "hydrate": CALLS.hydrate("t", "budget", 0.5, 9),
        "correct": CALLS.correct(SEEN, 9),
        "view": CALLS.view("t"),
        "reap": CALLS.reap("t"),
        "wait": CALLS.wait("t", 2.5),
    }
    told = {name: words(call) for name, call in packed.items()}
    assert {name: said[1] for name, said in told.items()} == {name: getattr(SCRIPTS, name).sha for name in told}
    keys = {name: [key.rpartition(b"}:")[2] for key in said[3 : 3 + int(said[2])]] for name, said in told.items()}
    assert keys == {
        "settle": [b"leases", b"r:r", b"a:tokens"],
        "release": [b"leases", b"r:r"],
        "renew": [b"leases", b"r:r", b"r:s"],
        "hydrate": [b"leases", b"a:budget"],
        "correct": [b"leases", b"a:budget"],
        "view": [b"leases"],
        "reap": [b"leases"],
        "wait": [b"leases"],
    }
    assert told["wait"][-1] == b"2.5"
    assert msgspec.msgpack.decode(told["correct"][-1]) == [[0.1, 50.5, 3], 9]


def test_a_clock_for_tests_is_told_last() -> None:
    assert words(Calls("ns", 30.0, SCRIPTS, lambda: 1.5).view("t"))[-1] == b"1.5"


def test_a_grant_is_understood() -> None:
    states = [[0, 60.5, 7], [2.0, 50, 5]]
    answer, is_held = reserved(ASKS, [0, msgspec.msgpack.encode(states)])
    assert is_held
    assert isinstance(answer, Granted)
    assert answer.accounts == (Account(0.0, 60.5, 7), Account(2.0, 50.0, 5))
    assert [hold.window_s for hold in answer.holds] == [0.0, 50.0]
    assert all(isinstance(account.used, float) for account in answer.accounts)


def test_a_repeated_question_has_the_holds_of_the_first_while_it_is_held() -> None:
    holds = [["tokens", 0, 9, 0.25, 0], ["budget", 1, 5, 0, 0.1]]
    said = [1, msgspec.msgpack.encode([Phase.HELD, holds, [[1, 2, 3, 99], False]])]
    answer, is_held = reserved(ASKS, said)
    assert is_held
    assert isinstance(answer, Granted)
    assert answer.holds == (Hold("tokens", Kind.RATE, 9, 0.25), Hold("budget", Kind.CALENDAR, 5, 0.0, 0.1))
    assert answer.accounts == (Account(1.0, 2.0, 3), Account())
    assert reserved(ASKS, [1, msgspec.msgpack.encode([Phase.SETTLED, holds, [False, False]])])[1] is False


def test_a_refusal_is_put_into_words_by_the_policy() -> None:
    full = [[2**53, 60, 0, 99], [1, 50, 0, 99]]
    answer, is_held = reserved(ASKS, [2, msgspec.msgpack.encode([60.0, full])])
    assert not is_held
    assert isinstance(answer, Denied)
    assert answer.short == (0,)
    assert reserved(ASKS, [2, msgspec.msgpack.encode([60.0, [False, False]])])[0] == Unknown((1,))


def test_a_view_is_understood() -> None:
    said = msgspec.msgpack.encode([["tokens", 0, 1, 2.5, 3]])
    assert seen("t", said) == [Kept("t", "tokens", Account(1.0, 2.5, 3), Kind.RATE)]
