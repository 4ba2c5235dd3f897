from __future__ import annotations

import gzip
import zlib

import pytest

from gateway.transport.inflate import STEP_BYTES, InflateError, Inflater, inflater_for


def inflate_all(inflater: Inflater, data: bytes) -> bytes:
    out = [inflater.step(data)]
    while inflater.pending:
        out.append(inflater.step())
    return b"".join(out)


@pytest.mark.parametrize("coding", [b"", b" identity ", b"Identity"])
def test_no_coding_needs_no_inflater(coding: bytes) -> None:
    assert inflater_for(coding) is None


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"compress", b"gzip, gzip", b"gzip, identity", b"*"])
def test_a_coding_nobody_asked_for_is_refused(coding: bytes) -> None:
    with pytest.raises(InflateError):
        inflater_for(coding)


def test_output_comes_in_bounded_steps() -> None:
    body = b"".join(b"%d " % number for number in range(200_000))
    inflater = Inflater(31)
    first = inflater.step(gzip.compress(body))
    assert len(first) == STEP_BYTES
    assert first + inflate_all(inflater, b"") == body
    inflater.finish()


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_body_cut_anywhere_inflates_the_same(cut: int) -> None:
    squeezed = gzip.compress(b"hello world")
    inflater = Inflater(31)
    assert inflate_all(inflater, squeezed[:cut]) + inflate_all(inflater, squeezed[cut:]) == b"hello world"
    inflater.finish()


def test_a_megabyte_of_zeros_is_no_bomb_but_two_are() -> None:
    assert len(inflate_all(Inflater(31), gzip.compress(bytes(1 << 20)))) == 1 << 20
    with pytest.raises(InflateError, match="proportion"):
        inflate_all(Inflater(31), gzip.compress(bytes(1 << 21)))


def test_a_body_that_was_cut_short_is_refused_at_its_end() -> None:
    inflater = Inflater(15)
    inflater.step(zlib.compress(b"hello")[:-1])
    with pytest.raises(InflateError, match="cut short"):
        inflater.finish()
    with pytest.raises(InflateError, match="cut short"):
        Inflater(31).finish()
