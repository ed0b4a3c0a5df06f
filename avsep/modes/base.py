"""What a mode is, and the scene it works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from avsep.dsp.channel_faults import ChannelFaults
from avsep.errors import InputError
from avsep.inference.models import ModelStore
from avsep.inference.quality import Quality
from avsep.media.array import Channels, is_array, read_positions
from avsep.signals import SAMPLE_RATE, Audio, Person, ProgressHook, Tracks, no_progress
from avsep.storage.recording import Recording
from avsep.timing import Stopwatch

if TYPE_CHECKING:
    import numpy as np

    from avsep.inference.sliding import Cues
    from avsep.media.pictures import PictureLog
    from avsep.media.probe import ClipInfo
    from avsep.models.base import Contract, SeparationModel
    from avsep.modes.enrolment import Enrolment
    from avsep.storage.recording import Estimates


@dataclass(frozen=True)
class Options:
    """What may be chosen for one clip.

    speakers: voices to separate where there are no faces; "auto" estimates how many there are. audio_stream: number
    among the audio streams. start, end: seconds on the sound's own clock. video: write an mp4 for each person. mark:
    draw a box around the person in it. also: formats for other programs, see avsep.timeline.formats. overwrite:
    replace earlier output. av_offset: seconds by which the sound comes after the picture (default: found for each
    person). quality: more or less work for the separation, see avsep.inference.quality.
    array: whether several channels are microphones, "auto", "off" or a file with their positions, see
    avsep.media.array. channels: of an array that are written, "reference" or "all". turns: RTTM file
    that tells who speaks when before an array. residual: model of sounds that splits what people and voices leave.
    people: folder of the library that names the tracks, see avsep.people.naming. learn: add to it who is unknown.
    At most one of these: only, without: labels of tracks, see avsep.modes.choice; span: start and end in seconds on the
    sound's own clock, for the one track that sounds there. enroll, target: whose tracks are asked for, names and files
    with the voice and with the face of each, see avsep.modes.target; with only or without they name the tracks.
    measure: tell what is not to be trusted, see avsep.evaluation.no_reference.
    """

    speakers: int | Literal["auto"] = "auto"
    audio_stream: int | None = None
    start: float | None = None
    end: float | None = None
    video: bool = True
    mark: bool = False
    also: tuple[str, ...] = ()
    overwrite: bool = False
    av_offset: float | None = None
    quality: Quality = "normal"
    array: str = "auto"
    channels: Channels = "reference"
    turns: str | None = None
    residual: str | None = None
    people: str | None = None
    learn: bool = False
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] | None = None
    span: tuple[float, float] | None = None
    enroll: Mapping[str, str] = field(default_factory=dict)
    target: Mapping[str, str] = field(default_factory=dict)
    measure: bool = False

    @property
    def voices(self) -> int | None:
        """The number of voices that was told, None where it is to be estimated."""
        return self.speakers if isinstance(self.speakers, int) else None


@dataclass(eq=False)
class Scene:
    """A clip with the people in it, and what a mode works with.

    model: name or path of the model that was asked for, None for the bundled ones. folder: for files that are gone with
    the run. searched: whether people were searched yet. warnings: for the manifest. faults: of an array's channels.
    picture_log: what decoding the pictures told. sha256: of the clip's file. checksums: of the other files that the
    result depends on, by the names that the options give them. sound: what is separated in place of the
    clip's sound. enrolments, portraits: of who is asked for, once they were read.
    """

    clip: ClipInfo
    people: Sequence[Person]
    models: ModelStore
    options: Options = field(default_factory=Options)
    model: str | None = None
    folder: Path | None = None
    searched: bool = True
    progress: ProgressHook = no_progress
    watch: Stopwatch = field(default_factory=Stopwatch)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    picture_log: PictureLog | None = None
    sha256: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    sound: Recording | None = None
    enrolments: Sequence[Enrolment] = ()
    portraits: Mapping[str, np.ndarray] = field(default_factory=dict)
    _recordings: dict[tuple[int, bool], Recording] = field(default_factory=dict, init=False, repr=False)
    _microphones: tuple[int, ...] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._loading = self.models.seconds

    @property
    def may_have_faces(self) -> bool:
        """Whether it has people; before they were searched, whether it has pictures."""
        return bool(self.people) if self.searched else self.clip.video is not None

    @cached_property
    def is_array(self) -> bool:
        """Whether the sound that is separated is that of an array as it was recorded."""
        return self.sound is None and is_array(self.clip.audio, self.options.array)

    @property
    def is_mixed_down(self) -> bool:
        """Whether a sound without pictures, so that it may be no film's, has more channels than stereo and no array."""
        audio = self.clip.audio
        return not self.is_array and self.clip.video is None and audio.channels > 2 and self.options.array == "auto"

    @cached_property
    def positions(self) -> np.ndarray | None:
        """(channels, 3) in m of the array's microphones, None where they are not told."""
        if not self.is_array or self.options.array == "auto":
            return None
        return read_positions(self.options.array, self.channels)

    @property
    def microphones(self) -> tuple[int, ...]:
        """The array's channels that are of use, known once it is decoded; the first is the reference microphone's."""
        if self._microphones is None:
            self.mixture()
        return self._microphones or tuple(range(self.channels))

    @property
    def channels(self) -> int:
        """Of the sound that is separated, with those of an array that turn out to be of no use."""
        return self.sound.channels if self.sound else self.clip.audio.channels

    def of_sound(self, sound: Recording, model: str) -> Scene:
        """The same clip without its people, with another sound for another model."""
        options = replace(self.options, speakers="auto", av_offset=None, mark=False)
        return replace(self, people=[], sound=sound, model=model, options=options)

    def channel_misfit(self, contract: Contract) -> str | None:
        """Why the number of channels does not fit a model; None where it does."""
        if contract.takes(self.channels):
            return None
        return f"it takes {contract.channel_counts} channels, and the clip has {self.channels}"

    @property
    def seconds_taken(self) -> float:
        """Of the run so far; loading models is no part of it."""
        return self.watch.total - (self.models.seconds - self._loading)

    def mixture(self, sample_rate: int = SAMPLE_RATE, *, mono: bool = True) -> Recording:
        """The sound at a rate, in all of its channels or in one: their mean, or of an array, where channels of no use
        are left out, the reference microphone's. Decoded once for each."""
        key = (sample_rate, mono or self.channels == 1)
        if key not in self._recordings:
            if self.is_array and mono:
                made = _some_channels(self.mixture(sample_rate, mono=False), [0], self.folder)
            else:
                with self.watch.step("decode"):
                    made = self._of_array(sample_rate) if self.is_array else self._decoded(*key)
            self._recordings[key] = made
        return self._recordings[key]

    def check_microphones(self, fewest: int, why: str) -> None:
        """InputError where fewer of an array's channels are of use. why: what needs them, and what to do instead."""
        usable = len(self.microphones)
        if usable < fewest:
            left_out = f" ({'; '.join(self.faults)})" if self.faults else ""
            raise InputError(f"{self.clip.path}: {usable} of {self.channels} channels can be used{left_out}, and {why}")

    def written(self) -> Iterator[Audio]:
        """The sound of the clip at its own rate in the channels in which the tracks are written."""
        from avsep.media.decode import read_audio

        blocks = read_audio(self.clip, lambda _: None)
        if not self.is_array:
            return blocks
        channels = list(self.microphones if self.options.channels == "all" else self.microphones[:1])
        return (replace(block, samples=block.samples[channels]) for block in blocks)

    def _decoded(self, sample_rate: int, mono: bool, faults: ChannelFaults | None = None) -> Recording:
        from avsep.dsp.resample import mono_blocks, resampled_blocks
        from avsep.media.decode import read_audio

        # What is wrong with the sound is said once.
        warn = self.warnings.append if not self._recordings else lambda _: None
        blocks = self.sound.blocks() if self.sound else read_audio(self.clip, warn)
        if faults is not None:
            blocks = _examined(blocks, faults)
        recording = Recording(self.folder, 1 if mono else self.channels, sample_rate)
        for samples in resampled_blocks(mono_blocks(blocks) if mono else blocks, sample_rate):
            recording.append(samples)
        return recording

    def _of_array(self, sample_rate: int) -> Recording:
        """All microphones that are of use."""
        faults = ChannelFaults(self.channels) if self._microphones is None else None
        everything = self._decoded(sample_rate, False, faults)
        if faults is not None:
            found = faults.found()
            self._microphones = tuple(number for number in range(self.channels) if number not in found)
            self.faults = [f"channel {number} {why}; it is left out" for number, why in found.items()]
            self.warnings += self.faults
        if len(self.microphones) == self.channels:
            return everything
        return _some_channels(everything, list(self.microphones), self.folder)

    def separate(
        self, model: SeparationModel, mixture: Recording, cues: Cues | None = None, quality: Quality | None = None
    ) -> Estimates:
        """What a model separates of a mixture, at the mixture's rate. quality: in place of that of the options."""
        from avsep.inference.sliding import SlidingSeparator

        with self.watch.step("separation"):
            engine = SlidingSeparator(model, self.models.device, quality or self.options.quality)
            estimates = engine.separate(mixture, cues, self.folder, self.progress)
        estimates.of_array = self.is_array
        return estimates


class Mode(Protocol):
    """One way to turn a scene into tracks. needs_people: whether people are to be searched in the pictures first."""

    needs_people: ClassVar[bool] = False

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        """Why this mode cannot serve the scene with a model of that contract; None where it can. "" where the model is
        of another kind altogether."""
        ...

    def __call__(self, scene: Scene) -> Tracks: ...

    def plan(self, scene: Scene) -> str:
        """Which models may separate the scene, in words; where nothing is asked for, what is found in it decides."""
        assert scene.model is not None
        return scene.models.card(scene.model).name

    def labels(self, scene: Scene, contract: Contract) -> Sequence[str]:
        """The labels that its tracks may have with a model of that contract; none where they have no labels."""
        return ()


def _some_channels(recording: Recording, channels: list[int], folder: Path | None) -> Recording:
    chosen = Recording(folder, len(channels), recording.sample_rate)
    for block in recording.blocks():
        chosen.append(block.samples[channels])
    return chosen


def _examined(blocks: Iterable[Audio], faults: ChannelFaults) -> Iterator[Audio]:
    """The same blocks, each of which is shown to `faults`."""
    for block in blocks:
        faults.add(block)
        yield block
