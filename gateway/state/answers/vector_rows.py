"""Unit vectors as rows of a matrix: 16 bits a number in two halves, of which the first alone finds the nearest quickly.

A row is `scale * (coarse + fine / 254)`, both int8. Coarse rows are compared as integers by numkong, 384 numbers in
about 20 ns; the few best are then compared in full, where a cosine is off by less than 0.00001 (by coarse rows alone it
would be by 0.002).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.embedding.embedder import Vector

_CODE_MAX: Final = 127.0
_FINE: Final = 254.0
_MORE: Final = 24  # candidates beyond those asked for: coarse order is nearly the true one


class Rows:
    """Rows without gaps: the last takes the place of one that goes."""

    def __init__(self, dimensions: int) -> None:
        import numpy as np  # noqa: PLC0415 - heavy, and part of an extra

        self.dimensions = dimensions
        self.count = 0
        self._coarse: NDArray[np.int8] = np.zeros((1, dimensions), np.int8)
        self._fine: NDArray[np.int8] = np.zeros((1, dimensions), np.int8)
        self._scales: NDArray[np.float32] = np.zeros(1, np.float32)

    @property
    def size_bytes(self) -> int:
        return self._coarse.nbytes + self._fine.nbytes + self._scales.nbytes

    def append(self, vector: Vector) -> None:
        if self.count == len(self._scales):
            self._resize(2 * self.count)
        self._write(self.count, vector)
        self.count += 1

    def take_out(self, row: int) -> None:
        """The last row is `row` from now on, if it was another."""
        last = self.count - 1
        for part in (self._coarse, self._fine, self._scales):
            part[row] = part[last]
        self.count = last
        if self.count * 4 < len(self._scales):
            self._resize(max(1, 2 * self.count))

    def vector(self, row: int) -> Vector:
        import numpy as np  # noqa: PLC0415 - as above

        vector = self._scales[row] * (self._coarse[row] + self._fine[row] / np.float32(_FINE))
        return np.asarray(vector, np.float32)

    def codes(self, rows: list[int]) -> NDArray[np.int8]:
        """These rows as the graph has them."""
        return self._coarse[rows]

    def best(self, vector: Vector, count: int) -> list[tuple[int, float]]:
        """Of all rows, the nearest and their cosines, best first."""
        import numkong  # noqa: PLC0415 - heavy, and part of an extra
        import numpy as np  # noqa: PLC0415 - as above

        wanted = count + _MORE
        if self.count <= wanted:
            return self.compared(vector, np.arange(self.count))[:count]
        codes, _ = coded(vector)
        dots = np.asarray(numkong.cdist(codes[None], self._coarse[: self.count], "dot"))[0]
        about = dots * self._scales[: self.count]
        return self.compared(vector, np.argpartition(about, -wanted)[-wanted:])[:count]

    def compared(self, vector: Vector, rows: NDArray[np.intp] | list[int]) -> list[tuple[int, float]]:
        """These rows and their cosines, best first."""
        import numpy as np  # noqa: PLC0415 - as above

        rows = np.asarray(rows, np.intp)
        full = self._coarse[rows] + self._fine[rows] / np.float32(_FINE)
        cosines = np.clip((full @ vector) * self._scales[rows], -1.0, 1.0)
        order = np.argsort(-cosines, kind="stable")
        return list(zip(rows[order].tolist(), cosines[order].tolist(), strict=True))

    def _write(self, row: int, vector: Vector) -> None:
        import numpy as np  # noqa: PLC0415 - as above

        codes, scale = coded(vector)
        self._coarse[row] = codes
        self._fine[row] = np.rint((vector / scale - codes) * _FINE)
        self._scales[row] = scale

    def _resize(self, capacity: int) -> None:
        import numpy as np  # noqa: PLC0415 - as above

        kept = slice(0, self.count)
        for name in ("_coarse", "_fine", "_scales"):
            part = getattr(self, name)
            grown = np.zeros((capacity, *part.shape[1:]), part.dtype)
            grown[kept] = part[kept]
            setattr(self, name, grown)


def coded(vector: Vector) -> tuple[NDArray[np.int8], float]:
    """The nearest vector of int8 numbers, and what one of them stands for."""
    import numpy as np  # noqa: PLC0415 - as above

    scale = float(np.abs(vector).max()) / _CODE_MAX
    return np.rint(vector / scale).astype(np.int8), scale


def unit(vector: object) -> Vector | None:
    """As float32 of length one; None for what has no direction: zeros, infinities, and what is no vector."""
    import numpy as np  # noqa: PLC0415 - as above

    numbers = np.asarray(vector, np.float32)
    if numbers.ndim != 1 or numbers.size == 0:
        return None
    with np.errstate(all="ignore"):
        length = float(np.linalg.norm(numbers.astype(np.float64)))
        if not 1e-6 < length < 1e30:  # a NaN is neither
            return None
        return np.asarray(numbers / np.float32(length), np.float32)
