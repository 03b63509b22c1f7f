"""Where the beeps of a recording are: a tone that is there or not, by the energy of a narrow band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_fer.lab.clips.sound import RATE

LOWEST_HZ, HIGHEST_HZ = 300.0, 7500.0
"""Beeps are looked for in between."""

_WINDOW, _HOP = 512, 160  # of the spectrum, samples: bands of 31 Hz, a spectrum each 10 ms
_PART = 600 * RATE  # of the sound, ten minutes: their spectra take 60 MB
_SIDE = (3, 8)  # bands on each side that a tone is compared with: from, to
_TONAL = 10.0  # how many times the energy of the bands beside it a tone has
_LOUD = 16.0  # how many times the energy of its own band at other times, which a steady tone does not have
_SHORTEST_S, _LONGEST_S = 0.05, 3.0  # of a beep
_ALIKE = 4.0  # times the energy of the median beep, or a part of it, that every beep has
_SMOOTH_MS = 20  # of the envelope: a band of about 100 Hz
_NOISE_PART = 0.4  # of the envelope's values that are surely below a beep


@dataclass(frozen=True, slots=True)
class Beeps:
    """The beeps of a recording.

    Attributes:
        frequency_hz: of their tone; 0 where there are none.
        times_s: when each begins, seconds.
        repeated_s: when others began, too soon after the one before.
    """

    frequency_hz: float
    times_s: tuple[float, ...] = ()
    repeated_s: tuple[float, ...] = ()


def find_beeps(samples: NDArray[np.int16], frequency_hz: float | None = None, gap_s: float = 6.0) -> Beeps:
    """Find the beeps.

    A beep begins where the amplitude of its band rises above half of the median beep's.

    Args:
        samples: `(n,)` int16, `RATE` a second.
        frequency_hz: of their tone; None: it is found, as the narrow band with the most contrast of on and off.
        gap_s: from one beep to the next at least, seconds; what comes sooner is a repetition.
    """
    if len(samples) < 2 * _WINDOW:
        return Beeps(0.0)
    parts = [samples[start : start + _PART] for start in range(0, len(samples) - _WINDOW, _PART)]
    tone_hz = frequency_hz or max(map(_find_frequency, parts))[1]
    if not tone_hz:
        return Beeps(0.0)
    times: list[float] = []
    repeated: list[float] = []
    for start in _onsets(_envelope(samples, tone_hz), _envelope(samples, tone_hz, aside_hz=250.0)):
        (repeated if times and start - times[-1] < gap_s else times).append(start)
    return Beeps(tone_hz if times else 0.0, tuple(times), tuple(repeated))


def _find_frequency(samples: NDArray[np.int16]) -> tuple[float, float]:
    """The contrast of the band with the most, and its middle, hertz; both are 0 where no band has beeps."""
    spectra = _spectra(samples)
    quiet = np.median(spectra, axis=0) + 1e-9
    best, best_contrast = 0, 0.0
    bands = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    for band in np.flatnonzero((bands >= LOWEST_HZ) & (bands <= HIGHEST_HZ)).tolist():
        energy = spectra[:, band]
        is_on = (energy > _LOUD * quiet[band]) & (energy > _TONAL * _beside(spectra, band))
        runs = _runs(is_on, round(_SHORTEST_S * RATE / _HOP))
        if not runs:
            continue
        levels = np.array([float(np.median(energy[start:end])) for start, end in runs])
        alike = int(((levels > np.median(levels) / _ALIKE) & (levels < np.median(levels) * _ALIKE)).sum())
        contrast = alike * float(np.log(np.median(levels) / quiet[band]))
        if contrast > best_contrast:
            best, best_contrast = band, contrast
    return best_contrast, float(bands[best])


def _spectra(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """`(hops, bands)` float32: the energy of each band over time."""
    window = np.hanning(_WINDOW).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    parts = [
        np.square(np.abs(np.fft.rfft(frames[start : start + 4096] * window, axis=1))).astype(np.float32)
        for start in range(0, len(frames), 4096)
    ]
    return np.concatenate(parts)


def _beside(spectra: NDArray[np.float32], band: int) -> NDArray[np.float32]:
    """`(hops,)`: the mean energy of the bands on both sides of one."""
    near, far = _SIDE
    below, above = spectra[:, max(band - far, 0) : band - near + 1], spectra[:, band + near : band + far + 1]
    return np.asarray(np.concatenate([below, above], axis=1).mean(axis=1), np.float32)


def _envelope(samples: NDArray[np.int16], frequency_hz: float, aside_hz: float = 0.0) -> NDArray[np.float64]:
    """The amplitude around a frequency, each millisecond; with `aside_hz`, the mean of those on both sides of it."""
    if aside_hz:
        sides = [_envelope(samples, frequency_hz + side) for side in (-aside_hz, aside_hz)]
        return np.asarray(sum(sides) / 2)
    step, kernel = RATE // 1000, np.hanning(_SMOOTH_MS + 3)
    kernel /= kernel.sum()
    blocks = len(samples) // step
    baseband = np.empty(blocks, np.complex64)
    for start in range(0, blocks, 1 << 16):  # a minute at a time
        end = min(start + (1 << 16), blocks)
        moments = np.arange(start * step, end * step)
        turning = np.exp(-2j * np.pi * (frequency_hz * moments / RATE % 1.0))
        baseband[start:end] = (samples[start * step : end * step] * turning).reshape(-1, step).mean(axis=1)
    return np.abs(np.convolve(baseband, kernel, mode="same"))


def _onsets(envelope: NDArray[np.float64], beside: NDArray[np.float64]) -> list[float]:
    """When each beep begins, seconds.

    Args:
        envelope: the amplitude of the tone's band, each millisecond.
        beside: that of the bands beside it, where a bang shows, too, but no tone.
    """
    noise = float(np.quantile(envelope, _NOISE_PART)) + 1e-9
    loud = envelope > np.sqrt(noise * max(float(envelope.max()), noise))  # half way, in decibels
    first = _beeps_among(_runs(loud, round(_SHORTEST_S * 1000)), envelope, beside, noise)
    if not first:
        return []
    median = float(np.median([level for _, level in first]))
    runs = _runs(envelope > max(median / 2, noise), round(_SHORTEST_S * 1000))
    found = _beeps_among(runs, envelope, beside, noise)
    return [start / 1000 for start, level in found if level**2 > median**2 / _ALIKE]


def _beeps_among(
    runs: list[tuple[int, int]], envelope: NDArray[np.float64], beside: NDArray[np.float64], noise: float
) -> list[tuple[int, float]]:
    """The beginning and the amplitude of each run that is a beep: loud enough, a tone, and not too long."""
    beeps = []
    for start, end in runs:
        level, around = float(np.median(envelope[start:end])), float(np.median(beside[start:end]))
        if level**2 > _LOUD * noise**2 and level**2 > _TONAL * around**2 and end - start <= _LONGEST_S * 1000:
            beeps.append((start, level))
    return beeps


def _runs(is_on: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """Where something is on without a break: from each place to the one after its last."""
    changes = np.flatnonzero(np.diff(np.concatenate([[False], is_on, [False]]).astype(np.int8)))
    pairs = changes.reshape(-1, 2).tolist()
    return [(start, end) for start, end in pairs if end - start >= shortest]
