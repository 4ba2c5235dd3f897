from __future__ import annotations

from queue import SimpleQueue

from gateway.commands.silence import told_of_silence


def test_who_waits_longer_is_told_so_once() -> None:
    said: SimpleQueue[str] = SimpleQueue()
    with told_of_silence("trace", 0.0, said.put):
        assert said.get(timeout=10) == "pointsman trace: no answer for 0 s; waiting on (Ctrl-C ends it)\n"
    assert said.empty()


def test_an_answer_in_time_needs_no_word() -> None:
    said: SimpleQueue[str] = SimpleQueue()
    with told_of_silence("trace", 3600.0, said.put):
        pass
    assert said.empty()
