"""Notices raw frames whose rows are further apart than was said: their pictures are sheared, and nothing else shows it.

Neighbouring rows of a picture are alike. So among all distances between two bytes, the distance of a row to the next is
the one at which they differ least. Source: the autocorrelation by a Fourier transform (Wiener-Khinchin).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAMES = 3
"""So many frames must agree."""

_LOOKED_AT = 30  # frames; whatever has not shown itself by then is taken for right
_WINDOW = 1 << 18  # bytes of a frame
_STEP = 4  # bytes: rows are padded to multiples of this
_CONTRAST = 16.0  # mean squared difference from row to row, grey levels: below it, the picture is too flat to tell
_BETTER = 0.5  # so much less must the squared difference be


class RowCheck:
    """Compares the distance between rows as it is said to be with all others.

    Args:
        stride: bytes from one row to the next, as the settings say.
        rows: rows of the frame's first plane.
    """

    def __init__(self, stride: int, rows: int) -> None:
        self._stride, self._size = stride, stride * rows
        self._seen = 0
        self._found: list[int] = []

    def update(self, content: memoryview) -> int | None:
        """Look at the next frame.

        Args:
            content: the frame's bytes.

        Returns:
            The distance, bytes, that fits much better, once it is certain; None otherwise.
        """
        if self._seen == _LOOKED_AT or len(self._found) == FRAMES:
            return None
        self._seen += 1
        likely = likely_stride(np.frombuffer(content, np.uint8, self._size), self._stride)
        if likely is None:
            return None
        self._found = [*self._found, likely] if likely in self._found else [likely]
        return likely if len(self._found) == FRAMES else None


def likely_stride(pixels: NDArray[np.uint8], stride: int) -> int | None:
    """The distance between rows, where it is certainly not the one that is expected.

    Args:
        pixels: `(bytes,)` uint8, the rows one after the other.
        stride: the expected distance, bytes.
    """
    start = max(len(pixels) - _WINDOW, 0) // 2
    window = pixels[start : start + _WINDOW].astype(np.float32)
    lags = np.arange(stride // 2 // _STEP + 1, min(2 * stride, len(window) // 2) // _STEP) * _STEP
    differences = _squared_differences(window, np.append(lags, stride))
    best = int(np.argmin(differences))
    if differences[-1] < _CONTRAST or differences[best] > _BETTER * differences[-1]:
        return None
    return int(lags[best])


def _squared_differences(window: NDArray[np.float32], lags: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean squared difference between bytes so far apart.

    Args:
        window: `(bytes,)` float32.
        lags: `(lags,)` int, distances in bytes, less than the window.
    """
    size = len(window)
    spectrum = np.fft.rfft(window, 2 * size)
    products = np.fft.irfft(spectrum * spectrum.conj(), 2 * size)[lags]
    squares = np.concatenate([[0.0], np.cumsum(window.astype(np.float64) ** 2)])
    return np.asarray((squares[size - lags] + squares[size] - squares[lags] - 2 * products) / (size - lags))
