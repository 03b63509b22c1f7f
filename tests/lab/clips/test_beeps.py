"""Beeps in noise: all are found where they begin, and none is invented."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_fer.errors import SourceError
from edge_fer.lab.clips.beeps import find_beeps
from edge_fer.lab.clips.sound import RATE, read_sound
from tests.lab.clips.recordings import numbered, write_recording
from tests.support.films import picture, write_film

SNR_DB = 10.0


def sound(times_s: list[float], frequency_hz: float, seconds: float, *, beep_s: float = 0.2, seed: int = 0,
          snr_db: float = SNR_DB) -> NDArray[np.int16]:  # fmt: skip
    """Beeps in white noise; the signal-to-noise ratio is that of the tone while it is on."""
    random = np.random.default_rng(seed)
    tone_power = 3000.0**2 / 2
    samples = random.normal(0, np.sqrt(tone_power / 10 ** (snr_db / 10)), round(seconds * RATE))
    for start_s in times_s:
        start, count = round(start_s * RATE), round(beep_s * RATE)
        phase = random.uniform(0, 2 * np.pi)
        samples[start : start + count] += 3000 * np.sin(2 * np.pi * frequency_hz * np.arange(count) / RATE + phase)
    return samples.clip(-32768, 32767).astype(np.int16)


def thirty(seed: int) -> list[float]:
    """Thirty times, 6.5 to 8.5 seconds apart."""
    return (3 + np.cumsum(np.random.default_rng(seed).uniform(6.5, 8.5, 30))).round(4).tolist()


def check(found: tuple[float, ...], times: list[float]) -> None:
    assert len(found) == len(times)
    assert np.abs(np.array(found) - times).max() < 0.02


@pytest.mark.parametrize("known", [None, 1000.0])
def test_thirty_beeps_in_noise_are_found_within_20_ms_and_none_is_invented(known: float | None) -> None:
    times = thirty(1)
    beeps = find_beeps(sound(times, 1000.0, times[-1] + 10), known)
    check(beeps.times_s, times)
    assert beeps.frequency_hz == pytest.approx(1000, abs=20)
    assert beeps.repeated_s == ()


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 999), st.floats(350, 7000), st.floats(0.1, 1.0), st.floats(10, 30))
def test_beeps_of_any_pitch_and_length_are_found(seed: int, frequency: float, beep_s: float, snr_db: float) -> None:
    times = thirty(seed)[:6]
    samples = sound(times, frequency, times[-1] + 5, beep_s=beep_s, seed=seed, snr_db=snr_db)
    check(find_beeps(samples).times_s, times)


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 9999))
def test_in_noise_alone_there_are_none(seed: int) -> None:
    assert find_beeps(sound([], 1000, 20, seed=seed)).times_s == ()
    assert find_beeps(sound([], 1000, 20, seed=seed), 1000.0).times_s == ()


def test_bangs_a_hum_and_speech_are_no_beeps() -> None:
    times = thirty(4)[:8]
    samples = sound(times, 1200.0, times[-1] + 8).astype(np.float64)
    moments, random = np.arange(len(samples)) / RATE, np.random.default_rng(5)
    samples += 4000 * np.sin(2 * np.pi * 400 * moments)  # a hum that never ends
    for start in (times[2] + 2, times[5] + 3):  # doors
        bang = round(start * RATE)
        samples[bang : bang + 1600] += random.normal(0, 6000, 1600)
    voice = slice(round((times[3] + 1) * RATE), round((times[3] + 4) * RATE))  # a voice whose pitch moves
    pitch = np.cumsum(180 + 40 * np.sin(2 * np.pi * 1.5 * moments[voice])) / RATE
    samples[voice] += sum(2500 / k * np.sin(2 * np.pi * k * pitch) for k in range(1, 12))
    check(find_beeps(samples.clip(-32768, 32767).astype(np.int16)).times_s, times)


def test_a_beep_that_comes_too_soon_is_told_apart() -> None:
    beeps = find_beeps(sound([2.0, 10.0, 12.0, 20.0], 880, 26))
    check(beeps.times_s, [2.0, 10.0, 20.0])
    check(beeps.repeated_s, [12.0])
    check(find_beeps(sound([2.0, 10.0, 12.0, 20.0], 880, 26), gap_s=1.0).times_s, [2.0, 10.0, 12.0, 20.0])


def test_silence_and_almost_nothing_have_none() -> None:
    assert find_beeps(np.zeros(RATE * 3, np.int16)).times_s == ()
    assert find_beeps(np.zeros(10, np.int16)).times_s == ()


def write_wav(path: Path, samples: NDArray[np.int16], rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_a_wav_file_is_read_as_it_is(tmp_path: Path) -> None:
    samples = sound([1.0], 1000, 3)
    read = read_sound(write_wav(tmp_path / "a.wav", samples), pytest.fail).samples
    assert read.tolist() == samples.tolist()


def test_another_rate_keeps_the_time(tmp_path: Path) -> None:
    samples = np.repeat(sound([1.0, 9.0], 1000, 12), 3)
    read = read_sound(write_wav(tmp_path / "a.wav", samples, 48_000), pytest.fail).samples
    check(find_beeps(read).times_s, [1.0, 9.0])


def test_what_has_no_sound_says_what_to_do(tmp_path: Path) -> None:
    silent = write_film(tmp_path / "silent.mp4", [picture(number) for number in range(3)])
    (tmp_path / "text.wav").write_text("no sound")
    for path in (silent, tmp_path / "text.wav"):
        with pytest.raises(SourceError, match=r"expected sound .*--every 6\)$"):
            read_sound(path, pytest.fail)
    with pytest.raises(SourceError, match="check the path"):
        read_sound(tmp_path / "none.wav", pytest.fail)


def test_damaged_sound_is_told_and_beeps_after_it_are_found(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "film.mp4", [numbered(0)], sound=sound([1.0, 9.0], 1000, 11))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(audio=0) if packet.pos is not None]
    for packet in packets[60:63]:  # about four seconds from the beginning
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    told: list[str] = []
    check(find_beeps(read_sound(path, told.append).samples).times_s, [1.0, 9.0])
    assert told == [f"3 packets of the sound of {path} cannot be decoded; beeps in them are not found"]
