from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.journal.frames import HEADING, intent_frame, outcome_frame
from gateway.state.journal.journal import Extent
from gateway.state.journal.replay import Replay, rows_of
from gateway.state.journal.slots import claim
from gateway.state.ledger.schema import LedgerRow

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROW = LedgerRow._make(["r", *[1] * (len(LedgerRow._fields) - 1)])


def intent(number: int) -> LedgerRow:
    return ROW._replace(attempt=number, outcome="unknown")


def outcome(number: int) -> LedgerRow:
    return ROW._replace(attempt=number, outcome="ok")


def segment(path: Path, *parts: bytes) -> Path:
    path.write_bytes(HEADING + b"".join(parts))
    return path


def test_outcomes_come_first_and_then_what_stayed_open(tmp_path: Path) -> None:
    replay = Replay([
        segment(tmp_path / "1.segment", intent_frame(intent(1)), intent_frame(intent(2)), outcome_frame(outcome(1))),
        segment(tmp_path / "2.segment", intent_frame(intent(2)), intent_frame(intent(3)), outcome_frame(outcome(3))),
    ])  # fmt: skip
    assert list(replay.rows()) == [outcome(1), outcome(3), intent(2)]
    assert (replay.outcomes, replay.unknown, replay.damaged_bytes) == (2, 1, 0)
    replay.discard()
    assert list(tmp_path.iterdir()) == []


def test_damage_costs_the_rest_of_its_segment_and_is_told_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = outcome_frame(outcome(2))
    damaged = frame[:-1] + bytes([frame[-1] ^ 4])
    first = segment(tmp_path / "1.segment", outcome_frame(outcome(1)), damaged, outcome_frame(outcome(3)))
    second = segment(tmp_path / "2.segment", outcome_frame(outcome(4)), frame[:7])
    replay = Replay([first, second])
    with caplog.at_level(logging.ERROR):
        assert list(replay.rows()) == [outcome(1), outcome(4)]
    assert replay.damaged_bytes == len(damaged) + len(outcome_frame(outcome(3))) + 7
    assert len(caplog.records) == 2
    replay.discard()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.damaged", "2.damaged"]


def test_what_another_version_wrote_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    newer = tmp_path / "1.segment"
    newer.write_bytes(b"pointsman journal 2\nwhatever that means")
    missing = tmp_path / "2.segment"
    replay = Replay([newer, missing, segment(tmp_path / "3.segment", outcome_frame(outcome(1)))])
    with caplog.at_level(logging.ERROR):
        assert list(replay.rows()) == [outcome(1)]
    replay.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["1.segment"]
    assert "left alone" in caplog.text


def test_a_segment_that_was_only_begun_holds_nothing(tmp_path: Path) -> None:
    for size in range(len(HEADING) + 1):
        path = tmp_path / f"{size}.segment"
        path.write_bytes(HEADING[:size])
        assert list(Replay([path]).rows()) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=12), st.data())
def test_any_prefix_gives_each_attempt_one_row(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]], data: st.DataObject
) -> None:
    written: list[bytes] = []
    begun: set[int] = set()
    over: set[int] = set()
    ends = [(0, frozenset[int](), frozenset[int]())]
    for is_intent, number in steps:
        if is_intent == (number in begun) or number in over:
            continue
        written.append(intent_frame(intent(number)) if is_intent else outcome_frame(outcome(number)))
        (begun if is_intent else over).add(number)
        ends.append((ends[-1][0] + len(written[-1]), frozenset(begun - over), frozenset(over)))
    whole = b"".join(written)
    torn = data.draw(st.integers(0, len(whole)))
    path = segment(tmp_path_factory.getbasetemp() / "torn.segment", whole[:torn])
    _, still_open, ended = max(end for end in ends if end[0] <= torn)
    assert sorted(Replay([path]).rows()) == sorted([*map(intent, still_open), *map(outcome, ended)])


def test_a_stretch_of_a_segment_gives_its_outcomes(tmp_path: Path) -> None:
    slot = claim(tmp_path)
    parts = [outcome_frame(outcome(1)), intent_frame(intent(2)), outcome_frame(outcome(3)), outcome_frame(outcome(4))]
    path = segment(slot.path_of(7), *parts)
    start = len(HEADING) + len(parts[0])
    end = start + len(parts[1]) + len(parts[2])
    assert rows_of(slot, Extent(7, start, end, 1)) == [outcome(3)]
    path.write_bytes(path.read_bytes()[: end - 1])
    assert rows_of(slot, Extent(7, start, end, 1)) == []
    slot.release()
