"""Bounded decompression, for upstreams that compress although they were asked not to."""

from __future__ import annotations

import zlib

STEP_BYTES = 256 * 1024
_FREE_BYTES = 1024 * 1024
_MAX_RATIO = 100
_WBITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class InflateError(Exception):
    """Compressed bytes that are broken, too good to be true, or in a coding nobody asked for."""


def inflater_for(coding: bytes) -> Inflater | None:
    """None for a body that needs none. Raises `InflateError` for br, zstd, and one coding over another."""
    coding = coding.strip().lower()
    if coding in (b"", b"identity"):
        return None
    if coding not in _WBITS:
        raise InflateError("The upstream compressed its answer in a way that was not asked for.")
    return Inflater(_WBITS[coding])


class Inflater:
    """One body's decompressor. Output comes in steps of at most `STEP_BYTES`, however small the input was.

    `pending` says that another `step` without new input may yield more.
    """

    __slots__ = ("_in_bytes", "_inner", "_out_bytes", "_tail", "_wbits", "pending")

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inner: zlib._Decompress | None = None
        self._tail = b""
        self._in_bytes = 0
        self._out_bytes = 0
        self.pending = False

    def step(self, data: bytes = b"") -> bytes:
        """What the bytes so far amount to, or the first part of it. Raises `InflateError`."""
        self._in_bytes += len(data)
        data = self._tail + data
        if self._inner is None:
            self._inner = zlib.decompressobj(self._window(data))
        try:
            out = self._inner.decompress(data, STEP_BYTES)
        except zlib.error as error:
            raise InflateError("The upstream's compressed answer is broken.") from error
        self._tail = self._inner.unconsumed_tail
        self.pending = bool(self._tail) or len(out) == STEP_BYTES
        if self._inner.unused_data:
            raise InflateError("The upstream's compressed answer goes on after its end.")
        self._out_bytes += len(out)
        if self._out_bytes > max(_FREE_BYTES, _MAX_RATIO * self._in_bytes):
            raise InflateError("The upstream's compressed answer grows out of all proportion.")
        return out

    def finish(self) -> None:
        """Raises `InflateError` when the compressed body was cut short."""
        if self._inner is None or not self._inner.eof:
            raise InflateError("The upstream's compressed answer was cut short.")

    def _window(self, data: bytes) -> int:
        # Half the world sends "deflate" without the zlib wrapper that the standard asks for; its first byte tells.
        if self._wbits == zlib.MAX_WBITS and data[:1] and data[0] & 0x0F != zlib.DEFLATED:
            return -zlib.MAX_WBITS
        return self._wbits
