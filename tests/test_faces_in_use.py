"""Models that faces steer, from a weights file through the commands: evaluated on a list, separating a film."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from two_talkers import DEMO, in_a_room, voices

from avsep.checkpoint import load_model, save_model
from avsep.data.lists import MixtureSpec, Part, write_list
from avsep.evaluation.model import CuesInMemory, true_delays
from avsep.models.av_dprnn import AVDPRNN
from avsep.models.base import SeparationModel
from avsep.models.looking_to_listen import LookingToListen
from avsep.models.multimodal_target import MultimodalTarget
from avsep.models.the_conversation import TheConversation
from preprocessing.make_smoke import embeddings, mouths

SECONDS = 1.5
LIP = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "size": 24}
FAST = ("--metrics", "si_sdr,snr", "--no-pictures", "--json")

MODELS = {
    "looking_to_listen": lambda: LookingToListen(2, 3, 2, 4, 5, 6, 64, 32, 64, sample_rate=8000),
    "av_dprnn": lambda: AVDPRNN(8, 16, 8, 6, 4, 10, 2, sample_rate=8000, lip=LIP),
    "the_conversation": lambda: TheConversation(4, 5, 5, 4, 1, 3, 1, 64, 32, sample_rate=8000, lip=LIP),
    "multimodal_target": lambda: MultimodalTarget(64, 32, 0.3, 6, 8, 0, 3, 2, 2, lip=LIP),
    "with_enrolment": lambda: MultimodalTarget(64, 32, 0.3, 6, 8, 0, 3, 2, 2, lip=LIP, voice={"width": 4}),
}


@pytest.fixture(params=MODELS)
def model(request, one_thread) -> SeparationModel:
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@pytest.fixture
def weights(model: SeparationModel, tmp_path: Path) -> Path:
    save_model(tmp_path / "mine.safetensors", model, "mine", "MIT", {"data": "none"}, half=False)
    return tmp_path / "mine.safetensors"


@pytest.mark.slow
def test_a_saved_model_comes_back(model, weights):
    again, card = load_model(weights)
    assert (card.class_path, card.parameters) == (model.class_path, model.parameter_count)
    assert again.contract == model.contract
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.slow
def test_a_list_is_evaluated(cli, model, weights, tmp_path):
    rng, parts = np.random.default_rng(0), []
    sources = in_a_room(voices(3.5, SECONDS), 3) if model.contract.channels[0] > 1 else voices(3.5, SECONDS)[:, None]
    for n, source in enumerate(sources):
        wide = rng.random(round(25 * SECONDS) + 1)
        shown = {"lips": mouths(rng, wide, rng.random(3)), "face": embeddings(rng, wide, rng.standard_normal(512))}
        np.savez(tmp_path / f"{n}.npz", **shown, first=np.array(0))
        soundfile.write(tmp_path / f"{n}.wav", source.T, 16_000, subtype="FLOAT")
        files = tmp_path / f"{n}.wav", tmp_path / f"{n}.npz"
        parts.append(Part(*files, f"talker{n}", "voice", 0.0, 1.0, files[0]))
    write_list(tmp_path / "list.tsv", [MixtureSpec("m", SECONDS, tuple(parts))])
    code, out, err = cli("evaluate", "list.tsv", "--model", weights, *FAST)
    assert code == 0, err
    assert np.isfinite(json.loads(out)["systems"]["estimate"]["si_sdr"]["mean"])


def test_a_folder_has_no_faces(cli, model, weights, tmp_path):
    (tmp_path / "ref" / "a").mkdir(parents=True)
    for n, source in enumerate(voices(3.5, SECONDS)):
        soundfile.write(tmp_path / f"ref/a/s{n}.wav", source, 16_000, subtype="FLOAT")
    code, _, err = cli("evaluate", "ref", "--model", weights, *FAST)
    assert code == 2
    assert f"the model needs {model.contract.cues[0]}, and a folder of sound files has none" in err


def test_delays_of_references():
    source = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    images = np.stack([[source, np.roll(source, 3)], [source, np.roll(source, -2)]])
    np.testing.assert_allclose(16_000 * true_delays(images, 16_000), [[0, 3], [0, -2]], atol=0.1)


def test_cues_in_memory_by_time():
    cues = CuesInMemory({"delays": np.eye(3), "face": np.arange(75.0).reshape(3, 25, 1)})
    assert cues.sources == 3
    present, found = cues.read(0.2, 0.4)
    assert present == [0, 1, 2]
    assert found["face"][1, :, 0].tolist() == [30, 31, 32, 33, 34]
    assert found["delays"].shape == (3, 3)


def film(path: Path, sound: np.ndarray) -> Path:
    """The pictures of the demo clip with another sound, (channels, time) at 16 kHz."""
    layout = "mono" if len(sound) == 1 else "3.0"
    with av.open(str(DEMO / "demo.mp4")) as source, av.open(str(path), "w") as target:
        pictures = target.add_stream_from_template(source.streams.video[0])
        stream = target.add_stream("pcm_s16le", rate=16_000, layout=layout)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                target.mux(packet)
        samples = np.ascontiguousarray((32_767 * sound).astype(np.int16).T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.pts = 16_000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            target.mux(packet)
    return path


@pytest.mark.slow
def test_a_film_is_separated(cli, model, weights, tmp_path):
    """Each person has a track, and all tracks and the residual are the film's sound."""
    sources = voices()
    sound = in_a_room(sources, 3).sum(0) if model.contract.channels[0] > 1 else sources.sum(0)[None]
    sound = 0.5 * sound / abs(sound).max()
    film(tmp_path / "film.mkv", sound)
    code, out, err = cli("separate", "film.mkv", "--model", weights, "--end", "2", "--no-video", "--json")
    if "enrolment" in model.contract.cues:
        assert code == 2
        assert "it needs lips, delays, enrolment" in err
        return
    assert code == 0, err
    (manifest,) = json.loads(out)
    assert (manifest["model"], manifest["mode"]) == ("mine", "audio-visual")
    assert [track["kind"] for track in manifest["tracks"]] == ["person", "person"]
    files = [*(track["audio"] for track in manifest["tracks"]), manifest["residual"]]
    folder = tmp_path / "separated/film"
    read = [soundfile.read(folder / file, dtype="float32", always_2d=True)[0].T for file in files]
    np.testing.assert_allclose(sum(read)[:1], sound[:1, : 2 * 16_000], atol=1e-4)
    for track in manifest["tracks"]:
        assert np.isfinite(soundfile.read(folder / track["audio"])[0]).all()
