"""Arrays that grow on disk, so that memory stays flat however long a clip is."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np


class Spool:
    """Rows of one shape and type, appended to an unnamed file and read back by number.

    The file has no name once it is open, so it is gone with the process, killed or not.
    Plain reads and writes, not a memory map, whose pages would count as the process's memory.
    """

    def __init__(self, folder: Path | str | None, row_shape: tuple[int, ...], dtype: type) -> None:
        self.row_shape, self.dtype = tuple(row_shape), np.dtype(dtype)
        self._row_bytes = math.prod(self.row_shape) * self.dtype.itemsize
        self._rows = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (lives as long as the spool)

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: np.ndarray) -> None:
        """Add rows: (n, *row_shape)."""
        if rows.shape[1:] != self.row_shape:
            raise ValueError(f"rows must be (n, {', '.join(map(str, self.row_shape))}), got {rows.shape}")
        self._file.seek(self._rows * self._row_bytes)
        self._file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self._rows += len(rows)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start..stop as a fresh array (n, *row_shape); the range is cut to what exists."""
        start, stop = max(0, start), min(stop, self._rows)
        if stop <= start:
            return np.empty((0, *self.row_shape), self.dtype)
        self._file.seek(start * self._row_bytes)
        data = self._file.read((stop - start) * self._row_bytes)
        return np.frombuffer(data, self.dtype).reshape(-1, *self.row_shape).copy()

    def section(self, start: int, stop: int) -> Spool:
        """A spool of its own, to read only, of the rows start..stop; it shares this one's file."""
        return _Section(self, start, stop)

    def close(self) -> None:
        self._file.close()


class _Section(Spool):
    def __init__(self, whole: Spool, start: int, stop: int) -> None:
        self.row_shape, self.dtype = whole.row_shape, whole.dtype
        self._whole, self._start, self._rows = whole, start, stop - start

    def append(self, rows: np.ndarray) -> None:
        raise ValueError("a section of a spool is to read only")

    def read(self, start: int, stop: int) -> np.ndarray:
        start, stop = max(0, start), min(stop, self._rows)
        return self._whole.read(self._start + start, self._start + max(start, stop))

    def close(self) -> None:
        """Nothing to do: the file belongs to the whole."""
