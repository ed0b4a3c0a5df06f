"""AuxIVA: what several microphones in a room give, without any weights."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile
import torch
from two_talkers import in_a_room, voices

from avsep.checkpoint import load_model
from avsep.errors import UsageError
from avsep.evaluation.metrics import si_sdr
from avsep.models.auxiva import AuxIVA

pytest.importorskip("pyroomacoustics")

SMALL = {"window": 512, "hop": 256, "iterations": 3}


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """(2 talkers, 4 microphones, time)."""
    return in_a_room(voices(), 4)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_two_talkers_in_a_room(room):
    mixture = room.sum(0)
    estimates = AuxIVA()(torch.from_numpy(mixture)[None]).estimates[0].numpy()
    assert estimates.shape == (4, *mixture.shape)
    # With as many sources as microphones nothing is lost, at any microphone.
    np.testing.assert_allclose(estimates.sum(0), mixture, atol=1e-6)
    for microphone in range(4):
        gains = si_sdr(estimates[:, None, microphone], room[None, :, microphone]).max(0) - si_sdr(
            mixture[microphone], room[:, microphone]
        )
        assert (gains > 10).all(), gains


@pytest.mark.slow
def test_two_sources_of_four_microphones(room):
    mixture = room.sum(0)
    estimates = AuxIVA(sources=2)(torch.from_numpy(mixture)[None]).estimates[0].numpy()
    scores = si_sdr(estimates[:, None, 0], room[None, :, 0])
    assert scores.shape == (2, 2)
    assert (scores.max(0) - si_sdr(mixture[0], room[:, 0]) > 10).all(), scores
    # The images are as close to the mixture as filters of the sources can be: what is left is at right angles to them.
    left = mixture - estimates.sum(0)
    assert np.abs(np.sum(left * estimates, axis=-1)).max() < 0.02 * np.sum(mixture**2, axis=-1).max()


@pytest.mark.parametrize("sources", [None, 2])
@pytest.mark.parametrize(
    "kind", ["noise", "silence", "one sample", "short", "the same", "one is silent", "a gap", "half the band"]
)
def test_any_sound_gives_finite_estimates(kind, sources):
    mixture = noise(1, 4, {"one sample": 1, "short": 300}.get(kind, 6000))
    if kind == "silence":
        mixture.zero_()
    elif kind == "the same":
        mixture[:] = mixture[:, :1].clone()
    elif kind == "one is silent":
        mixture[:, 2] = 0
    elif kind == "a gap":
        mixture[..., 1000:4000] = 0
    elif kind == "half the band":
        mixture = mixture + mixture.roll(1, -1) + mixture.roll(2, -1)
    estimates = AuxIVA(sources, **SMALL)(mixture).estimates
    assert estimates.shape == (1, sources or 4, *mixture.shape[1:])
    assert estimates.isfinite().all()
    if sources is None or kind == "the same":
        assert torch.allclose(estimates.sum(1), mixture, atol=1e-4)


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_the_second_distribution_is_tried_where_the_first_finds_nothing(monkeypatch, failures):
    import pyroomacoustics.bss

    tried, real = [], pyroomacoustics.bss.auxiva

    def failing(*args, model, **options):
        tried.append(model)
        if len(tried) <= failures:
            raise np.linalg.LinAlgError("Singular matrix")
        return real(*args, model=model, **options)

    monkeypatch.setattr(pyroomacoustics.bss, "auxiva", failing)
    mixture = noise(1, 3, 6000)
    estimates = AuxIVA(**SMALL)(mixture).estimates
    assert tried == ["gauss", "laplace"][: failures + 1]
    assert torch.allclose(estimates.sum(1), mixture, atol=1e-5)
    # Where nothing can be found, each source is a microphone.
    alone = torch.diag_embed(mixture[0].t()).permute(1, 2, 0)
    assert torch.allclose(estimates[0], alone, atol=1e-5) == (failures == 2)


def test_channels_and_sources_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"mixture \(1, 1, 100\); expected \(batch, channels, time\) with 2 to 8"):
        AuxIVA()(noise(1, 1, 100))
    with pytest.raises(ValueError, match="sources is 9; it must be 1 to most_channels = 8, or None"):
        AuxIVA(sources=9)
    assert AuxIVA(sources=3).contract.channels == (3, 8)


def test_without_pyroomacoustics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics.bss", None)
    with pytest.raises(UsageError, match=r"AuxIVA needs pyroomacoustics.*pip install 'avsep\[array\]'"):
        AuxIVA(**SMALL)(noise(1, 2, 2000))


@pytest.mark.slow
def test_a_file_of_four_microphones_on_the_command_line(cli, room, tmp_path):
    mixture = room.sum(0)
    soundfile.write(tmp_path / "meeting.wav", mixture.T, 16_000, subtype="FLOAT")
    code, out, err = cli("separate", "meeting.wav", "--model", "auxiva", "--channels", "all", "--json")
    assert code == 0, err
    (manifest,) = json.loads(out)
    assert (manifest["mode"], manifest["model"]) == ("multichannel", "auxiva")
    # Two people talk: two tracks, though there are four sources.
    assert [track["kind"] for track in manifest["tracks"]] == ["voice", "voice"]
    names = [*(track["audio"] for track in manifest["tracks"]), manifest["residual"]]
    read = np.stack([soundfile.read(tmp_path / "separated/meeting" / name, dtype="float32")[0].T for name in names])
    np.testing.assert_allclose(read.sum(0), mixture, atol=1e-5)
    scores = si_sdr(read[:2, None, 0], room[None, :, 0])
    assert (scores.max(0) - si_sdr(mixture[0], room[:, 0]) > 10).all(), scores


def test_the_bundled_file_holds_a_header_only():
    model, card = load_model("auxiva")
    assert (card.parameters, model.state_dict(), model.contract.sources) == (0, {}, None)
