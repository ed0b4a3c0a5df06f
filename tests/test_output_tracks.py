"""From estimates at the models' rate to files at the input's: nothing is lost, moved or added."""

import numpy as np
import pytest
import soundfile as sf

from avsep.dsp.fullband import high_band_weights, spread
from avsep.dsp.images import ChannelImages
from avsep.dsp.ratio_mask import ratio_mask_refinement
from avsep.dsp.resample import context_samples, model_blocks, resample, with_context
from avsep.output.tracks import TrackReader, write_tracks
from avsep.signals import SAMPLE_RATE, Audio
from avsep.storage.recording import Estimates

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000]


def blocks_of(x: np.ndarray, rate: int) -> list[Audio]:
    return [Audio(x[:, i : i + rate], rate, i / rate) for i in range(0, x.shape[1], rate)]


def voice_like(time: int, rate: int, seed: int = 0) -> np.ndarray:
    """Noise below 3 kHz that comes and goes."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(time)
    spectrum = np.fft.rfft(x)
    spectrum[np.fft.rfftfreq(time, 1 / rate) > 3000] = 0
    return (0.1 * np.fft.irfft(spectrum, time) * (0.6 + 0.4 * np.sin(np.arange(time) / rate * 7 + seed))).astype(
        np.float32
    )


@pytest.mark.parametrize("rate", RATES)
def test_blockwise_resampling_equals_resampling_at_once(rate):
    x = voice_like(int(3.3 * rate), rate)
    joined = np.concatenate(list(model_blocks(blocks_of(x[None], rate))))
    whole = resample(x, rate, SAMPLE_RATE)
    assert abs(len(joined) - len(whole)) <= 1
    size = min(len(joined), len(whole))
    np.testing.assert_allclose(joined[:size], whole[:size], atol=1e-4)


@pytest.mark.parametrize("rate", RATES)
def test_context_is_a_whole_number_of_samples_at_both_rates(rate):
    assert context_samples(rate) * SAMPLE_RATE % rate == 0
    assert context_samples(rate) >= 0.1 * rate


def test_context_is_the_neighbourhood():
    x = np.arange(2.5 * 8000, dtype=np.float32)[None]
    padded = np.pad(x, ((0, 0), (800, 800)))
    for block, wide in with_context(blocks_of(x, 8000)):
        start = round(block.start_seconds * 8000)
        np.testing.assert_array_equal(wide, padded[:, start : start + block.samples.shape[1] + 1600])


def test_no_sound_gives_no_blocks():
    assert list(with_context([])) == []


def run(tmp_path, x: np.ndarray, rate: int, shares: list[float]) -> tuple[list[np.ndarray], np.ndarray]:
    mono = np.concatenate(list(model_blocks(blocks_of(x, rate))))
    sources = Estimates.of(np.stack([share * mono for share in shares]), SAMPLE_RATE, tmp_path)
    gains = np.repeat(np.eye(len(shares), dtype=np.float32)[:, :, None], -(-len(mono) // 640), axis=2)
    files = [tmp_path / f"speaker_{i:02d}.wav" for i in range(len(shares))]
    write_tracks(blocks_of(x, rate), TrackReader(sources, gains), files, tmp_path / "residual.wav", x.shape[1] / rate)
    read = [sf.read(f, dtype="float32", always_2d=True) for f in (*files, tmp_path / "residual.wav")]
    assert {r for _, r in read} == {rate}
    return [t.T for t, _ in read[:-1]], read[-1][0].T


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_tracks_and_residual_add_up_to_the_input(tmp_path, rate, channels):
    x = np.stack([voice_like(int(2.6 * rate) + 7, rate, seed) for seed in range(channels)])
    tracks, residual = run(tmp_path, x, rate, [0.5, 0.3])
    assert tracks[0].shape == residual.shape == x.shape
    np.testing.assert_allclose(sum(tracks) + residual, x, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_an_estimate_equal_to_the_mixture_comes_back_unchanged(tmp_path, rate):
    x = voice_like(int(2.6 * rate), rate)[None]
    (track,), residual = run(tmp_path, x, rate, [1.0])
    # -50 dB: the low-pass of two resamplings at their transition band.
    assert (residual**2).mean() < 1e-5 * (x**2).mean()
    assert np.corrcoef(track[0], x[0])[0, 1] > 0.9999


def test_the_band_above_the_models_goes_to_its_owner(tmp_path):
    rate, time = 48_000, 96_000
    x = np.random.default_rng(0).standard_normal((1, time)).astype(np.float32) * 0.1
    (track,), residual = run(tmp_path, x, rate, [1.0])
    high = np.fft.rfftfreq(time, 1 / rate) > 9000
    spectrum, rest = (np.abs(np.fft.rfft(v[0]))[high] for v in (track, residual))
    assert (rest**2).sum() < 0.05 * (spectrum**2).sum()


def placed(estimates: np.ndarray, channels: np.ndarray, rate: int = 16_000) -> np.ndarray:
    """Both (..., time), without context, block by block -> (tracks, channels, time)."""
    edge = rate // 10
    images = ChannelImages(rate, edge)
    wide = [np.pad(x, ((0, 0), (edge, edge))) for x in (estimates, channels)]
    ends = range(0, estimates.shape[1], rate)
    return np.concatenate(
        [images(*(x[:, at : at + rate + 2 * edge] for x in wide))[..., edge : edge + rate] for at in ends], axis=2
    )


def test_a_voice_is_placed_in_its_channel():
    voice = voice_like(32_000, 16_000)
    out = placed(voice[None], np.stack([2 * voice, 0 * voice]))[0]
    np.testing.assert_allclose(out, [2 * voice, 0 * voice], atol=0.1 * np.abs(voice).max())


def test_two_voices_keep_their_delays_and_levels_at_two_microphones():
    voices = np.stack([voice_like(64_000, 16_000, seed) for seed in (1, 2)])
    near, far = np.roll(voices, 6, axis=1) * 0.7, np.roll(voices, -8, axis=1) * 0.5
    images = np.stack([voices, np.stack([near[0], far[1]])], axis=1)
    out = placed(voices, images.sum(axis=0))
    left = ((out - images) ** 2).sum(axis=2) / (images**2).sum(axis=2)
    assert (10 * np.log10(left) < -15).all()


def test_filters_fade_from_block_to_block():
    """Somebody who walks from left to right: no step where one block ends and the next begins."""
    voice = voice_like(96_000, 16_000)
    walk = np.linspace(0, 1, 96_000, dtype=np.float32)
    out = placed(voice[None], np.stack([voice * (1 - walk), voice * walk]))[0]
    steps = np.abs(np.diff(out - voice * np.stack([1 - walk, walk]), axis=1))
    seams = steps[:, np.arange(16_000, 96_000, 16_000) - 1]
    assert seams.max() < 3 * np.median(steps.max(axis=1))


def test_silent_estimates_get_no_high_band_and_no_nan():
    shares = high_band_weights(np.zeros((2, 16_000), np.float32), voice_like(16_000, 16_000))
    assert np.isfinite(shares).all()
    assert shares.max() < 1e-3
    wide = np.zeros((2, 48_000 + 2 * context_samples(48_000)), np.float32)
    images = ChannelImages(48_000, context_samples(48_000))
    silent = spread(np.zeros((2, 1, 16_000 + 3_200), np.float32), wide, 48_000, SAMPLE_RATE, images)
    assert not silent.any()


def test_gains_fade_between_pictures(tmp_path):
    sources = Estimates.of(np.ones((1, 6400), np.float32), SAMPLE_RATE, tmp_path)
    gains = np.zeros((1, 1, 10), np.float32)
    gains[..., 5:] = 1
    track = TrackReader(sources, gains).read(-100, 6500)[0, 0]
    assert not track[:100].any()
    assert not track[-100:].any()
    inner = track[100:-100]
    assert (np.diff(inner) >= 0).all()
    assert np.diff(inner).max() <= 1 / 640 + 1e-6
    assert inner[5 * 640] == pytest.approx(0.5, abs=1e-3)


def test_two_tracks_of_the_same_sound_are_told(tmp_path):
    x = voice_like(32_000, 16_000)[None]
    sources = Estimates.of(np.stack([0.5 * x[0], 0.4 * x[0]]), SAMPLE_RATE, tmp_path)
    gains = np.repeat(np.eye(2, dtype=np.float32)[:, :, None], 50, axis=2)
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    same = write_tracks(blocks_of(x, 16_000), TrackReader(sources, gains), files, tmp_path / "r.wav", 2.0)
    assert same == [(0, 1)]


def test_refinement_keeps_what_is_right_and_never_adds_sound():
    voices = np.stack([voice_like(16_000, 16_000, seed) for seed in (1, 2)])
    mixture = voices.sum(axis=0)
    for estimates in (voices, 0.5 * voices, np.stack([mixture, 0 * mixture])):
        out = ratio_mask_refinement(estimates, mixture, 16_000)
        assert out.shape == estimates.shape
        assert np.isfinite(out).all()
        assert (out.sum(axis=0) ** 2).mean() <= (mixture**2).mean() * 1.001
    whole = ratio_mask_refinement(np.stack([mixture, 0 * mixture]), mixture, 16_000)
    np.testing.assert_allclose(whole[0], mixture, atol=1e-4)
    assert not whole[1].any()
    assert not ratio_mask_refinement(0 * voices, 0 * mixture, 16_000).any()


def test_what_is_too_short_to_refine_stays_as_it_is():
    short = np.ones((2, 100), np.float32)
    np.testing.assert_array_equal(ratio_mask_refinement(short, short.sum(axis=0), 16_000), short)


@pytest.mark.parametrize(("own_rate", "rate"), [(44_100, 44_100), (44_100, 48_000), (8_000, 16_000), (44_100, 22_050)])
def test_estimates_of_any_rate_and_several_channels_come_back_in_place(tmp_path, own_rate, rate):
    x = np.stack([voice_like(2 * rate, rate, seed) for seed in (1, 2)])
    own = resample(x, rate, own_rate)
    sources = Estimates.of(np.stack([0.75 * own, 0.25 * own]), own_rate, tmp_path)
    gains = np.repeat(np.eye(2, dtype=np.float32)[:, :, None], 50, axis=2)
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    write_tracks(blocks_of(x, rate), TrackReader(sources, gains), files, tmp_path / "r.wav", 2.0)
    tracks = [sf.read(file, dtype="float32")[0].T for file in files]
    for track, part in zip(tracks, (0.75, 0.25), strict=True):
        assert ((track - part * x) ** 2).mean() < 1e-3 * (x**2).mean()
    np.testing.assert_allclose(sum(tracks) + sf.read(tmp_path / "r.wav", dtype="float32")[0].T, x, atol=1e-6)


@pytest.mark.parametrize("time", [0, 1, SAMPLE_RATE, 2 * SAMPLE_RATE + 5])
def test_sources_are_summed_to_one(time):
    x = np.random.default_rng(0).standard_normal((3, 2, time)).astype(np.float32)
    estimates = Estimates.of(x, SAMPLE_RATE)
    estimates.of_array = True
    together = estimates.summed()
    assert (together.of_array, together.sample_rate, together.channels, len(together)) == (True, SAMPLE_RATE, 2, time)
    np.testing.assert_allclose(together.read(0, time).sum(0), x.sum(0), atol=1e-6)
    assert together.count == (1 if time else 0)
