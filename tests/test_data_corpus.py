"""Corpora that sources are drawn from: manifests, old and new, packed arrays, rates and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from data_factory import TONES, loudest_hz, make_corpus, white

from avsep.data.corpus import Corpus
from avsep.errors import InputError, UsageError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), lips=True)


def test_a_manifest_of_the_first_version_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sf.write(tmp_path / f"{name}.flac", white(16_000)[0], 16_000)
    (tmp_path / "manifest.tsv").write_text(
        "id\taudio\tlips\tface\tspeaker\tsplit\tseconds\n"
        "anna/1\ta.flac\t\t\tanna\ttrain\t1.000\n"
        "bert/1\tb.flac\t\t\tbert\ttrain\t1.000\n"
    )
    corpus = Corpus(tmp_path / "manifest.tsv")
    assert corpus.names == ["anna", "bert"]
    assert [entry.id for entry in corpus.entries["anna"]] == ["anna/1"]
    assert corpus.draw(np.random.default_rng(0), "bert", 8000).sound.shape == (1, 8000)
    # A column that later versions may add is no hindrance.
    text = (tmp_path / "manifest.tsv").read_text()
    (tmp_path / "manifest.tsv").write_text(
        text.replace("seconds\n", "seconds\tgroup\n").replace("1.000\n", "1.000\tx\n")
    )
    assert Corpus(tmp_path / "manifest.tsv").names == ["anna", "bert"]


def test_a_small_corpus_is_drawn_from_as_often_as_its_weight_says(tmp_path: Path) -> None:
    paths = [str(make_corpus(tmp_path / str(n), who, seconds=0.3)) for n, who in enumerate((("bob",), tuple(TONES)))]
    corpus = Corpus(paths, weights=[3.0, 1.0])
    assert corpus.chances is not None
    assert dict(zip(corpus.names, corpus.chances, strict=True)) == {"0/bob": 0.75} | {
        f"1/{name}": 0.25 / len(TONES) for name in TONES
    }
    with pytest.raises(UsageError, match=r"weights is \[1\]; it must be one number above 0 for each of 2 corpora"):
        Corpus(paths, weights=[1])


def test_lips_and_sound_are_of_the_same_time(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ("ada", "bob"), lips=True)
    for file in tmp_path.glob("*.wav"):
        # Sample k of the file holds the number of its picture.
        sf.write(file, np.repeat(np.arange(1, 41) / 64, 640).astype(np.float32), 16_000, subtype="FLOAT")
    corpus = Corpus(manifest, faces=True)
    rng = np.random.default_rng(0)
    for length in (9600, 40_000):  # within an utterance, and over several
        sound, lips, *_ = corpus.draw(rng, "ada", length, faces=True)
        assert lips is not None
        assert len(lips) == -(-length // 640)
        assert np.array_equal(np.round(sound[0, ::640] * 64), lips[:, 0, 0])
    late = corpus.draw(np.random.default_rng(1), "ada", 9600, faces=True)
    assert (late.lips[:, 0, 0].astype(int) - lips[:15, 0, 0]).any()


def test_other_rates_and_packed_corpora_give_the_same_sound(tmp_path: Path) -> None:
    listed = make_corpus(tmp_path / "corpus", ("ada", "bob"), rate=24_000)
    packed = tmp_path / "packed"
    packed.mkdir()
    pieces, rows, start = [], ["speaker\tstart\tlength"], 0
    for name in ("ada0", "ada1", "bob0", "bob1"):
        x = np.round(sf.read(make_corpus(tmp_path / "low", ("ada", "bob")).parent / f"{name}.wav")[0] * 32767)
        pieces.append(x.astype(np.int16))
        rows.append(f"{name[:3]}\t{start}\t{len(x)}")
        start += len(x)
    np.save(packed / "train.npy", np.concatenate(pieces))
    (packed / "train.tsv").write_text("\n".join(rows) + "\n")
    for rate in (8000, 16_000):
        a, b = (
            Corpus(where, sample_rate=rate).draw(np.random.default_rng(5), "bob", rate // 2).sound[0]
            for where in (listed, packed)
        )
        assert len(a) == len(b) == rate // 2
        assert loudest_hz(a, rate) == pytest.approx(TONES["bob"], abs=2)
        edge = 100  # the packed stretch is resampled without its surroundings
        assert np.allclose(a[edge:-edge], b[edge:-edge], atol=2e-3)
    both = Corpus([str(listed), str(packed)])
    assert both.names == ["0/ada", "0/bob", "1/ada", "1/bob"]
    assert np.abs(both.draw(np.random.default_rng(0), "1/ada", 100).sound).max() > 0.01
    with pytest.raises(InputError, match=r"packed: packed sound has 1 channel, but channels is 2. Give the manifest"):
        Corpus(packed, channels=2)


def test_channels_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ("ada", "bob"))
    stereo = np.concatenate([white(32_000, 0), white(32_000, 1)])
    sf.write(tmp_path / "ada0.wav", stereo.T, 16_000, subtype="FLOAT")
    sf.write(tmp_path / "ada1.wav", stereo.T, 16_000, subtype="FLOAT")
    kept = Corpus(manifest, channels=2).draw(np.random.default_rng(3), "ada", 4000).sound
    mean = Corpus(manifest).draw(np.random.default_rng(3), "ada", 4000).sound
    assert kept.shape == (2, 4000)
    assert np.allclose(kept.mean(0, keepdims=True), mean, atol=1e-7)
    start = next(n for n in range(32_000) if np.array_equal(stereo[:, n : n + 8], kept[:, :8]))
    assert np.array_equal(stereo[:, start : start + 4000], kept)
    # One channel is given to both; another number has no place.
    bob = Corpus(manifest, channels=2).draw(np.random.default_rng(0), "bob", 4000).sound
    assert np.array_equal(bob[0], bob[1])
    with pytest.raises(InputError, match=r"utterance ada\d: .*wav: 2 channels, but channels is 3; it may be 1"):
        Corpus(manifest, channels=3).draw(np.random.default_rng(0), "ada", 4000)


def test_channels_of_another_rate_are_those_of_the_whole(tmp_path: Path) -> None:
    from avsep.data.sound import read_channels

    x = np.stack([white(44_100, n)[0] for n in (0, 1)])
    x = x + np.roll(x, 1, 1) + np.roll(x, 2, 1)
    sf.write(tmp_path / "x.wav", x.T, 44_100, subtype="FLOAT")
    whole = read_channels(tmp_path / "x.wav", 0.0, 16_000, 16_000, 2)
    part = read_channels(tmp_path / "x.wav", 0.40125, 4000, 16_000, 2)
    assert np.allclose(part, whole[:, 6420:10_420], atol=2e-4 * np.abs(whole).max())


def test_an_event_is_one_recording_at_a_random_place(tmp_path: Path) -> None:
    corpus = Corpus(make_corpus(tmp_path, ("ada",), seconds=0.25))
    begins = set()
    for seed in range(20):
        clip = corpus.draw_event(np.random.default_rng(seed), "ada", 16_000)
        assert clip.span is not None
        begin, end = clip.span
        assert end - begin == 4000
        assert not clip.sound[:, :begin].any()
        assert not clip.sound[:, end:].any()
        assert np.abs(clip.sound[:, begin:end]).max() > 0.05
        begins.add(begin)
    assert len(begins) > 15
    cut = corpus.draw_event(np.random.default_rng(0), "ada", 1000)
    assert cut.span is None
    assert cut.sound.shape == (1, 1000)


def test_bad_rows_are_named(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ("ada", "bob"))
    sf.write(tmp_path / "ada0.wav", np.zeros(4000), 16_000)
    (tmp_path / "ada1.wav").write_bytes(b"no sound at all")
    corpus = Corpus(manifest)
    found = set()
    for seed in range(8):
        with pytest.raises(InputError) as caught:
            corpus.draw(np.random.default_rng(seed), "ada", 8000)
        found.add(str(caught.value).replace(str(tmp_path), "."))
    assert {m.partition(": ")[0] for m in found} == {
        "./manifest.tsv, utterance ada0",
        "./manifest.tsv, utterance ada1",
    }
    assert any("ada0.wav: 0.250 s long, but it should have 1.600 s" in m for m in found)
    (tmp_path / "bob0.wav").unlink()
    with pytest.raises(InputError, match=r"line 6: audio is .*bob0.wav, which is not there"):
        Corpus(manifest)


def test_a_corpus_that_cannot_do_is_named(tmp_path: Path, manifest: Path) -> None:
    with pytest.raises(InputError, match=r"manifest.tsv: no utterances in split 'test'"):
        Corpus(manifest, "test")
    with pytest.raises(InputError, match=r"no utterances of the speakers eve in split 'train'"):
        Corpus(manifest, speakers=["eve"])
    with pytest.raises(InputError, match=r"no utterances in split 'train'; no speaker has 3 utterances"):
        Corpus(manifest, least=3)
    plain = make_corpus(tmp_path / "plain", ("ada",))
    with pytest.raises(InputError, match=r"no utterances with lips"):
        Corpus(plain, faces=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no packed split 'train'.*preprocessing.pack_audio"):
        Corpus(tmp_path / "empty")
    np.save(tmp_path / "empty" / "train.npy", np.zeros(10, np.int16))
    table = tmp_path / "empty" / "train.tsv"
    table.write_text("speaker\tstart\tlength\nada\t4\t7\n")
    with pytest.raises(InputError, match=r"train.tsv, line 2: ends at sample 11, but .*train.npy has 10"):
        Corpus(tmp_path / "empty")
    table.write_text("speaker\tstart\nada\t4\n")
    with pytest.raises(InputError, match=r"train.tsv, line 2: needs speaker, start and length"):
        Corpus(tmp_path / "empty")
