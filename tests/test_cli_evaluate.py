"""`avsep evaluate` on every layout of references and estimates, and everything one can get wrong about them."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avsep.checkpoint import save_model
from avsep.data.lists import MixtureSpec, Part, write_list
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.conv_tasnet import ConvTasNet

RATE, SECONDS = 16000, 0.5
FAST = ("--metrics", "si_sdr,snr", "--no-pictures")


def signals(count: int, seed: int) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).standard_normal((count, round(RATE * SECONDS)))


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T, rate, subtype="FLOAT")
    return path


def estimates_of(sources: np.ndarray) -> np.ndarray:
    """The other way round, with a tenth of the other voice: 20 dB."""
    return (sources + 0.1 * sources[::-1])[::-1]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three mixtures of two sources, a folder for each, and estimates."""
    references, estimates = tmp_path / "ref", tmp_path / "est"
    for n in range(3):
        sources = signals(2, n)
        write(references / f"{n:03d}.wav", sources.sum(axis=0))
        for k in range(2):
            write(references / f"{n:03d}" / f"s{k + 1}.wav", sources[k])
            write(estimates / f"{n:03d}" / f"{'ab'[k]}.wav", estimates_of(sources)[k])
    return references, estimates


@pytest.fixture
def test_list(tmp_path: Path) -> Path:
    """Two mixtures of two voices and a noise, cut from files; no lips."""
    specs = []
    for n in range(2):
        parts = []
        for k, role in enumerate(("voice", "voice", "noise")):
            file = write(tmp_path / "corpus" / f"{n}{k}.wav", signals(1, 10 * n + k)[0])
            parts.append(Part(file, None, f"speaker{k}", role, 0.0, 0.2 if role == "noise" else 1.0))
        specs.append(MixtureSpec(f"m{n}", SECONDS, tuple(parts)))
    write_list(tmp_path / "test.tsv", specs)
    return tmp_path / "test.tsv"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audio-only model of a few parameters, untrained."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    tiny = ConvTasNet(2, filters=8, bottleneck=4, hidden=4, blocks=1, repeats=1)
    save_model(path, tiny, "tiny", "MIT", {"data": "none"})
    return path


def summary(folder: Path = Path("evaluation")) -> dict:
    return json.loads((folder / "summary.json").read_text())


def mean(key: str, system: str = "estimate") -> float:
    return summary()["systems"][system][key]["mean"]


def rows(folder: Path = Path("evaluation")) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# What works


def test_two_folders(cli, folders) -> None:
    code, out, err = cli("evaluate", *folders, *FAST, "--oracle", "IRM,mixture")
    assert (code, err) == (0, "")
    assert "3 mixtures, 6 sources; 100.0 % closest" in out
    assert "SI-SDRi (dB)" in out
    assert 19 < mean("si_sdr") < 21
    assert mean("si_sdri", "mixture") == 0
    found = rows()
    assert len(found) == 18
    first = found[0]
    assert (first["mixture"], first["source"], first["system"], first["estimate"]) == ("000", "s1", "estimate", "b")
    gained = float(first["si_sdr"]) - float(first["input_si_sdr"])
    assert float(first["si_sdri"]) == pytest.approx(gained, abs=2e-4)
    assert sorted(p.name for p in Path("evaluation").iterdir()) == ["results.csv", "summary.json"]


