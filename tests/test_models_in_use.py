"""Models of one file each, from a weights file through the commands: evaluated on a list and a folder, separating."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from two_talkers import voices

from avsep.checkpoint import load_model, save_model
from avsep.data.lists import MixtureSpec, Part, write_list
from avsep.inference.sliding import SlidingSeparator
from avsep.models.attractor_network import AttractorNetwork
from avsep.models.auxiva import AuxIVA
from avsep.models.base import SeparationModel
from avsep.models.chimera import Chimera
from avsep.models.complex_ratio_mask import ComplexRatioMaskBLSTM
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.danet import ADANet, DANet
from avsep.models.deep_clustering import DeepClustering
from avsep.models.dprnn import DPRNN
from avsep.models.fasnet_tac import FaSNetTAC
from avsep.models.gammatone_tasnet import GammatoneTasNet
from avsep.models.lstm_tasnet import LSTMTasNet
from avsep.models.mc_conv_tasnet import MultiChannelConvTasNet
from avsep.models.mulcat import MulCatDPRNN
from avsep.models.multi_decoder_dprnn import MultiDecoderDPRNN
from avsep.models.one_and_rest import OneAndRest
from avsep.models.open_unmix import OpenUnmix
from avsep.models.parts.convolutional_trunk import ConvolutionalTrunk
from avsep.models.parts.voice_counter import VoiceCounter
from avsep.models.pit_blstm import PitBLSTM
from avsep.models.sepformer import SepFormer
from avsep.models.sepreformer import SepReformer
from avsep.models.sudormrf import SuDoRMRF, SuDoRMRFpp
from avsep.models.two_step import TwoStepTDCN
from avsep.models.upit_blstm import UPitBLSTM
from avsep.models.wave_u_net import WaveUNet
from avsep.models.wavenet import WaveNet
from avsep.models.wavesplit import Wavesplit

SECONDS = 1.5
SMALL_TCN = {"bottleneck": 8, "hidden": 8, "blocks": 2, "repeats": 2, "sample_rate": 8000}
SMALL = {"filters": 16, "bottleneck": 8, "hidden": 8, "chunk": 20, "blocks": 2, "sample_rate": 8000}
SPECTRAL = {"layers": 1, "hidden": 8, "window": 256, "hop": 64, "sample_rate": 8000}
FAST = ("--metrics", "si_sdr,snr", "--no-pictures", "--json")

MODELS = {
    "auxiva": lambda: AuxIVA(window=1024, hop=256, iterations=5),
    "clusters": lambda: DeepClustering(layers=1, hidden=8, dims=4, window=256, hop=64, sample_rate=8000),
    "chimera": lambda: Chimera(**SPECTRAL, dims=4),
    "complex_masks": lambda: ComplexRatioMaskBLSTM(**SPECTRAL),
    "pit": lambda: PitBLSTM(**SPECTRAL, span=3),
    "upit": lambda: UPitBLSTM(**SPECTRAL),
    "danet": lambda: DANet(layers=1, hidden=8, dims=4, window=256, hop=64, sample_rate=8000),
    "fixed": lambda: DANet(2, 1, 8, 4, attractors="fixed", window=256, hop=64, sample_rate=8000),
    "adanet": lambda: ADANet(layers=1, hidden=8, dims=4, window=256, hop=64, sample_rate=8000),
    "convolutional": lambda: AttractorNetwork(
        ConvolutionalTrunk(4, 4, (1, 2, 1)), window=256, hop=64, sample_rate=8000
    ),
    "dprnn": lambda: DPRNN(**SMALL, kernel=16, stride=8),
    "mulcat": lambda: MulCatDPRNN(**SMALL),
    "multi_decoder": lambda: MultiDecoderDPRNN(3, **SMALL),
    "one_and_rest": lambda: OneAndRest(
        ConvTasNet(2, 16, 16, 8, 8, 12, blocks=3, repeats=2, sample_rate=8000),
        VoiceCounter(channels=8, hidden=8, blocks=2, mels=16, sample_rate=8000),
    ),
    "fasnet_tac": lambda: FaSNetTAC(2, 8, 64, 64, 8, 8, 20, 2, 8, sample_rate=8000),
    "lstm_tasnet": lambda: LSTMTasNet(filters=16, kernel=40, hidden=8, sample_rate=8000),
    "gammatone": lambda: GammatoneTasNet(filters=48, kernel=16, stride=8, **SMALL_TCN),
    "two_step": lambda: TwoStepTDCN(filters=16, kernel=21, stride=10, **SMALL_TCN),
    "wave_u_net": lambda: WaveUNet(filters=4, layers=4, sample_rate=8000),
    "wavenet": lambda: WaveNet(filters=4, skip=4, layers=4, stacks=1, last=[4], sample_rate=8000),
    "mc_conv_tasnet": lambda: MultiChannelConvTasNet(2, 16, 16, 8, 8, 12, 8, 3, 2, 2, sample_rate=8000),
    "sepformer": lambda: SepFormer(2, 16, 16, 8, 8, 20, 1, 1, 2, 8, sample_rate=8000),
    "sepreformer": lambda: SepReformer(2, 16, 16, 8, 8, 2, 1, 1, 2, 5, sample_rate=8000),
    "sudormrf": lambda: SuDoRMRF(2, 16, 16, 8, 8, 2, 3, sample_rate=8000),
    "sudormrf_pp": lambda: SuDoRMRFpp(2, 16, 16, 8, 8, 2, 3, sample_rate=8000),
    "wavesplit": lambda: Wavesplit(2, 4, 8, 8, 16, 8, 3, 1, 3, sample_rate=8000),
}


STEMS = ["drums", "vocals"]
SONGS = {
    "open_unmix": lambda: OpenUnmix(STEMS, hidden=8, layers=1, window=512, hop=128, sample_rate=8000),
    "wave_u_net": lambda: WaveUNet(stems=STEMS, channels=2, filters=4, layers=4, sample_rate=8000),
    "wavenet": lambda: WaveNet(stems=STEMS, filters=4, skip=4, layers=4, stacks=1, last=[4], sample_rate=8000),
}
"""Models of stems; the last one is of one channel."""


@pytest.fixture(params=MODELS)
def model(request, one_thread) -> SeparationModel:
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@pytest.fixture
def weights(model: SeparationModel, tmp_path: Path) -> Path:
    save_model(tmp_path / "mine.safetensors", model, "mine", "MIT", {"data": "none"}, half=False)
    return tmp_path / "mine.safetensors"


def heard(model: SeparationModel) -> np.ndarray:
    """What as many microphones as the model takes get of two talkers: (sources, channels, time)."""
    sources = voices(3.5, SECONDS)
    channels = model.contract.channels[0]
    return np.stack([np.stack([np.roll(s, 3 * n * c) for c in range(channels)]) for n, s in enumerate(sources)])


def test_a_saved_model_comes_back(model, weights):
    again, card = load_model(weights)
    mixture = torch.from_numpy(heard(model).sum(0))[None]
    with torch.no_grad():
        expected, found = model.separate(mixture).estimates, again.separate(mixture).estimates
    assert torch.equal(found, expected)
    assert (card.class_path, card.parameters) == (model.class_path, model.parameter_count)
    assert again.contract == model.contract


@pytest.mark.parametrize(
    ("name", "passes", "refined"),
    [
        ("auxiva", 1, False),
        ("clusters", 2, False),
        ("chimera", 2, False),
        ("complex_masks", 2, True),
        ("pit", 2, True),
        ("danet", 2, False),
        ("fixed", 2, False),
        ("adanet", 2, False),
        ("convolutional", 2, False),
        ("dprnn", 2, True),
        ("mulcat", 2, True),
        ("lstm_tasnet", 2, True),
        ("gammatone", 2, True),
        ("two_step", 2, True),
        ("multi_decoder", 1, True),
        ("one_and_rest", 1, True),
        ("fasnet_tac", 2, False),
        ("mc_conv_tasnet", 2, True),
        ("wave_u_net", 2, False),
        ("wavenet", 1, False),
        ("sepformer", 2, True),
        ("sepreformer", 2, True),
        ("sudormrf", 2, True),
        ("sudormrf_pp", 2, True),
        ("wavesplit", 2, True),
    ],
)
def test_passes_and_refinement_follow_from_the_contract(name, passes, refined):
    engine = SlidingSeparator(MODELS[name]())
    assert (engine.passes_made, engine.refines) == (passes, refined)


@pytest.mark.slow
def test_a_folder_is_evaluated(cli, model, weights, tmp_path):
    sources = heard(model)
    (tmp_path / "ref" / "a").mkdir(parents=True)
    for number, source in enumerate(sources):
        soundfile.write(tmp_path / f"ref/a/s{number}.wav", source.T, 16_000, subtype="FLOAT")
    code, out, err = cli("evaluate", "ref", "--model", weights, *FAST)
    assert code == 0, err
    summary = json.loads(out)
    assert summary["estimates"]["passes"] == SlidingSeparator(model).passes_made
    assert np.isfinite(summary["systems"]["estimate"]["si_sdr"]["mean"])


@pytest.mark.slow
def test_a_list_is_evaluated(cli, model, weights, tmp_path):
    parts = []
    for number, source in enumerate(voices(3.5, SECONDS)):
        soundfile.write(tmp_path / f"{number}.wav", source, 16_000, subtype="FLOAT")
        parts.append(Part(tmp_path / f"{number}.wav", None, f"talker{number}", "voice", 0.0, 1.0))
    write_list(tmp_path / "list.tsv", [MixtureSpec("m", SECONDS, tuple(parts))])
    code, out, err = cli("evaluate", "list.tsv", "--model", weights, *FAST)
    if model.contract.channels[0] > 1:
        assert code == 2
        assert "the sound has 1 channel, and the model takes 2 to 8" in err
    else:
        assert code == 0, err
        assert np.isfinite(json.loads(out)["systems"]["estimate"]["si_sdr"]["mean"])


@pytest.mark.slow
def test_a_clip_is_separated(cli, model, weights, tmp_path):
    mixture = heard(model).sum(0)
    soundfile.write(tmp_path / "talk.wav", mixture.T, 16_000, subtype="FLOAT")
    code, out, err = cli("separate", "talk.wav", "--model", weights, "--speakers", "2", "--json")
    assert code == 0, err
    (manifest,) = json.loads(out)
    assert (manifest["model"], len(manifest["tracks"])) == ("mine", 2)
    assert manifest["mode"] == ("multichannel" if model.contract.channels[1] > 1 else "audio-only")
    files = [*(track["audio"] for track in manifest["tracks"]), manifest["residual"]]
    read = [soundfile.read(tmp_path / "separated/talk" / file, dtype="float32", always_2d=True)[0].T for file in files]
    np.testing.assert_allclose(sum(read), mixture, atol=1e-5)


@pytest.mark.parametrize("name", SONGS)
def test_the_stems_of_a_song_have_their_names(cli, name, tmp_path, one_thread):
    torch.manual_seed(0)
    save_model(tmp_path / "mine.safetensors", SONGS[name]().eval(), "mine", "MIT", {"data": "none"}, half=False)
    sources = np.stack([0.8 * voices(3.5, SECONDS), 0.3 * voices(3.5, SECONDS)], axis=1)
    (tmp_path / "ref" / "a").mkdir(parents=True)
    for stem, source in zip(STEMS, sources, strict=True):
        soundfile.write(tmp_path / f"ref/a/{stem}.wav", source.T, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "song.wav", sources.sum(0).T, 16_000, subtype="FLOAT")
    code, out, err = cli("separate", "song.wav", "--model", tmp_path / "mine.safetensors", "--json")
    assert code == 0, err
    (manifest,) = json.loads(out)
    assert [(track["label"], track["kind"]) for track in manifest["tracks"]] == [(stem, "stem") for stem in STEMS]
    files = [*(track["audio"] for track in manifest["tracks"]), manifest["residual"]]
    read = [soundfile.read(tmp_path / "separated/song" / file, dtype="float32")[0] for file in files]
    np.testing.assert_allclose(sum(read), sources.sum(0).T, atol=1e-5)
    code, out, err = cli("evaluate", "ref", "--model", tmp_path / "mine.safetensors", *FAST)
    assert code == 0, err
    assert np.isfinite(json.loads(out)["systems"]["estimate"]["si_sdr"]["mean"])
