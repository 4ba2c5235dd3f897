from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.commands.cache_asked import CannotCalibrate, is_pair, kind_of, read_lines
from gateway.state.answers.dump import entry_line, heading_line
from gateway.state.answers.store import Kept, Record
from tests.gateway.admin.cached_answers import an_entry

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.state.answers.store import Entry


def test_lines_are_read_whole_or_refused_with_their_number(tmp_path: Path) -> None:
    file = tmp_path / "asked"
    file.write_text('{"question": "a", "answer": "b"}\n\n{"question": "c", "class": 3}\n')
    assert len(read_lines(file)) == 2
    for text, why in (
        ("{", "line 1 is no JSON object"),
        ("[1]", "line 1 is no JSON object"),
        ('{"question": "a"}', "line 1 is neither"),
        ('{"question": "a", "class": []}', "line 1 is neither"),
        ('{"a": "x", "b": "y", "same": 1}', "line 1 is neither"),
        ('{"a": "x", "b": "y", "same": true}\n{"question": "a", "class": 1}', "mixes questions and pairs"),
    ):
        file.write_text(text)
        with pytest.raises(CannotCalibrate, match=why):
            read_lines(file)


def test_a_class_goes_before_an_answer() -> None:
    assert kind_of({"class": " A  Bird."}) == kind_of({"class": "a bird."})
    assert kind_of({"class": 1, "answer": "x"}) == "1"
    assert kind_of({"answer": "x"}) is None
    assert is_pair({"a": "x", "b": "y", "same": False})


def exported(file: Path, *entries: Entry) -> Path:
    lines = [entry_line(Kept(entry, Record()), None) for entry in entries]
    file.write_bytes(heading_line("minilm", 1.0) + b"".join(lines))
    return file


def said(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def test_an_export_is_questions_with_answers_oldest_first_and_each_in_its_place(tmp_path: Path) -> None:
    digests: dict[str, Any] = {"scope": b"s" * 32, "exact": b"e" * 32}
    file = exported(
        tmp_path / "out.jsonl",
        an_entry("ce_2", question="Two?", body=said("2"), stored_at_s=20.0, **digests),
        an_entry("ce_1", question="One?", body=said("1"), stored_at_s=10.0, **digests),
        an_entry("ce_3", question="Three?", body=said("3"), stored_at_s=30.0, owner="key:acme/k", **digests),
        an_entry("ce_4", question="", body=said("4"), stored_at_s=40.0, **digests),
        an_entry("ce_5", question="Five?", body=b"{}", stored_at_s=50.0, **digests),
    )
    found = read_lines(file)
    assert [(line["question"], line["answer"]) for line in found] == [("One?", "1"), ("Two?", "2"), ("Three?", "3")]
    assert found[0]["place"] == found[1]["place"] != found[2]["place"]


def test_an_export_without_questions_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotCalibrate, match="no entry of it"):
        read_lines(exported(tmp_path / "out.jsonl"))
