from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.references import FILE_BYTES_MAX, References

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"HOST": "h", "EMPTY": "", "LOOP": "${env:HOST}"}


@pytest.fixture
def references(tmp_path: Path) -> References:
    (tmp_path / "key").write_text("s3cret\r\n\n")
    (tmp_path / "two words").write_text(" a b \n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return References(ENVIRON, tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $x {y}", "plain $x {y}"),
        ("${env:HOST}", "h"),
        ("http://${env:HOST}:80/${env:HOST}", "http://h:80/h"),
        ("${env:EMPTY}", ""),
        ("${env:LOOP}", "${env:HOST}"),
        ("${file:key}", "s3cret"),
        ("Bearer ${file:key}", "Bearer s3cret"),
        ("${file:two words}", " a b "),
        ("${file:folder/../key}", "s3cret"),
    ],
)
def test_references_are_put_in_anywhere_and_once(text: str, expected: str, references: References) -> None:
    assert references.resolve(text) == expected


def test_an_absolute_file_is_itself(tmp_path: Path, references: References) -> None:
    assert references.resolve(f"${{file:{tmp_path / 'key'}}}") == "s3cret"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${env:NOPE}", "environment variable NOPE is not set"),
        ("${env:}", "this reference is not understood"),
        ("${env:A-B}", "this reference is not understood"),
        ("${HOME}", "this reference is not understood"),
        ("${vault:x}", "this reference is not understood"),
        ("${exec:rm}", "this reference is not understood"),
        ("${file:}", "this reference is not understood"),
        ("${}", "this reference is not understood"),
        ("${env:HOST", "a reference is not closed"),
        ("${env:${env:HOST}}", "a reference is not closed"),
        ("${file:nope}", "cannot read nope: No such file or directory"),
        ("${file:folder}", "folder is not a regular file"),
        ("${file:pipe}", "pipe is not a regular file"),
        ("${file:/dev/zero}", "/dev/zero is not a regular file"),
        ("${file:bytes}", "bytes is not UTF-8 text"),
        ("${file:large}", "large is larger than 64 KiB"),
        ("${file:a\0b}", ""),
    ],
)
def test_what_cannot_be_put_in_says_why(text: str, message: str, references: References) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        references.resolve(text)


@given(st.text())
def test_what_a_variable_holds_arrives_unchanged(value: str) -> None:
    from pathlib import Path  # noqa: PLC0415 - a name for types elsewhere in this file

    assert References({"X": value}, Path()).resolve("<${env:X}>") == f"<{value}>"