def test_pictures_and_all_figures(cli, folders) -> None:
    pytest.importorskip("matplotlib")
    for package in ("fast_bss_eval", "pystoi", "pesq"):
        pytest.importorskip(package)
    code, out, _ = cli("evaluate", *folders, "--oracle", "PSM", "--limit", 2, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["mixtures"] == 2
    assert set(document["systems"]["estimate"]) >= {"si_sdri", "sdr", "sir", "sar", "mask_recall"}
    assert document["files"] == [
        "results.csv",
        "summary.json",
        "si_sdri.png",
        "si_sdri_by_input.png",
        "spectrograms.png",
    ]
    for name in document["files"][2:]:
        assert (Path("evaluation") / name).read_bytes().startswith(b"\x89PNG")


def label_list(folder: Path, *rows: str) -> None:
    (folder / "labels.tsv").write_text("\n".join(("mixture\tsource\tlabel", *rows)) + "\n")


CLASSES = ("000\ts1\train", "000\ts2\tdog_bark", "001\ts1\tdog_bark", "001\ts2\train", "002\ts1\train", "002\ts2\train")


@pytest.mark.slow
def test_classes_of_references_tell_which_pairs_are_hard(cli, folders) -> None:
    label_list(folders[0], *CLASSES)
    code, _, err = cli("evaluate", *folders, "--metrics", "si_sdr")
    assert (code, err) == (0, "")
    found = {(pair["label"], pair["beside"]): pair for pair in summary()["pairs"]}
    assert {key: pair["n"] for key, pair in found.items()} == {
        ("rain", "dog_bark"): 2,
        ("dog_bark", "rain"): 2,
        ("rain", "rain"): 2,
    }
    same = [float(row["si_sdri"]) for row in rows() if row["mixture"] == "002"]
    assert found["rain", "rain"]["si_sdri"] == pytest.approx(np.mean(same), abs=1e-3)
    assert [row["label"] for row in rows()] == [line.split("\t")[2] for line in CLASSES]
    assert summary()["labels_right"] is None  # plain files have no labels
    if importlib.util.find_spec("matplotlib"):
        assert summary()["files"][-1] == "si_sdri_by_pair.png"
        assert (Path("evaluation") / "si_sdri_by_pair.png").read_bytes().startswith(b"\x89PNG")


def test_labels_of_separated_tracks_are_counted(cli, folders) -> None:
    references, estimates = folders
    label_list(references, *CLASSES)
    for n in range(3):
        # The estimate a is that of s2.
        of = dict(zip("ab", (CLASSES[2 * n + k].split("\t")[2] for k in (1, 0)), strict=True))
        if n == 1:
            of["a"] = "clock_tick"
        tracks = [{"id": f"source_0{k}", "audio": f"{name}.wav", "label": of[name]} for k, name in enumerate("ab")]
        document = {"tracks": tracks, "speakers": [], "input": {"video": None}}
        (estimates / f"{n:03d}" / "manifest.json").write_text(json.dumps(document))
    code, out, _ = cli("evaluate", *folders, *FAST)
    assert code == 0
    assert "; 83.3 % labelled right" in out
    assert summary()["labels_right"] == pytest.approx(5 / 6)
    assert [row["estimate_label"] for row in rows() if row["mixture"] == "001"] == ["dog_bark", "clock_tick"]


def test_classes_in_a_list_of_pairs(cli, folders, tmp_path: Path) -> None:
    lines = ["mixture\tsource\treference\testimate\tlabel"]
    lines += [
        f"000\ts{k}\tref/000/s{k}.wav\test/000/{'ba'[k - 1]}.wav\t{label}"
        for k, label in ((1, "rain"), (2, "dog_bark"))
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    assert cli("evaluate", "pairs.tsv", *FAST)[0] == 0
    assert [(pair["label"], pair["beside"]) for pair in summary()["pairs"]] == [
        ("dog_bark", "rain"),
        ("rain", "dog_bark"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixture\tlabel\n", "labels.tsv: has no column 'source' in its first line. Expected mixture, source, label"),
        (
            "mixture\tsource\tlabel\n000\ts1.wav\train\n",
            "labels.tsv, line 2: there is no source 's1.wav' of mixture '000'",
        ),
        ("mixture\tsource\tlabel\n9\ts1\train\n", "labels.tsv, line 2: there is no source 's1' of mixture '9'"),
    ],
)
def test_a_list_of_classes_that_does_not_fit(cli, folders, text: str, message: str) -> None:
    (folders[0] / "labels.tsv").write_text(text)
    code, _, err = cli("evaluate", *folders, *FAST)
    assert code == 1
    assert message in err


def test_a_folder_for_each_source(cli, folders, tmp_path: Path) -> None:
    for folder, names in zip(folders, (("s1", "s2"), ("a", "b")), strict=True):
        for n in range(3):
            for k, name in enumerate(names):
                target = tmp_path / f"wsj_{folder.name}" / f"s{k + 1}" / f"{n:03d}.wav"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / f"{n:03d}" / f"{name}.wav", target)
    (tmp_path / "wsj_ref" / "mix").mkdir()
    for n in range(3):
        shutil.copy(folders[0] / f"{n:03d}.wav", tmp_path / "wsj_ref" / "mix")
    assert cli("evaluate", "wsj_ref", "wsj_est", *FAST)[0] == 0
    assert 19 < mean("si_sdr") < 21
    (tmp_path / "wsj_ref" / "s2" / "001.wav").unlink()
    code, _, err = cli("evaluate", "wsj_ref", "wsj_est", *FAST, "--overwrite")
    assert code == 1
    assert "wsj_ref/s2/001.wav: no such file, though there is wsj_ref/s1/001.wav" in err


def separated_folder(references: Path, estimates: Path, names: tuple[str, str] = ("left", "right")) -> None:
    """What `avsep separate` leaves, with faces; the references get names that say where those are."""
    for folder in sorted(path for path in references.iterdir() if path.is_dir()):
        for source, name in zip(("s1", "s2"), names, strict=True):
            (folder / f"{source}.wav").rename(folder / f"{name}.wav")
        target = estimates / folder.name
        speakers = [
            {"id": f"speaker_0{k}", "audio": f"{name}.wav", "box": box}
            for k, (name, box) in enumerate(zip("ab", ([900, 0, 1100, 9], [100, 0, 300, 9]), strict=True))
        ]
        manifest = {"speakers": speakers, "input": {"video": {"width": 1280}}}
        (target / "manifest.json").write_text(json.dumps(manifest))
        shutil.copy(target / "a.wav", target / "residual.wav")


def test_output_of_separate_by_permutation_and_by_face(cli, folders) -> None:
    separated_folder(*folders)
    for match in ("best", "face"):  # the right face speaks the estimate a, which is that of s2
        assert cli("evaluate", *folders, *FAST, "--match", match, "--overwrite")[0] == 0
        assert 19 < mean("si_sdr") < 21
        assert {row["estimate"] for row in rows()} == {"speaker_00", "speaker_01"}
    manifest = folders[1] / "001" / "manifest.json"
    manifest.write_text(json.dumps({"speakers": [], "input": {}}))
    code, _, err = cli("evaluate", *folders, *FAST, "--match", "face", "--overwrite")
    assert code == 0
    assert "no estimate, or a silent one, of 2 sources" in err
    assert [row["si_sdri"] for row in rows() if row["mixture"] == "001"] == ["0.0000", "0.0000"]
    assert summary()["missing"] == 2
    manifest.write_text("{}")
    code, _, err = cli("evaluate", *folders, *FAST, "--overwrite")
    assert code == 1
    assert f"{manifest}: is not a manifest of 'avsep separate'" in err


def test_list_of_references_and_estimates(cli, folders, tmp_path: Path) -> None:
    lines = ["mixture\tsource\treference\testimate"]
    lines += [f"{n:03d}\ts{k}\tref/{n:03d}/s{k}.wav\test/{n:03d}/{'ba'[k - 1]}.wav" for n in range(3) for k in (1, 2)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    assert cli("evaluate", "pairs.tsv", *FAST)[0] == 0
    assert 19 < mean("si_sdr") < 21
    assert summary()["options"]["match"] == "name"
    (tmp_path / "pairs.tsv").write_text("\n".join(lines[:2] + lines[1:]) + "\n")
    code, _, err = cli("evaluate", "pairs.tsv", *FAST, "--overwrite")
    assert code == 1
    assert "pairs.tsv, row 3: source 's1' of 000 is there twice" in err
    (tmp_path / "pairs.tsv").write_text("\n".join(lines).replace("001/s2", "001/s9"))
    code, _, err = cli("evaluate", "pairs.tsv", *FAST, "--overwrite")
    assert code == 1
    assert "pairs.tsv, mixture 001: ref/001/s9.wav: no such file" in err


def test_a_model_on_a_test_list_and_on_a_folder(cli, folders, test_list: Path, model: Path) -> None:
    assert cli("evaluate", test_list, "--model", model, *FAST)[0] == 0
    assert {row["source"] for row in rows()} == {"speaker0", "speaker1"}
    assert mean("input_snr") == pytest.approx(-10 * np.log10(1.04), abs=0.1)  # the other voice and the noise
    assert summary()["estimates"]["name"] == "tiny"
    for more, plain, passes in (((), False, 2), (("--plain",), True, 1), (("--quality", "best"), False, 4)):
        assert cli("evaluate", folders[0], "--model", model, *FAST, "--overwrite", *more)[0] == 0
        assert summary()["estimates"]["passes"] == passes
        assert summary()["estimates"]["plain"] == plain
        assert summary()["estimates"]["refined"] != plain
        assert {row["estimate"] for row in rows()} == {"estimate_00", "estimate_01"}


@pytest.mark.slow
def test_a_model_of_lips_keeps_the_order_of_the_faces(cli, test_list: Path, tmp_path: Path) -> None:
    tiny = AVConvTasNet(filters=8, bottleneck=4, hidden=4, blocks=1, repeats=2)
    save_model(tmp_path / "lips.safetensors", tiny, "tiny-lips", "MIT", {"data": "none"})
    code, _, err = cli("evaluate", test_list, "--model", tmp_path / "lips.safetensors", *FAST)
    assert code == 1
    assert "test.tsv: mixture m0: no lips for" in err
    lips = tmp_path / "lips.npz"
    frames = np.random.default_rng(0).integers(0, 255, (20, 96, 96)).astype(np.uint8)
    np.savez(lips, lips=frames, quality=np.ones(20, np.float32), first=0, audio=np.zeros(12800, np.int16))
    text = test_list.read_text().splitlines()
    cells = [line.split("\t") for line in text]
    at = cells[0].index("lips")
    for line in cells[1:]:
        line[at] = "lips.npz" if line[cells[0].index("role")] == "voice" else ""
    test_list.write_text("\n".join("\t".join(line) for line in cells) + "\n")
    assert cli("evaluate", test_list, "--model", tmp_path / "lips.safetensors", *FAST)[0] == 0
    assert all(row["source"] == row["estimate"] for row in rows())
    assert summary()["options"]["match"] == "name"


def test_a_test_list_and_a_folder_of_estimates(cli, test_list: Path, tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / "est" / f"m{n}").mkdir(parents=True)
        for k in range(2):
            shutil.copy(tmp_path / "corpus" / f"{n}{k}.wav", tmp_path / "est" / f"m{n}")
    assert cli("evaluate", test_list, "est", *FAST)[0] == 0
    assert mean("si_sdr") == 100
    shutil.rmtree(tmp_path / "est" / "m1")
    code, _, err = cli("evaluate", test_list, "est", *FAST, "--overwrite")
    assert code == 1
    assert "est: has no estimates for mixture m1 of" in err


def test_estimates_off_by_less_than_a_hop_are_cut_and_it_says_so(cli, folders) -> None:
    path = folders[1] / "001" / "a.wav"
    samples, _ = soundfile.read(path)
    write(path, samples[:-600])
    code, _, err = cli("evaluate", *folders, *FAST)
    assert code == 0
    assert "estimates of 1 mixture were cut to fit their references, by 600 samples at most" in err
    assert summary()["notes"] == [err.strip().removeprefix("avsep: ")]


def test_other_rates_are_resampled_on_request(cli, folders) -> None:
    from avsep.dsp.resample import resample

    for path in folders[1].glob("*/*.wav"):
        samples, _ = soundfile.read(path, dtype="float32")
        write(path, resample(samples, RATE, 24000), 24000)
    code, _, err = cli("evaluate", *folders, *FAST)
    assert code == 1
    assert "000/a.wav: is at 24000 Hz, expected 16000 Hz as" in err
    assert "--sample-rate 16000" in err
    assert cli("evaluate", *folders, *FAST, "--sample-rate", 8000)[0] == 0
    assert 18 < mean("si_sdr") < 22
    assert {row["sample_rate"] for row in rows()} == {"8000"}


def test_silent_references_are_counted_apart(cli, folders) -> None:
    write(folders[0] / "000" / "s1.wav", np.zeros(round(RATE * SECONDS)))
    code, out, err = cli("evaluate", *folders, *FAST)
    assert code == 0
    assert "1 silent reference: no figure but" in err
    assert "attenuation (dB)" in out
    assert "nan" not in (out + Path("evaluation/summary.json").read_text()).lower()
    silent = rows()[0]
    assert (silent["status"], silent["si_sdr"]) == ("silent", "")
    assert float(silent["attenuation"]) > -3


# What does not


def failure(result: tuple[int, str, str], *parts: str, code: int = 1, target: str = "evaluation") -> None:
    got, out, err = result
    assert got == code, err
    assert out == ""
    assert err.startswith("avsep: error: ")
    assert "internal fault" not in err
    for part in parts:
        assert part in err, f"{part!r} not in: {err}"
    assert not Path(target).exists()
    assert not [path for path in Path().iterdir() if ".partial-" in path.name]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("ref",), ("nothing to compare", "ESTIMATES", "--model")),
        (("ref", "est", "--model", "audio-2spk"), ("two sources of estimates",)),
        (("ref", "est", "--plain"), ("--plain is for the estimates of a --model",)),
        (("ref", "est", "--quality", "fast"), ("--quality is for the estimates of a --model",)),
        (("ref", "est", "--metrics", "sisdr"), ("metric is 'sisdr'", "allowed are si_sdr")),
        (("ref", "est", "--oracle", "irn"), ("oracle is 'irn'", "IRM")),
        (("ref", "est", "--match", "name"), ("000: no estimate is named", "a, b", "s1, s2")),
        (("ref", "est", "--match", "face"), ("000: where the references' faces are is not known",)),
        (("ref", "--model", "audio-2spk", "--match", "face"), ("audio-2spk knows no faces",)),
        (("ref", "est", "--limit", "0"), ("'0' is not a whole number >= 1",)),
        (("ref", "est", "--mask-threshold", "x"), ("'x' is not a number of decibels",)),
    ],
)
def test_wrong_usage(cli, folders, arguments, parts) -> None:
    failure(cli("evaluate", *arguments), *parts, code=2)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("nowhere", "est"), ("nowhere: no such file or folder",)),
        (("ref", "nowhere"), ("nowhere: no such folder",)),
        (("empty", "est"), ("empty: holds no signals", "empty/MIXTURE/SOURCE.wav", "empty/s1/MIXTURE.wav")),
        (("ref", "--model", "audio-9spk"), ("unknown model 'audio-9spk'", "audio-2spk")),
        (("ref", "--model", "sync"), ("model 'sync' is a", "which separates nothing")),
        (("table.txt", "est"), ("table.txt: no column",)),
    ],
)
def test_what_is_not_there(cli, folders, tmp_path: Path, arguments, parts) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.txt").write_text("a\tb\n1\t2\n")
    failure(cli("evaluate", *arguments), *parts)


