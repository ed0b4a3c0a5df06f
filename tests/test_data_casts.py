"""Casts: sound events, the stems of songs, mixtures of mixtures; each on its own and in a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from data_factory import STEM_TONES, TONES, loudest_hz, make_corpus, make_songs, white

from avsep.data.activity import Pauses
from avsep.data.casts import Cast, MixturesOfMixtures, Needs, SoundEvents, Speakers, Stems
from avsep.data.corpus import Corpus
from avsep.data.filters import Speed
from avsep.data.levels import AsRecorded, Loudness, level_of
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rooms import DecayRooms
from avsep.data.scene import SimulatedScene
from avsep.errors import InputError, UsageError

STEMS = ["vocals", "drums", "bass", "other"]
RATE = 44_100


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("sounds"), seconds=0.25))


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> str:
    stems = ("bass", "drums", "other", "vocals")
    return str(make_songs(tmp_path_factory.mktemp("songs"), {"one": stems, "two": stems[:3], "three": stems}))


def prepared(cast: Cast, rate: int = 16_000) -> Cast:
    cast.prepare(Needs(rate))
    return cast


def test_recordings_of_several_channels_keep_them(tmp_path: Path) -> None:
    """Speakers as an array of microphones recorded them."""
    voices = make_corpus(tmp_path, ("ada", "bob"), seconds=0.5)
    for seed, file in enumerate(sorted(tmp_path.glob("*.wav"))):
        sf.write(file, np.concatenate([white(8000, seed), 0.5 * white(8000, seed)]).T, 16_000, subtype="FLOAT")
    item = Mixtures(Recipe(Speakers(str(voices), channels=2), 0.4))[0]
    assert item["mixture"].shape == (2, 6400)
    assert item["sources"].shape == (2, 2, 6400)
    assert torch.allclose(item["sources"][:, 0], 2 * item["sources"][:, 1], atol=1e-6)
    # The level is that of all channels together.
    assert -38 < level_of(item["sources"][0].numpy()) < -15


# ---- sound events ----


@pytest.mark.parametrize(("alike", "low", "high"), [(0.0, 0.3, 0.6), (0.5, 0.6, 0.85), (1.0, 1.0, 1.0)])
def test_speakers_may_be_of_one_corpus(tmp_path: Path, alike: float, low: float, high: float) -> None:
    lists = [str(make_corpus(tmp_path / name, seconds=0.1)) for name in ("one", "other")]
    cast = prepared(Speakers(lists, alike=alike))
    rng = np.random.default_rng(0)
    drawn = [[source.name for source in cast.draw(rng)] for _ in range(200)]
    assert all(len(set(names)) == 2 for names in drawn)
    assert low <= np.mean([len({name.split("/")[0] for name in names}) == 1 for names in drawn]) <= high
    assert {name for names in drawn for name in names} == set(cast.names)


def test_events_are_of_several_classes_and_have_a_beginning_and_an_end(sounds: str) -> None:
    data = Mixtures(Recipe(SoundEvents(sounds, (1, 3)), 1.0))
    counts, begins = set(), set()
    for n in range(30):
        item = data[n]
        assert item["sources"].shape == (3, 1, 16_000)
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)
        audible = item["sources"][:, 0].any(-1)
        assert torch.equal(item["labels"] >= 0, audible)
        counts.add(int(audible.sum()))
        labels = item["labels"][audible].tolist()
        assert len(set(labels)) == len(labels)
        for source, label in zip(item["sources"][audible, 0].numpy(), labels, strict=True):
            where = np.flatnonzero(source)
            assert 3900 <= where[-1] - where[0] < 4000
            begins.add(int(where[0]))
            event = source[where[0] : where[0] + 4000]
            assert loudest_hz(event) == pytest.approx(TONES[data.names[label]], abs=5)
            # The level is that of the event, not of the silence around it.
            assert -38 < level_of(event) < -15
    assert counts == {1, 2, 3}
    assert len(begins) > 40


def test_an_event_may_come_twice_if_it_is_allowed_to(sounds: str) -> None:
    cast = prepared(SoundEvents(sounds, (4, 4), only=["ada", "bob"], repeated=True))
    labels = {tuple(sorted(source.label for source in cast.draw(np.random.default_rng(n)))) for n in range(20)}
    assert (0, 0, 1, 1) in labels
    with pytest.raises(InputError, match=r"2 classes in split 'train', but a mixture has up to 4 different ones"):
        prepared(SoundEvents(sounds, (4, 4), only=["ada", "bob"]))
    with pytest.raises(UsageError, match=r"SoundEvents: events is \(0, 2\); it must lie in 1 to 100"):
        SoundEvents(sounds, (0, 2))


def test_a_corpus_of_its_own_may_be_one_class_more(sounds: str) -> None:
    cast = prepared(SoundEvents(sounds, (2, 2), only=["ada"], classes={"speech": sounds}))
    assert cast.names == ["ada", "speech"]
    (voices,) = {source.pool for source in cast.draw(np.random.default_rng(0))}
    assert len(voices.entries["speech"]) > len(voices.entries["ada"])
    assert {source.label for source in cast.draw(np.random.default_rng(0))} == {0, 1}
    with pytest.raises(UsageError, match="the class 'bob' is there already"):
        prepared(SoundEvents(sounds, (1, 1), classes={"bob": sounds}))


def test_a_class_may_be_drawn_more_often(sounds: str) -> None:
    cast = prepared(SoundEvents(sounds, (1, 1), weights={"ada": 9.0}))
    rng = np.random.default_rng(0)
    drawn = [cast.draw(rng)[0].label for _ in range(400)]
    assert drawn.count(0) / 400 == pytest.approx(9 / 12, abs=0.08)
    assert set(drawn) == {0, 1, 2, 3}
    with pytest.raises(UsageError, match=r"weights: no class eve; the classes are ada, bob, .*"):
        prepared(SoundEvents(sounds, (1, 1), weights={"eve": 2.0}))
    with pytest.raises(UsageError, match=r"weights is {'ada': 0.0}; every weight must be above 0"):
        prepared(SoundEvents(sounds, (1, 1), weights={"ada": 0.0}))


def test_a_faster_event_is_shorter(sounds: str) -> None:
    scene = SimulatedScene(speed=Speed((1.25, 1.25)), activity=Pauses(0.0, 0.0))
    item = Mixtures(Recipe(SoundEvents(sounds, (1, 1)), 1.0, scene))[3]
    where = np.flatnonzero(item["sources"][0, 0].numpy())
    assert where[-1] - where[0] == pytest.approx(3200, abs=60)


# ---- stems ----


def test_stems_are_those_of_one_song_in_their_order(songs: str) -> None:
    scene = SimulatedScene(AsRecorded())
    data = Mixtures(Recipe(Stems(songs, STEMS), 0.5, scene, sample_rate=RATE))
    assert data.names == STEMS
    missing = 0
    for n in range(12):
        item = data[n]
        assert item["mixture"].shape == (2, 22_050)
        assert item["sources"].shape == (4, 2, 22_050)
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)
        assert item["labels"].tolist() in ([0, 1, 2, 3], [-1, 1, 2, 3])
        missing += item["labels"][0].item() == -1
        for stem, source in zip(STEMS, item["sources"], strict=True):
            if source.any():
                assert loudest_hz(source[0].numpy(), RATE) == pytest.approx(STEM_TONES[stem], abs=3)
                # Left and right stay what they were.
                assert torch.allclose(source[0], 2 * source[1], atol=1e-6)
    assert 0 < missing < 12


def test_stems_of_one_song_are_of_the_same_time(songs: str) -> None:
    """The tremolo of a song is that of all its stems."""
    cast = prepared(Stems(songs, STEMS), RATE)
    sources = cast.draw(np.random.default_rng(4))
    sounds = [source.read(np.random.default_rng(0), RATE // 2).sound[0] for source in sources if source.present]
    swell = [np.abs(x).reshape(25, -1).max(1) for x in sounds]
    assert all(np.corrcoef(swell[0], other)[0, 1] > 0.99 for other in swell[1:])


def test_remixed_stems_come_from_several_songs(songs: str) -> None:
    cast = prepared(Stems(songs, STEMS, p_remix=1.0), RATE)
    drawn = [[s.entry.id.split("/")[1] for s in cast.draw(np.random.default_rng(n)) if s.present] for n in range(12)]
    assert any(len(set(names)) > 1 for names in drawn)
    together = [
        {
            s.entry.id.split("/")[1]
            for s in prepared(Stems(songs, STEMS), RATE).draw(np.random.default_rng(n))
            if s.entry
        }
        for n in range(12)
    ]
    assert all(len(names) == 1 for names in together)


def test_left_and_right_of_a_stem_are_exchanged(songs: str) -> None:
    scene = SimulatedScene(AsRecorded())
    plain = Mixtures(Recipe(Stems(songs, STEMS), 0.1, scene, sample_rate=RATE))
    always = Mixtures(Recipe(Stems(songs, STEMS, p_swap=1.0), 0.1, scene, sample_rate=RATE))
    left_louder = []
    for n in range(4):
        assert torch.allclose(always[n]["sources"][:, 0] * 2, always[n]["sources"][:, 1], atol=1e-6)
        half = Mixtures(Recipe(Stems(songs, STEMS, p_swap=0.5), 0.1, scene, sample_rate=RATE))[n]
        left_louder += [bool(s[0].norm() > s[1].norm()) for s in half["sources"] if s.any()]
        assert torch.allclose(plain[n]["sources"][:, 1] * 2, plain[n]["sources"][:, 0], atol=1e-6)
    assert 0 < sum(left_louder) < len(left_louder)
    with pytest.raises(UsageError, match=r"Stems: p_swap is -0.1; it must lie in 0 to 1"):
        Stems(songs, STEMS, p_swap=-0.1)


def test_stems_of_a_song_share_a_speed(songs: str) -> None:
    scene = SimulatedScene(AsRecorded(), Speed((0.8, 1.25)))
    data = Mixtures(Recipe(Stems(songs, ["drums", "bass"]), 0.5, scene, sample_rate=RATE))
    factors = set()
    for n in range(4):
        drums, bass = (loudest_hz(source[0].numpy(), RATE) for source in data[n]["sources"])
        assert drums / STEM_TONES["drums"] == pytest.approx(bass / STEM_TONES["bass"], rel=0.02)
        factors.add(round(drums / STEM_TONES["drums"], 2))
    assert len(factors) > 1


def test_a_short_song_is_followed_by_silence_and_mono_is_its_mean(songs: str) -> None:
    item = Mixtures(Recipe(Stems(songs, ["bass"], channels=1), 1.5, SimulatedScene(AsRecorded())))[0]
    assert item["sources"].shape == (1, 1, 24_000)
    assert item["sources"][0, 0, :15_900].any()
    assert not item["sources"][0, 0, 16_100:].any()


def test_songs_that_cannot_be_used_are_named(songs: str, sounds: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no stem guitar in split 'train'; it has bass, drums, other, vocals"):
        prepared(Stems(songs, ["vocals", "guitar"]))
    with pytest.raises(InputError, match=r"utterance ada0: id is 'ada0', which names no song; it must be SONG/STEM"):
        prepared(Stems(sounds, ["ada"], channels=1))
    twice = tmp_path / "manifest.tsv"
    text = Path(songs).read_text().replace("\tone-", f"\t{Path(songs).parent}/one-")
    lines = text.splitlines()
    twice.write_text("\n".join([lines[0], lines[1], lines[1]]) + "\n")
    with pytest.raises(InputError, match=r"a second bass of song train/one; a song has one of each"):
        prepared(Stems(str(twice), ["bass"]))
    for stems in ([], ["bass", "bass"]):
        with pytest.raises(UsageError, match=r"Stems: stems is \[.*\]; give one or more different names"):
            Stems(songs, stems)
    with pytest.raises(UsageError, match=r"Stems: p_remix is 1.5; it must lie in 0 to 1"):
        Stems(songs, STEMS, p_remix=1.5)


def test_a_room_takes_sources_of_one_channel(songs: str) -> None:
    recipe = Recipe(Stems(songs, ["bass"]), 0.2, SimulatedScene(room=DecayRooms()))
    with pytest.raises(UsageError, match=r"DecayRooms: a room takes sources of one channel, but those of Stems have 2"):
        Mixtures(recipe)


# ---- mixtures of mixtures ----


@pytest.mark.parametrize(
    "inner",
    [
        lambda sounds, songs: SoundEvents(sounds, (1, 2)),
        lambda sounds, songs: Speakers(sounds, (2, 2)),
        lambda sounds, songs: Stems(songs, ["bass", "drums"], channels=1),
    ],
)
def test_two_mixtures_add_up_to_the_mixture(inner: Any, sounds: str, songs: str) -> None:
    scene = SimulatedScene(Loudness(level_db=0.0))
    data = Mixtures(Recipe(MixturesOfMixtures(inner(sounds, songs)), 0.8, scene))
    for n in range(4):
        item = data[n]
        assert item["sources"].shape == (2, 1, 12_800)
        assert item["sources"].any(-1).all()
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)
        assert item["labels"].tolist() == [-1, -1]
        first, second = (level_of(source) for source in item["sources"].numpy())
        assert first == pytest.approx(second, abs=0.01)


def test_a_mixture_of_mixtures_has_the_sources_of_its_inner_cast(sounds: str) -> None:
    cast = prepared(MixturesOfMixtures(Speakers(sounds, (2, 2)), level_db=0.0))
    rng = np.random.default_rng(0)
    for source in cast.draw(rng):
        size = np.abs(np.fft.rfft(source.read(rng, 16_000).sound[0]))
        strong = {name for name, hz in TONES.items() if size[hz - 2 : hz + 3].max() > 0.2 * size.max()}
        assert len(strong) == 2
    with pytest.raises(UsageError, match=r"MixturesOfMixtures: mixtures is 0; it must lie in 1 to 100"):
        MixturesOfMixtures(Speakers(sounds), mixtures=0)


def test_casts_that_know_no_stream_say_so(songs: str, sounds: str) -> None:
    pool = Corpus(sounds)
    with pytest.raises(UsageError, match=r"Stems cannot draw from shards; use the cast Speakers or SoundEvents there"):
        Stems(songs, ["bass"]).prepare(Needs(16_000), pool)
    with pytest.raises(UsageError, match=r"Speakers: draws from .*, but its sounds come from shards; leave it out"):
        Speakers(sounds).prepare(Needs(16_000), pool)
    with pytest.raises(UsageError, match=r"SoundEvents: no corpus is named"):
        SoundEvents().prepare(Needs(16_000))
    with pytest.raises(UsageError, match=r"SoundEvents: channels is 2, but shards have 1"):
        SoundEvents(None, channels=2).prepare(Needs(16_000), pool)
    with pytest.raises(RuntimeError, match=r"Speakers draws only after `prepare`"):
        Speakers(sounds).draw(np.random.default_rng(0))
    cast = SoundEvents(None, (1, 2))
    cast.prepare(Needs(16_000), pool)
    assert {source.label for source in cast.draw(np.random.default_rng(0))} < {0, 1, 2, 3}
