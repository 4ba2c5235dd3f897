from __future__ import annotations

import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.answers.dump import (
    Heading,
    NotADump,
    Refused,
    entry_line,
    heading_line,
    read_entries,
    read_heading,
)
from gateway.state.answers.snapshot_rows import Loaded
from gateway.state.answers.store import Kept, Record, Used
from tests.answer_store_suite import Asked, direction

NOW_S = 1_800_000_000.0
ENTRY = msgspec.structs.replace(Asked("wie öffne ich?").entry(NOW_S, tags=("a", "b")), body=bytes(range(256)))


def changed(**parts: object) -> bytes:
    return json.dumps(json.loads(entry_line(Kept(ENTRY, Record()), None)) | parts).encode() + b"\n"


def test_what_is_written_is_read_as_it_was() -> None:
    plain = msgspec.structs.replace(ENTRY, id="ce_2", near=b"", headers=(), used=Used(), is_events=True, embedder="")
    file = io.BytesIO(
        heading_line("minilm", NOW_S)
        + entry_line(Kept(ENTRY, Record(3, 2, 1)), direction(1))
        + b"\n"
        + entry_line(Kept(plain, Record()), None)
    )
    assert read_heading(file) == Heading(1, "minilm", NOW_S)
    first, second = read_entries(file)
    assert isinstance(first, Loaded)
    assert first.vector is not None
    assert float(first.vector @ direction(1)) == pytest.approx(1.0, abs=0.001)
    assert first[:2] == (ENTRY, Record(3, 2, 1))
    assert second == Loaded(plain, Record(), None)


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[1]\n", b'{"pointsman_cache": "1"}\n', b"\xff\n", b"[" * 100_000])
def test_what_has_no_heading_is_no_dump(line: bytes) -> None:
    with pytest.raises(NotADump, match="not the heading"):
        read_heading(io.BytesIO(line))


def test_another_version_is_named() -> None:
    with pytest.raises(NotADump, match="version 2, this Pointsman reads 1"):
        read_heading(io.BytesIO(b'{"pointsman_cache": 2}\n'))


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"no JSON\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        changed(unknown=1),
        changed(owner=""),
        changed(id="../../etc"),
        changed(scope="AAAA"),
        changed(exact="not base64!"),
        changed(near="AAAA"),
        changed(headers=[["x-a", "b\r\nset-cookie: c"]]),
        changed(headers=[["x\n", "b"]]),
        changed(expires_at_s=1e300),
        changed(expires_at_s=NOW_S - 1.0),
        changed(stored_at_s=-1e300, expires_at_s=-1e300),
        changed(used={"output_tokens": -1}),
        changed(used={"cost_nanousd": 1 << 63}),
        changed(record=[-1, 0, 0]),
        changed(tags=["x"] * 1000),
        changed(route="r" * 5000),
    ],
    ids=lambda line: line[-60:],
)
def test_a_line_that_is_no_entry_is_refused_with_its_number(line: bytes) -> None:
    whole = entry_line(Kept(ENTRY, Record()), None)
    first, refused, last = read_entries(io.BytesIO(whole + line + whole))
    assert isinstance(refused, Refused)
    assert refused.number == 3
    assert first == last == Loaded(ENTRY, Record())


def test_a_line_without_end_takes_no_more_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.answers.dump.LINE_BYTES_MAX", 2_000)
    whole = entry_line(Kept(ENTRY, Record()), None)
    assert len(whole) < 2_000
    found = list(read_entries(io.BytesIO(whole + b"x" * 7_000 + b"\n" + whole + b"y" * 5_000)))
    assert found == [
        Loaded(ENTRY, Record()),
        Refused(3, "it is too long"),
        Loaded(ENTRY, Record()),
        Refused(5, "it is too long"),
    ]


def test_a_vector_of_another_length_is_left_out() -> None:
    for vector in ("AAAA", "AA==", "/38AAA=="):
        (found,) = read_entries(io.BytesIO(changed(vector=vector)))
        assert found == Loaded(ENTRY, Record(), None)


@given(st.binary(max_size=300), st.integers(0, 900))
def test_no_bytes_make_it_fail(noise: bytes, at: int) -> None:
    line = entry_line(Kept(ENTRY, Record()), None)
    for found in read_entries(io.BytesIO(line[:at] + noise + line[at + 1 :])):
        assert isinstance(found, Loaded | Refused)