def rate(path: Path) -> None:
    write(path, soundfile.read(path)[0], 8000)


def longer(path: Path) -> None:
    write(path, np.pad(soundfile.read(path)[0], (0, 640)))


def not_numbers(path: Path) -> None:
    samples = soundfile.read(path)[0]
    samples[5] = np.nan
    write(path, samples)


def without_samples(path: Path) -> None:
    write(path, np.zeros(0))


def text(path: Path) -> None:
    path.write_text("no sound\n" * 99)


@pytest.mark.parametrize(
    ("spoil", "where", "parts"),
    [
        (rate, "est/001/a.wav", ("est/001/a.wav: is at 8000 Hz, expected 16000 Hz as", "ref/001/s1.wav")),
        (longer, "est/001/a.wav", ("est/001/a.wav: has 8640 samples", "expected 8000 at 16000 Hz", "within 0.04 s")),
        (longer, "ref/001/s2.wav", ("ref/001/s2.wav: has 8640 samples", "expected 8000 at 16000 Hz", "s1.wav")),
        (longer, "ref/001.wav", ("ref/001.wav: has 8640 samples",)),
        (not_numbers, "est/001/a.wav", ("est/001/a.wav: has samples that are not finite",)),
        (without_samples, "est/001/a.wav", ("est/001/a.wav: has no samples",)),
        (text, "est/001/a.wav", ("est/001/a.wav: holds text, not sound",)),
    ],
)
def test_files_that_cannot_be_compared(cli, folders, tmp_path: Path, spoil, where, parts) -> None:
    spoil(tmp_path / where)
    failure(cli("evaluate", *folders, *FAST), *parts)


