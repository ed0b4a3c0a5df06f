"""Mixtures made on the fly: what an item is, and that it depends on seed and number alone."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from data_factory import TONES, loudest_hz, make_corpus

from avsep.data.augment import Babble, BandLimit, Clipping, Codec, Equaliser, Noise, Pauses, Speed, TargetCases
from avsep.data.corpus import Corpus
from avsep.data.lip_augment import Crop, Faces, Flip, SpanDropout, SyncJitter
from avsep.data.mixtures import Item, Mixtures, Recipe, scale_to
from avsep.data.order import training_loader
from avsep.data.rooms import DecayRooms, ImageRooms
from avsep.errors import InputError, UsageError
from avsep.training.separation import SeparationTask


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("corpus"), lips=True))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("sounds"), ("dan",), seconds=0.3))


def everything(sounds: str) -> Recipe:
    return Recipe(
        seconds=0.5,
        speakers=(1, 3),
        speed=Speed(),
        filters=[Equaliser(1.0), BandLimit(0.5)],
        room=ImageRooms(share=0.7, rooms=2, order=3, early_seconds=0.05),
        activity=Pauses(),
        noise=Noise(sounds, share=0.8),
        babble=Babble(0.5, voices=(1, 2)),
        damage=[Clipping(0.5), Codec(0.3, formats=("vorbis", "ulaw"))],
        faces=Faces(2),
        lips=[SyncJitter(), Flip(), Crop(), SpanDropout()],
    )


def same(a: Item, b: Item) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
        for x, y in zip(a.values(), b.values(), strict=True)
    )


def test_a_small_corpus_is_drawn_from_as_often_as_its_share_says(tmp_path: Path) -> None:
    paths = [str(make_corpus(tmp_path / str(n), who, seconds=0.3)) for n, who in enumerate((("bob",), tuple(TONES)))]
    corpus = Corpus(paths, shares=[3.0, 1.0])
    assert dict(zip(corpus.names, corpus.chances, strict=True)) == {"0/bob": 0.75} | {
        f"1/{name}": 0.25 / len(TONES) for name in TONES
    }
    with pytest.raises(UsageError, match=r"shares is \[1\]; it must be one number above 0 for each of 2 corpora"):
        Corpus(paths, shares=[1])


def test_plain_mixture_is_the_sum_of_two_speakers(manifest: str) -> None:
    data = Mixtures(manifest, Recipe(seconds=1.0, level_db=6.0))
    for n in range(8):
        item = data[n]
        mixture, sources = item["mixture"].numpy(), item["sources"].numpy()
        assert mixture.dtype == sources.dtype == np.float32
        assert sources.shape == (2, 16_000)
        assert np.allclose(mixture, sources.sum(0), atol=1e-6)
        heard = {min(TONES, key=lambda name: abs(TONES[name] - loudest_hz(s))) for s in sources}
        assert len(heard) == 2
        levels = 10 * np.log10((sources**2).mean(1))
        assert abs(levels[0] - levels[1]) <= 6.01
        assert (levels > -38.01).all()
        assert (levels < -14.99).all()


def test_an_item_depends_on_seed_and_number_alone(manifest: str, sounds: str) -> None:
    data = Mixtures(manifest, everything(sounds), seed=3)
    again = Mixtures(manifest, everything(sounds), seed=3)
    late = again[1_000_000_007]
    items = [data[n] for n in range(6)]
    # Another order, after other items, in another object.
    assert all(same(again[n], items[n]) for n in reversed(range(6)))
    assert same(data[1_000_000_007], late)
    other = Mixtures(manifest, everything(sounds), seed=4)
    assert not any(same(other[n], items[n]) for n in range(6))
    assert not same({**items[0], "name": ""}, {**items[1], "name": ""})


def test_workers_do_not_change_the_batches(manifest: str, sounds: str) -> None:
    data = Mixtures(manifest, everything(sounds))
    batches = [list(training_loader(data, 2, 6, workers)) for workers in (0, 2)]
    assert len(batches[0]) == 3
    assert all(same(a, b) for a, b in zip(*batches, strict=True))


def test_number_of_speakers_is_drawn_and_missing_ones_are_silent(manifest: str) -> None:
    data = Mixtures(manifest, Recipe(seconds=0.2, speakers=(1, 3)))
    counts = [int(data[n]["sources"].any(1).sum()) for n in range(60)]
    assert set(counts) == {1, 2, 3}
    assert all(data[n]["sources"].shape == (3, 3200) for n in range(3))


def test_pauses_leave_one_alone_or_cut_a_part(manifest: str) -> None:
    alone = Mixtures(manifest, Recipe(seconds=0.5, activity=Pauses(alone=1.0)))
    assert [alone[n]["sources"].any(1).tolist() for n in range(3)] == [[True, False]] * 3
    partial = Mixtures(manifest, Recipe(seconds=0.5, activity=Pauses(alone=0.0, partial=1.0), level_db=0.0))
    for n in range(6):
        first, second = partial[n]["sources"].numpy()
        quiet = float((np.abs(second) < 1e-7).mean())
        assert float((np.abs(first) < 1e-7).mean()) < 0.05
        assert quiet > 0
        # A voice that pauses is as loud where it speaks as one that does not.
        if quiet < 0.8:
            assert np.sqrt((second**2).sum() / (np.abs(second) >= 1e-7).sum()) == pytest.approx(
                np.sqrt((first**2).mean()), rel=0.1
            )


def test_the_four_cases_of_a_target(manifest: str) -> None:
    cases = {"both": (1, 1), "target": (1, 0), "interference": (0, 1), "neither": (0, 0)}
    for name, expected in cases.items():
        weights = dict.fromkeys(cases, 0.0) | {name: 1.0}
        recipe = Recipe(seconds=0.3, activity=TargetCases(**weights), faces=Faces(1, silent=0, absent=0))
        item = Mixtures(manifest, recipe)[0]
        assert tuple(item["sources"].any(1).int().tolist()) == expected
        assert item["lips"].shape == (1, 8, 96, 96)
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)


def test_noise_lies_below_the_voices_and_in_no_source(manifest: str, sounds: str) -> None:
    noise = Noise(sounds, share=1.0, below_db=(10.0, 10.0))
    data = Mixtures(manifest, Recipe(seconds=1.0, loudness_db=(-20, -20), noise=noise), speakers=["ada", "bob"])
    item = data[0]
    rest = (item["mixture"] - item["sources"].sum(0)).numpy()
    assert 10 * np.log10((rest**2).mean()) == pytest.approx(-30, abs=0.05)
    assert loudest_hz(rest) == pytest.approx(TONES["dan"], abs=5)


def test_babble_is_of_other_speakers_and_in_no_source(manifest: str) -> None:
    recipe = Recipe(seconds=1.0, loudness_db=(-20, -20), babble=Babble(1.0, voices=(2, 2), below_db=(10.0, 10.0)))
    item = Mixtures(manifest, recipe)[0]
    rest = (item["mixture"] - item["sources"].sum(0)).numpy()
    assert 10 * np.log10((rest**2).mean()) == pytest.approx(-30, abs=0.05)
    heard = {min(TONES, key=lambda name: abs(TONES[name] - loudest_hz(s))) for s in item["sources"].numpy()}
    size = np.abs(np.fft.rfft(rest))
    crowd = {name for name, hz in TONES.items() if size[hz] > 0.5 * size.max()}  # bins of 1 Hz
    assert crowd == set(TONES) - heard
    # Of two speakers both are in the mixture: there is nobody left.
    alone = Mixtures(manifest, recipe, speakers=["ada", "bob"])[0]
    assert torch.allclose(alone["mixture"], alone["sources"].sum(0), atol=1e-6)


def test_speed_moves_pitch_and_lips_together(manifest: str) -> None:
    recipe = Recipe(seconds=0.6, speed=Speed((1.25, 1.25)), faces=Faces(1, 0, 0), loudness_db=(-20, -20))
    item = Mixtures(manifest, recipe, speakers=["ada", "bob"])[0]
    played = loudest_hz(item["sources"][0].numpy())
    assert min(abs(played - 1.25 * TONES[name]) for name in ("ada", "bob")) < 4
    numbers = item["lips"][0, :, 0, 0].mul(255).round()
    # 15 pictures of the output show 18.75 of the file.
    assert numbers.shape == (15,)
    assert (numbers[-1] - numbers[0]).item() in (17, 18)


def test_lips_and_sound_are_of_the_same_time(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ("ada", "bob"), lips=True)
    for file in tmp_path.glob("*.wav"):
        # Sample k of the file holds the number of its picture.
        sf.write(file, np.repeat(np.arange(1, 41) / 64, 640).astype(np.float32), 16_000, subtype="FLOAT")
    corpus = Corpus(manifest, faces=True)
    rng = np.random.default_rng(0)
    for length in (9600, 40_000):  # within an utterance, and over several
        sound, lips = corpus.draw(rng, "ada", length, faces=True)
        assert lips is not None
        assert len(lips) == -(-length // 640)
        assert np.array_equal(np.round(sound[::640] * 64), lips[:, 0, 0])
    late = corpus.draw(np.random.default_rng(1), "ada", 9600, faces=True)
    assert (late.lips[:, 0, 0].astype(int) - lips[:15, 0, 0]).any()


def test_silent_and_absent_faces_have_a_silent_target(manifest: str) -> None:
    plain = {"seconds": 0.6, "level_db": 0.0}
    silent = Mixtures(manifest, Recipe(**plain, faces=Faces(1, silent=1.0, absent=0.0, still=1.0)))[0]
    assert not silent["sources"][0].any()
    assert torch.allclose(silent["mixture"], silent["sources"][1], atol=1e-7)
    assert (silent["lips"][0] == silent["lips"][0, :1]).all()
    assert silent["lips"].min() > 0
    moving = Mixtures(manifest, Recipe(**plain, faces=Faces(1, silent=1.0, absent=0.0, still=0.0)))[0]
    assert (moving["lips"][0].diff(dim=0) > 0).all()
    absent = Mixtures(manifest, Recipe(**plain, faces=Faces(1, silent=0.0, absent=1.0)))[0]
    assert not absent["lips"].any()
    assert not absent["sources"][0].any()
    # The voice goes on out of the picture.
    assert (absent["mixture"] - absent["sources"].sum(0)).abs().max() > 0.01


def test_voices_without_a_face_may_come_from_elsewhere(tmp_path: Path, manifest: str) -> None:
    faces, plain = Faces(1, silent=0.0, absent=0.0), make_corpus(tmp_path / "plain", ("dan",))
    seen = Mixtures(manifest, Recipe(seconds=0.6, faces=faces), speakers=["ada", "bob"], unseen=str(plain))
    for number in range(6):
        item = seen[number]
        assert item["lips"].shape[0] == 1
        own = loudest_hz(item["sources"][0].numpy())
        assert min(abs(own - TONES["ada"]), abs(own - TONES["bob"])) < 9
        assert loudest_hz(item["sources"][1].numpy()) == pytest.approx(TONES["dan"], abs=9)
    with pytest.raises(UsageError, match=r"unseen is .*, but no faces are shown"):
        Mixtures(manifest, Recipe(), unseen=str(plain))
    with pytest.raises(InputError, match=r"1 speakers in split 'train', but a mixture has up to 2"):
        Mixtures(manifest, Recipe(speakers=(3, 3), faces=faces), unseen=str(plain))


def test_microphones_make_a_mixture_of_channels(manifest: str, sounds: str) -> None:
    room = ImageRooms(share=1.0, rooms=1, order=2, microphones=3)
    item = Mixtures(manifest, Recipe(seconds=0.3, room=room, noise=Noise(sounds, share=1.0), damage=[Codec(1.0)]))[0]
    assert item["mixture"].shape == (3, 4800)
    assert item["sources"].shape == (2, 4800)
    assert not torch.allclose(item["mixture"][0], item["mixture"][2], atol=1e-4)


def test_early_target_is_quieter_than_what_is_heard(manifest: str) -> None:
    def make(early: float | None) -> Item:
        room = ImageRooms(share=1.0, rooms=1, order=4, t60=(0.6, 0.6), distance=(2.0, 3.0), early_seconds=early)
        return Mixtures(manifest, Recipe(seconds=0.8, room=room))[0]

    whole, early = make(None), make(0.005)
    assert torch.allclose(whole["mixture"], whole["sources"].sum(0), atol=1e-5)
    assert (early["mixture"] - early["sources"].sum(0)).abs().max() > 0.01


def test_other_rates_and_packed_corpora_sound_the_same(tmp_path: Path) -> None:
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
        a = Corpus(listed, sample_rate=rate).draw(np.random.default_rng(5), "bob", rate // 2).sound
        b = Corpus(packed, sample_rate=rate).draw(np.random.default_rng(5), "bob", rate // 2).sound
        assert len(a) == len(b) == rate // 2
        assert loudest_hz(a, rate) == pytest.approx(TONES["bob"], abs=2)
        edge = 100  # the packed stretch is resampled without its surroundings
        assert np.allclose(a[edge:-edge], b[edge:-edge], atol=2e-3)
    both = Corpus([str(listed), str(packed)])
    assert both.names == ["0/ada", "0/bob", "1/ada", "1/bob"]
    assert np.abs(both.draw(np.random.default_rng(0), "1/ada", 100).sound).max() > 0.01


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


def test_a_corpus_that_cannot_do_is_named(tmp_path: Path, manifest: str) -> None:
    with pytest.raises(InputError, match=r"manifest.tsv: no utterances in split 'test'"):
        Corpus(manifest, "test")
    with pytest.raises(InputError, match=r"no utterances of the speakers eve in split 'train'"):
        Corpus(manifest, speakers=["eve"])
    plain = make_corpus(tmp_path / "plain", ("ada",))
    with pytest.raises(InputError, match=r"no utterances with lips"):
        Corpus(plain, faces=True)
    with pytest.raises(InputError, match=r"1 speakers in split 'train', but a mixture has up to 2"):
        Mixtures(str(plain), Recipe())
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


def test_recipes_that_contradict_themselves() -> None:
    with pytest.raises(UsageError, match="3 faces are shown, but there are 2 speakers"):
        Recipe(faces=Faces(3))
    with pytest.raises(UsageError, match=r"Recipe: speakers is \(3, 2\); a range goes from low to high"):
        Recipe(speakers=(3, 2))
    with pytest.raises(UsageError, match=r"Recipe: seconds is -1.0; it must lie in 0.001 to 3600"):
        Recipe(seconds=-1.0)


def test_scaling() -> None:
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert 10 * np.log10(np.mean((x * scale_to(x, -25, 1000)) ** 2)) == pytest.approx(-25, abs=1e-3)
    assert np.isfinite(scale_to(np.zeros(10, np.float32), -25, 0))


def test_a_training_step_on_items(manifest: str, sounds: str) -> None:
    from avsep.models.conv_tasnet import ConvTasNet

    model = ConvTasNet(sources=3, filters=8, kernel=16, stride=8, bottleneck=8, hidden=8, blocks=1, repeats=1)
    batch = next(iter(training_loader(Mixtures(manifest, everything(sounds)), 2, 2)))
    task = SeparationTask(model)
    loss = task.loss(model(batch["mixture"]), batch["sources"], batch["mixture"])
    assert torch.isfinite(loss).all()


def test_decay_rooms_are_on_a_share_of_voices() -> None:
    room = DecayRooms(share=0.5)
    drawn = [room.draw(np.random.default_rng(n), 2, 16_000) for n in range(40)]
    wet = np.array([[np.abs(voice[0, 1:]).max() > 0 for voice in responses] for responses in drawn])
    assert 0.3 < wet.mean() < 0.7
    assert all((responses[:, :, 0] == 1).all() for responses in drawn)
