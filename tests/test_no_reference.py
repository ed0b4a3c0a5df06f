"""Measures without references: each on sound whose truth is known, and what cannot be told is None, never NaN."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import two_talkers
from made_voices import embedding
from sampled_results import write_result

from avsep.errors import InputError
from avsep.evaluation.no_reference import leak, mos, swaps, trust
from avsep.evaluation.no_reference.measure import measure
from avsep.evaluation.no_reference.sound import Overview, VoiceSounds
from avsep.inference.models import ModelStore
from avsep.results.result import Span, read_result

RATE = 16_000
BOTH = ([(0.0, 8.6)], [(0.0, 8.6)])
"""Both voices of `two_talkers` nearly all of the time."""


@pytest.fixture(scope="module")
def voices() -> np.ndarray:
    return two_talkers.voices()


@pytest.fixture(scope="module")
def models() -> ModelStore:
    return ModelStore()


def noise(count: int, seconds: float, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((count, round(seconds * rate))).astype(np.float32)


def overview(folder) -> Overview:
    with VoiceSounds(read_result(folder)) as sounds:
        return sounds.overview()


def swapped(voices: np.ndarray, start: float, end: float) -> np.ndarray:
    made, span = voices.copy(), slice(round(start * RATE), round(end * RATE))
    made[:, span] = voices[::-1, span]
    return made


def doubts(found, kind: str) -> dict[str, list[tuple[float, float]]]:
    return {name: [(d.start, d.end) for d in one.doubtful if d.kind == kind] for name, one in found.items()}


# DNSMOS


def test_windows_hold_all_speech_but_a_short_rest() -> None:
    spans = [Span(0, 3), Span(4, 24.5), Span(30, 30.4)]
    made = list(mos.windows(spans))
    lengths = [sum(end - start for start, end in window) for window in made]
    assert lengths == pytest.approx([9.01, 9.01, 23.9 - 18.02])
    assert made[0] == [Span(0, 3), Span(4, pytest.approx(10.01))]
    assert made[-1][-1] == Span(30, 30.4)
    assert list(mos.windows([Span(0, 0.9)])) == []
    assert list(mos.windows([Span(0, 9.5)])) == [[Span(0, 9.01)]]


def test_a_mean_counts_seconds_of_speech() -> None:
    found = mos.mean([(mos.Mos(1, 1, 1, 1), 1.0), (mos.Mos(4, 4, 4, 4), 3.0)])
    assert found == mos.Mos(3.25, 3.25, 3.25, 3.25)
    assert mos.mean([]) is None


@pytest.mark.slow
def test_dnsmos_tells_speech_from_noise_and_clips_nothing(voices) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    dnsmos = mos.load_dnsmos()
    clean = dnsmos(voices[0])
    noisy = dnsmos(voices[0] + noise(1, 8.6)[0])
    assert clean.ovrl > noisy.ovrl + 0.5
    assert clean.bak > noisy.bak + 1
    loud = voices[0] / np.abs(voices[0]).max()
    assert dnsmos(4 * loud) == pytest.approx(dnsmos(loud), abs=1e-3)
    assert dnsmos(voices[0, : RATE // 2]) is None
    assert dnsmos(np.zeros(2 * RATE, np.float32)) is None


@pytest.mark.slow
def test_dnsmos_is_that_of_its_authors(voices, monkeypatch) -> None:
    # librosa would compile functions that are not used here, for half a minute.
    numba = pytest.importorskip("numba")
    for name in ("vectorize", "guvectorize"):
        monkeypatch.setattr(numba, name, lambda *args, **options: lambda function: function)
    dnsmos = pytest.importorskip("speechmos.dnsmos")
    ours = mos.load_dnsmos()
    # Their sessions take all cores, and wait for each other on a busy machine.
    options = dnsmos.ort.SessionOptions()
    options.intra_op_num_threads = 1
    monkeypatch.setattr(
        dnsmos.ort, "InferenceSession", functools.partial(dnsmos.ort.InferenceSession, sess_options=options)
    )
    for samples in (voices[0], voices[1, 3 * RATE : 5 * RATE], voices.sum(axis=0)):
        window = np.resize(np.clip(samples, -1, 1), int(mos.WINDOW_SECONDS * RATE))
        theirs = dnsmos.run(window, RATE)
        assert ours(window) == pytest.approx([theirs[f"{name}_mos"] for name in mos.Mos._fields], abs=5e-3)


def test_what_sounds_poor_is_marked() -> None:
    good, poor = mos.Mos(3, 3, 3, 3), mos.Mos(1, 1, trust.POOR_OVRL - 0.1, 1)
    found = trust.poor_quality([(good, [Span(0, 9)]), (poor, [Span(9.5, 10), Span(10.4, 12)])], 400)
    assert [(doubt.start, doubt.end, doubt.kind) for doubt in found] == [(9.52, 12.0, "quality")]


# Leak and shared sound


def test_a_leak_is_as_loud_as_it_was_made(tmp_path) -> None:
    x = noise(2, 6)
    talk = np.zeros((2, 6 * RATE), np.float32)
    talk[0, : 3 * RATE], talk[1, 3 * RATE :] = x[0, : 3 * RATE], x[1, 3 * RATE :]
    folder = write_result(tmp_path / "r", np.stack([talk[0] + 0.1 * talk[1], talk[1]]), ([(0, 3)], [(3, 6)]))
    found = leak.leak_db(overview(folder))
    assert found[0, 1] == pytest.approx(-20, abs=0.1)
    assert found[1, 0] == leak.FLOOR_DB, "digital silence has a level"
    assert np.isnan(found.diagonal()).all()


def test_a_level_that_nothing_tells_is_none(tmp_path) -> None:
    folder = write_result(tmp_path / "r", noise(2, 4), ([(0, 4)], [(0, 4)]))
    found = overview(folder)
    assert np.isnan(leak.leak_db(found)).all(), "nobody speaks alone"
    assert np.isnan(leak.idle_db(found)).all(), "somebody speaks always"


def test_shared_sound_is_correlation(tmp_path) -> None:
    x = noise(2, 4)
    mixed = np.stack([x[0], x[1] + x[0]])
    found = leak.correlation(overview(write_result(tmp_path / "r", mixed, ([(0, 4)], [(0, 4)]))).products.sum(axis=0))
    assert found[0, 1] == pytest.approx(0.5**0.5, abs=0.02)
    assert np.isnan(found[0, 0])
    assert np.isnan(leak.correlation(np.zeros((2, 2)))).all()


def test_where_a_track_has_the_others_sound_is_marked(voices, tmp_path) -> None:
    mixed = voices.copy()
    mixed[1, 3 * RATE : 5 * RATE] += voices[0, 3 * RATE : 5 * RATE]
    mixed[1, 6 * RATE :] = voices[0, 6 * RATE :]
    found = trust.shared_sound(overview(write_result(tmp_path / "r", mixed, BOTH)), ["a", "b"])
    assert [doubt.kind for doubt in found[1]] == ["alike", "shared"]
    same, shared = found[1]
    assert same.start <= 6.1
    assert same.end == pytest.approx(8.6, abs=0.05)
    assert shared.start >= 2
    assert shared.end >= 5
    clean = trust.shared_sound(overview(write_result(tmp_path / "c", voices, BOTH)), ["a", "b"])
    assert clean == [[], []]


def test_an_offset_is_no_shared_sound(tmp_path) -> None:
    offset = 0.5 * noise(2, 4) + 0.05
    found = leak.correlation(overview(write_result(tmp_path / "r", offset, BOTH)).products.sum(axis=0))
    assert abs(found[0, 1]) < 0.05


def test_a_scrap_at_the_end_is_not_compared(tmp_path) -> None:
    made = noise(2, 4.03)
    made[1, 4 * RATE :] = made[0, 4 * RATE :]
    folder = write_result(tmp_path / "r", made, ([(0, 4.03)], [(0, 4.03)]))
    assert trust.shared_sound(overview(folder), ["a", "b"]) == [[], []]
    products = np.ones((5, 2, 2))
    assert leak.in_windows(products, 4.01)[:, 0, 1].tolist() == [2, 2, 2, 2, 0]
    assert leak.in_windows(products, 5.0)[:, 0, 1].tolist() == [2, 2, 2, 2, 1]


def test_what_leaks_while_a_track_is_silent_is_a_leak(voices, tmp_path) -> None:
    leaking = np.stack([voices[0], 0.5 * voices[0]])
    found = trust.shared_sound(overview(write_result(tmp_path / "r", leaking, ([(0, 8.6)], []))), ["a", "b"])
    assert {doubt.kind for doubt in found[1]} == {"alike"}
    leaking[1] += noise(1, 8.6)[0] * 0.5
    found = trust.shared_sound(overview(write_result(tmp_path / "n", leaking, ([(0, 8.6)], []))), ["a", "b"])
    assert {doubt.kind for doubt in found[1]} == {"leak"}


# Swaps


def test_an_exchange_gains_where_it_was_made_only() -> None:
    rng = np.random.default_rng(0)
    own = np.eye(2, 16) + 0.05 * rng.standard_normal((40, 2, 16))
    own[20:24] = own[20:24, ::-1]
    own[30, 0] = np.nan
    gain = swaps.exchange_gain(swaps.likeness(embedding(own / np.linalg.norm(own, axis=2, keepdims=True))))
    assert np.flatnonzero(gain[:, 0, 1] > 0).tolist() == [20, 21, 22, 23]
    assert np.isnan(gain[30, 0]).all(), "who is silent is nobody else"
    assert gain[30, 1, 0] < 0
    assert np.isnan(gain[:, 0, 0]).all()


def test_too_few_pieces_tell_no_voice() -> None:
    pieces = np.tile(embedding(np.eye(2, 8)), (swaps.OVERLAPPING + swaps.FEWEST_PIECES - 1, 1, 1))
    assert np.isnan(swaps.likeness(pieces)).any()
    assert np.isnan(swaps.likeness(np.full((4, 1, 8), np.nan))).all()


def test_a_swap_is_found_and_its_absence(voices, models, tmp_path) -> None:
    as_it_is = measure(read_result(write_result(tmp_path / "a", voices, BOTH)), models, None)
    assert doubts(as_it_is, "swap") == {"speaker_00": [], "speaker_01": []}
    assert as_it_is["speaker_00"].own_voice > as_it_is["speaker_00"].other_voice + 4
    assert as_it_is["speaker_00"].dnsmos is None
    found = measure(read_result(write_result(tmp_path / "b", swapped(voices, 4, 6), BOTH)), models, None)
    for spans in doubts(found, "swap").values():
        assert any(start < 5.5 and end > 4.5 for start, end in spans)


# What cannot be told


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.5, 1.01])
def test_silent_and_very_short_tracks_have_no_figures(models, tmp_path, seconds) -> None:
    time = round(seconds * RATE)
    spans = ([(0, seconds)], [])
    found = measure(read_result(write_result(tmp_path / "r", np.zeros((2, time), np.float32), spans)), models, None)
    for one in found.values():
        text = json.dumps(one.entry(), allow_nan=False)
        assert one.own_voice is None
        assert one.worst_leak_db is None
        assert one.worst_correlation is None
        assert '"doubtful": []' in text


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 2), (44_100, 1), (44_100, 2), (11_127, 1)])
def test_rates_and_channels_make_no_difference(voices, tmp_path, rate, channels) -> None:
    from avsep.dsp.resample import resample

    # One channel louder, the other softer: their mean is the voice.
    both = resample(voices, RATE, rate)[:, None] * (np.array([[0.5], [1.5]]) if channels == 2 else np.ones((1, 1)))
    plain = write_result(tmp_path / "plain", voices, BOTH)
    other = write_result(tmp_path / "other", both, BOTH, rate)
    with VoiceSounds(read_result(plain)) as a, VoiceSounds(read_result(other)) as b:
        expected, found = a.read(1, 2.0, 3.0), b.read(1, 2.0, 3.0)
        assert len(found) == len(expected) == RATE
        assert np.square(found - expected).sum() < 0.01 * np.square(expected).sum()
        power, same = a.overview().power, b.overview().power
    assert abs(power.shape[1] - same.shape[1]) <= 1, "resampling rounds up"
    assert np.allclose(10 * np.log10(power.mean(axis=1) / same.mean(axis=1)), 0, atol=0.3)


def test_of_an_array_the_first_microphone_counts(tmp_path) -> None:
    x = noise(2, 1)[:, None] * np.array([[1], [-1]])
    folder = write_result(tmp_path / "r", x, ([], []), options={"channels": "all"})
    with VoiceSounds(read_result(folder)) as sounds:
        assert np.allclose(sounds.read(0, 0, 1), x[0, 0], atol=1e-6)


def test_tracks_that_do_not_belong_together_are_refused(tmp_path) -> None:
    folder = write_result(tmp_path / "r", noise(2, 1), ([], []))
    write_result(tmp_path / "s", noise(2, 2), ([], []))
    (tmp_path / "s" / "speaker_01.wav").replace(folder / "speaker_01.wav")
    with pytest.raises(InputError, match=r"speaker_01\.wav: has 32000 samples at 16000 Hz, expected 16000"):
        overview(folder)


def test_samples_that_are_no_numbers_are_refused(tmp_path) -> None:
    x = noise(1, 1)
    x[0, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        overview(write_result(tmp_path / "r", x, ([],)))


def test_memory_is_that_of_a_second(tmp_path, monkeypatch) -> None:
    """However long a track is, no more of it is read at a time."""
    from avsep.data.sound_file import SoundReader

    longest = 0
    plain = SoundReader.read

    def read(self, first=0, last=None):
        nonlocal longest
        longest = max(longest, last - first)
        return plain(self, first, last)

    monkeypatch.setattr(SoundReader, "read", read)
    overview(write_result(tmp_path / "r", noise(2, 20), ([], [])))
    assert longest == RATE