def test_a_mixture_without_estimates(cli, folders) -> None:
    shutil.rmtree(folders[1] / "001")
    failure(cli("evaluate", *folders, *FAST), "has nothing for 001", "1 of 3 mixtures")


def test_a_model_of_another_rate_works_at_its_own(cli, folders, model: Path, tmp_path: Path) -> None:
    narrow = ConvTasNet(2, filters=8, bottleneck=4, hidden=4, blocks=1, repeats=1, sample_rate=8000)
    save_model(tmp_path / "narrow.safetensors", narrow, "narrow", "MIT", {"data": "none"})
    arguments = ("evaluate", folders[0], "--model", tmp_path / "narrow.safetensors", *FAST)
    assert cli(*arguments)[0] == 0
    assert {row["sample_rate"] for row in rows()} == {"16000"}
    assert cli(*arguments, "--sample-rate", 8000, "--overwrite")[0] == 0
    assert {row["sample_rate"] for row in rows()} == {"8000"}


def test_results_are_replaced_on_request_only_and_only_ours(cli, folders, tmp_path: Path) -> None:
    assert cli("evaluate", *folders, *FAST)[0] == 0
    before = Path("evaluation/summary.json").read_bytes()
    code, _, err = cli("evaluate", *folders, *FAST, "--limit", 1)
    assert code == 1
    assert "exists already. Replace it with --overwrite" in err
    assert Path("evaluation/summary.json").read_bytes() == before
    assert cli("evaluate", *folders, *FAST, "--limit", 1, "--overwrite")[0] == 0
    assert summary()["mixtures"] == 1
    Path("evaluation/notes.txt").write_text("mine")
    code, _, err = cli("evaluate", *folders, *FAST, "--overwrite")
    assert code == 0
    assert err == f"avsep: {tmp_path}/evaluation: keeps what avsep did not write: notes.txt\n"
    assert summary()["notes"] == [err[len("avsep: ") :].strip()]
    assert Path("evaluation/notes.txt").read_text() == "mine"
    shutil.copytree(folders[0], "evaluation/ref")
    code, _, err = cli("evaluate", "evaluation/ref", folders[1], *FAST, "--overwrite")
    assert code == 1
    assert "would be replaced, but the input evaluation/ref lies in it" in err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years")
    code, _, err = cli("evaluate", *folders, *FAST, "-o", "mine", "--overwrite")
    assert code == 1
    assert "mine: was not written by avsep evaluate" in err
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_interrupted_leaves_nothing(cli, folders, monkeypatch: pytest.MonkeyPatch) -> None:
    from avsep.evaluation import report

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_json", interrupted)
    failure(cli("evaluate", *folders, *FAST), "interrupted. Nothing half-written is left", code=130)
