from __future__ import annotations

import json

import msgspec

from gateway.signals.cut_out import MS, NUMBER, TENTHS, TEXT, template_from


def test_a_line_is_filled_in_where_its_marks_were_and_nowhere_else() -> None:
    line = msgspec.json.encode({"id": TEXT, "n": NUMBER, "ms": MS, "age": TENTHS, "said": "100% \0 %s"})
    filled = template_from(line) % ("req_1", 7, 1.239, 31.04)
    assert json.loads(filled) == {"id": "req_1", "n": 7, "ms": 1.24, "age": 31.0, "said": "100% \0 %s"}
