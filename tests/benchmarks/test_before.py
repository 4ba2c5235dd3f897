from __future__ import annotations

from benchmarks.before import KINDS, NAMES, table


def test_ratios_are_paired_within_a_round() -> None:
    rounds = {"before": [100.0, 200.0, 400.0], "after": [110.0, 220.0, 600.0], "before, again": [100.0, 100.0, 400.0]}
    rows = [*table(dict.fromkeys(KINDS, rounds))]
    assert len(rows) == 2 + len(KINDS) * len(NAMES)
    assert rows[2] == "| request, c=64 | before | 100.0 | 200.0 | 1 |"
    assert rows[3] == "| request, c=64 | after | 110.0 | 220.0 | 1.100 (1.10 to 1.30) |"
    assert rows[4] == "| request, c=64 | before, again | 100.0 | 100.0 | 1.000 (0.75 to 1.00) |"
