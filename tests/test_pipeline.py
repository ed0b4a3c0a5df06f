"""From a file to tracks, with the real weights: the bundled demo clip and, where they are there, real films."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from media_factory import tone, write_media

from avsep import Options, Separator
from avsep.cli.demo import CLIP, score
from avsep.errors import InputError, OutputError, UsageError, WeightsError
from avsep.evaluation.metrics import si_sdr
from avsep.evaluation.model import estimate, load_engine
from avsep.media.decode import probe, read_audio

CLIPS = Path(__file__).parents[1].parent / "shared" / "clips"
real = pytest.mark.skipif(not CLIPS.exists(), reason="the real clips are not here")


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator(device="cpu")


@pytest.fixture(scope="module")
def demo(separator, tmp_path_factory):
    """Folder and manifest of the demo clip, separated with mp4s."""
    out = tmp_path_factory.mktemp("demo")
    manifest = separator.separate(CLIP, out)
    return out / "demo", manifest


def sound(path: Path) -> np.ndarray:
    return sf.read(path, dtype="float32", always_2d=True)[0].T


def whole(path: Path) -> np.ndarray:
    return np.concatenate([b.samples for b in read_audio(probe(path), pytest.fail)], axis=1)


def level(x: np.ndarray) -> float:
    """dB of full scale."""
    return float(10 * np.log10(np.mean(x**2) + 1e-12))


def check_sum(folder: Path, manifest: dict, clip: Path, end: float | None = None) -> np.ndarray:
    """Tracks and residual are as long as the input, up to `end` seconds, and add up to it; returns the input."""
    mixture = whole(clip)
    if end is not None:
        mixture = mixture[..., : round(end * manifest["input"]["audio"]["sample_rate"])]
    tracks = [sound(folder / s["audio"]) for s in manifest["speakers"]]
    residual = sound(folder / manifest["residual"])
    assert {t.shape for t in tracks} | {residual.shape} == {mixture.shape}
    np.testing.assert_allclose(sum(tracks) + residual, mixture, atol=2e-6)
    assert all(np.isfinite(t).all() for t in tracks)
    return mixture


@pytest.mark.slow
def test_the_demo_has_two_people_with_their_files(demo):
    folder, manifest = demo
    assert manifest["mode"] == "audio-visual"
    assert len(manifest["speakers"]) == 2
    names = {p.name for p in folder.iterdir()}
    per_person = {f"speaker_0{i}.{suffix}" for i in range(2) for suffix in ("wav", "mp4", "jpg")}
    assert names == per_person | {"residual.wav", "manifest.json", "faces.json"}
    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_the_demos_tracks_add_up(demo):
    check_sum(*demo, CLIP)


def test_each_face_of_the_demo_gets_its_own_voice(demo):
    folder, manifest = demo
    rows = score(manifest, folder)
    assert [row["face"] for row in rows] == ["left", "right"]
    assert all(row["improvement_db"] > 0 for row in rows), rows


def test_the_manifest_keeps_the_contract(demo):
    _, manifest = demo
    assert manifest.keys() >= {
        "format", "avsep_version", "input", "mode", "model", "options", "speakers", "residual", "warnings", "timing",
    }  # fmt: skip
    assert manifest["input"].keys() >= {"path", "sha256", "duration_seconds", "audio", "video"}
    assert manifest["timing"].keys() >= {"total_seconds", "real_time_factor", "steps"}
    for speaker in manifest["speakers"]:
        assert speaker.keys() >= {
            "id", "audio", "video", "thumbnail", "box", "appearances", "speaking", "confidence", "warnings",
        }  # fmt: skip
        x1, y1, x2, y2 = speaker["box"]
        assert 0 <= x1 < x2 <= 1280
        assert 0 <= y1 < y2 <= 720
        assert 0 <= speaker["speech_probability"] <= 1
        for span in speaker["appearances"] + speaker["speaking"]:
            assert 0 <= span["start_seconds"] < span["end_seconds"] <= 8.7


def test_tracks_are_listed_with_their_kind(demo):
    _, manifest = demo
    assert [track["kind"] for track in manifest["tracks"]] == ["person", "person"]
    assert manifest["speakers"] == manifest["tracks"]


@pytest.mark.slow
def test_an_audio_file_loads_no_synchrony_network(separator, two_voices, tmp_path):
    fresh = Separator(device="cpu")
    fresh.separate(two_voices, tmp_path / "out", Options(speakers=2))
    assert [path.stem for path in fresh.models._loaded] == ["ensemble-2spk"]


@pytest.mark.slow
def test_the_same_clip_gives_the_same_tracks(separator, demo, tmp_path):
    folder, _ = demo
    again = separator.separate(CLIP, tmp_path, Options(video=False))
    for speaker in again["speakers"]:
        np.testing.assert_allclose(
            sound(tmp_path / "demo" / speaker["audio"]), sound(folder / speaker["audio"]), atol=1e-4
        )


@pytest.mark.slow
def test_a_span_is_the_same_stretch(separator, tmp_path):
    manifest = separator.separate(CLIP, tmp_path, Options(start=2.0, end=6.0, video=False))
    assert manifest["input"]["duration_seconds"] == pytest.approx(4.0, abs=0.001)
    tracks = [sound(tmp_path / "demo" / s["audio"]) for s in manifest["speakers"]]
    total = sum(tracks) + sound(tmp_path / "demo" / "residual.wav")
    mixture = whole(CLIP)[:, 2 * 48_000 : 6 * 48_000]
    np.testing.assert_allclose(total, mixture, atol=2e-6)


@pytest.fixture
def two_voices(tmp_path) -> Path:
    voices = [sound(CLIP.parent / f"{side}.flac")[0] for side in ("left", "right")]
    path = tmp_path / "call.wav"
    sf.write(path, sum(voices), 16_000, subtype="FLOAT")
    return path


@pytest.mark.slow
def test_sound_alone_gives_two_tracks_without_faces(separator, two_voices, tmp_path):
    manifest = separator.separate(two_voices, tmp_path / "out")
    assert manifest["mode"] == "audio-only"
    assert len(manifest["speakers"]) == 2
    for speaker in manifest["speakers"]:
        assert speaker["box"] is speaker["appearances"] is speaker["thumbnail"] is speaker["video"] is None
    check_sum(tmp_path / "out" / "call", manifest, two_voices)


@pytest.mark.slow
def test_the_library_replaces_only_what_avsep_wrote(separator, two_voices, tmp_path):
    out = tmp_path / "out"
    separator.separate(two_voices, out, Options(speakers=1))
    (out / "call" / "notes.txt").write_text("mine")
    again = separator.separate(two_voices, out, Options(speakers=2, overwrite=True))
    assert (out / "call" / "notes.txt").read_text() == "mine"
    assert any("notes.txt" in warning for warning in again["warnings"])
    moved = two_voices.rename(out / "call" / "call.wav")
    with pytest.raises(OutputError, match=r"call.wav"):
        separator.separate(moved, out, Options(speakers=2, overwrite=True))
    assert moved.exists()


@pytest.mark.slow
def test_an_input_that_is_replaced_on_the_way_gives_nothing(separator, two_voices, tmp_path):
    def replace(*_) -> None:
        sf.write(two_voices, np.zeros(16_000), 16_000)

    told = r"call\.wav: was changed or replaced while it was read"
    with pytest.raises(InputError, match=told):
        separator.separate(two_voices, tmp_path / "out", progress=replace)
    assert not (tmp_path / "out").exists()


def test_a_clip_that_is_replaced_on_the_way_lists_nobody(separator, tmp_path):
    clip = write_media(tmp_path / "a.mp4", sound=tone(1), times=np.arange(25) / 25)

    def replace(*_) -> None:
        clip.write_bytes(b"another")

    for folder in (None, tmp_path / "out"):
        write_media(clip, sound=tone(1), times=np.arange(25) / 25)
        with pytest.raises(InputError, match=r"a\.mp4: was changed or replaced while it was read"):
            separator.faces(clip, folder, progress=replace)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_number_of_voices_can_be_given(separator, two_voices, tmp_path):
    one = separator.separate(two_voices, tmp_path / "one", Options(speakers=1))
    assert len(one["speakers"]) == 1
    check_sum(tmp_path / "one" / "call", one, two_voices)
    with pytest.raises(UsageError, match=r"--speakers is 4; model 'split-3spk' separates up to 3 voices"):
        separator.separate(two_voices, tmp_path / "four", Options(speakers=4))
    assert not (tmp_path / "four" / "call").exists()


@pytest.mark.slow
def test_evaluate_measures_what_separate_writes(separator, two_voices, tmp_path):
    separator.separate(two_voices, tmp_path / "out", Options(speakers=2))
    written = np.concatenate([sound(tmp_path / "out" / "call" / f"speaker_{n:02d}.wav") for n in range(2)])
    engine, _ = load_engine("ensemble-2spk")
    measured = estimate(engine, sound(two_voices), 16_000)[:, 0]
    order = [0, 1] if si_sdr(measured[0], written[0]) > si_sdr(measured[1], written[0]) else [1, 0]
    np.testing.assert_allclose(measured[order], written, atol=1e-5)


@pytest.mark.slow
def test_three_voices_have_weights_of_their_own(separator, two_voices, tmp_path):
    manifest = separator.separate(two_voices, tmp_path / "three", Options(speakers=3))
    assert (manifest["model"], len(manifest["speakers"])) == ("split-3spk", 3)
    check_sum(tmp_path / "three" / "call", manifest, two_voices)
    again = separator.separate(two_voices, tmp_path / "two", Options(speakers=2))
    assert again["model"] == "ensemble-2spk"
    given = Separator("audio-2spk", device="cpu")
    with pytest.raises(UsageError, match=r"--speakers is 3; model 'audio-2spk' separates up to 2 voices"):
        given.separate(two_voices, tmp_path / "given", Options(speakers=3))


@pytest.mark.slow
def test_one_voice_alone_comes_back_whole(separator, tmp_path):
    path = tmp_path / "alone.wav"
    voice = sound(CLIP.parent / "left.flac")[0]
    sf.write(path, voice, 16_000, subtype="FLOAT")
    manifest = separator.separate(path, tmp_path / "out")
    assert (manifest["model"], len(manifest["speakers"])) == ("audio-2spk", 1)
    assert si_sdr(sound(tmp_path / "out" / "alone" / "speaker_00.wav")[0], voice) > 25


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (48_000, 6)])
@pytest.mark.slow
def test_rates_and_channels_of_the_input_are_kept(separator, tmp_path, rate, channels):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.wav"
    sf.write(path, 0.05 * rng.standard_normal((2 * rate + 11, channels)), rate, subtype="FLOAT")
    manifest = separator.separate(path, tmp_path / "out", Options(array="off"))
    mixture = check_sum(tmp_path / "out" / "noise", manifest, path)
    assert mixture.shape == (channels, 2 * rate + 11)
    assert manifest["input"]["audio"]["sample_rate"] == rate


@pytest.mark.slow
def test_where_nobody_speaks_all_is_residual(separator, tmp_path):
    path = tmp_path / "rain.wav"
    rain = 0.05 * np.random.default_rng(0).standard_normal((80_000, 1)).astype(np.float32)
    sf.write(path, rain, 16_000, subtype="FLOAT")
    manifest = separator.separate(path, tmp_path / "out")
    assert manifest["tracks"] == manifest["speakers"] == []
    assert any("nobody speaks" in warning for warning in manifest["warnings"])
    np.testing.assert_array_equal(sound(tmp_path / "out" / "rain" / "residual.wav"), rain.T)
    two = separator.separate(path, tmp_path / "two", Options(speakers=2))
    assert len(two["tracks"]) == 2  # who gives a number gets it


def test_pictures_without_a_face_fall_back_to_sound(separator, tmp_path):
    path = write_media(tmp_path / "grey.mp4", sound=tone(2), times=np.arange(50) / 25)
    manifest = separator.separate(path, tmp_path / "out")
    assert manifest["mode"] == "audio-only"
    assert manifest["input"]["video"] is not None


@pytest.mark.slow
def test_the_fused_way_works_behind_the_same_interface(two_voices, tmp_path):
    separator = Separator("av-target", device="cpu")
    manifest = separator.separate(CLIP, tmp_path / "out", Options(video=False))
    assert (manifest["mode"], manifest["model"], len(manifest["speakers"])) == ("audio-visual", "av-target", 2)
    check_sum(tmp_path / "out" / "demo", manifest, CLIP)
    for speaker in manifest["speakers"]:
        assert 0 <= speaker["confidence"] <= 1
        assert abs(speaker["av_offset_seconds"]) <= 0.2
    rows = score(manifest, tmp_path / "out" / "demo")
    assert all(row["improvement_db"] > 0 for row in rows), rows
    with pytest.raises(
        UsageError, match=r"model 'av-target' cannot separate .* it needs faces, and .* Use --model ensemble-2spk"
    ):
        separator.separate(two_voices, tmp_path / "out")


def test_weights_that_separate_nothing_are_refused(two_voices, tmp_path):
    with pytest.raises(WeightsError, match=r"model 'sync' is a SynchronyEnsemble, which separates nothing"):
        Separator("sync", device="cpu").separate(two_voices, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def separated(separator: Separator, name: str, out: Path, end: float | None = None) -> tuple[Path, dict, np.ndarray]:
    clip = CLIPS / name
    manifest = separator.separate(clip, out, Options(video=False, end=end))
    folder = out / clip.stem
    return folder, manifest, check_sum(folder, manifest, clip, end)


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "end"),
    [("face_leaves_vfr.mov", None), ("face_appears_late_vfr.mov", None), ("silent_face_loud_sound.mp4", 10.0)],
)
def test_a_silent_face_has_a_silent_track(separator, tmp_path, name, end):
    folder, manifest, mixture = separated(separator, f"edge/{name}", tmp_path, end)
    faces = [s for s in manifest["speakers"] if s["box"]]
    assert len(faces) == 1
    assert faces[0]["speaking"] == []
    assert level(sound(folder / faces[0]["audio"])) < level(mixture) - 25


@real
@pytest.mark.slow
def test_digital_silence_stays_silent(separator, tmp_path):
    folder, manifest, _ = separated(separator, "edge/digital_silence.mp4", tmp_path)
    assert len(manifest["speakers"]) == 1
    assert not sound(folder / "speaker_00.wav").any()


@real
@pytest.mark.slow
def test_in_a_crowd_nobody_speaks(separator, tmp_path):
    folder, manifest, mixture = separated(separator, "edge/street_crowd_nobody_speaks.mp4", tmp_path)
    assert all(s["speaking"] == [] for s in manifest["speakers"])
    assert all(level(sound(folder / s["audio"])) < level(mixture) - 25 for s in manifest["speakers"])


@real
@pytest.mark.slow
def test_less_than_a_second_works(separator, tmp_path):
    _, manifest, _ = separated(separator, "edge/shorter_than_one_second.mp4", tmp_path)
    assert len(manifest["speakers"]) == 1


@real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["debate_woman_man.avi", "debate_two_men.avi"])
def test_two_debaters_are_two_people(separator, tmp_path, name):
    _, manifest, _ = separated(separator, f"overlap/{name}", tmp_path)
    assert len(manifest["speakers"]) == 2
    assert sorted(s["box"][0] < 640 for s in manifest["speakers"]) == [False, True]
    assert all(s["speaking"] for s in manifest["speakers"])


@real
@pytest.mark.slow
def test_a_photograph_on_the_wall_does_not_speak(separator, tmp_path):
    folder, manifest, mixture = separated(separator, "overlap/panel_five_faces.mp4", tmp_path, 8.0)
    photo = [s for s in manifest["speakers"] if s["box"] and s["box"][0] > 1000]
    assert len(photo) == 1
    assert photo[0]["speaking"] == []
    assert level(sound(folder / photo[0]["audio"])) < level(mixture) - 25
    assert sum(bool(s["speaking"]) for s in manifest["speakers"]) >= 2


@real
@pytest.mark.slow
def test_a_speaker_is_one_person_across_cuts_and_his_listeners_are_silent(separator, tmp_path):
    _, manifest, _ = separated(separator, "edge/cuts_speaker_and_audience.mp4", tmp_path)
    faces = [s for s in manifest["speakers"] if s["box"]]
    assert [bool(s["speaking"]) for s in faces] == [True] + [False] * (len(faces) - 1)
    assert len(faces[0]["appearances"]) > 1
