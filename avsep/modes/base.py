"""What a mode is, and the scene it works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from avsep.inference.models import ModelStore
from avsep.inference.quality import Quality
from avsep.signals import SAMPLE_RATE, Person, ProgressHook, Tracks, no_progress
from avsep.storage.recording import Recording
from avsep.timing import Stopwatch

if TYPE_CHECKING:
    from avsep.inference.sliding import Cues
    from avsep.media.pictures import PictureLog
    from avsep.media.probe import ClipInfo
    from avsep.models.base import Contract, SeparationModel
    from avsep.storage.recording import Estimates


@dataclass(frozen=True)
class Options:
    """What may be chosen for one clip.

    speakers: voices to separate where there are no faces (default: estimated). audio_stream: number among the audio
    streams. start, end: seconds on the sound's own clock. video: write an mp4 for each person. mark: draw a box around
    the person in it. overwrite: replace earlier output. av_offset: seconds by which the sound comes after the picture
    (default: found for each person). quality: more or less work for the separation, see avsep.inference.quality.
    residual: model of sounds that splits what people and voices leave. At most one of these: only, without: labels of
    tracks, see avsep.modes.choice; span: start and end in seconds on the sound's own clock, for the one track that
    sounds there.
    """

    speakers: int | None = None
    audio_stream: int | None = None
    start: float | None = None
    end: float | None = None
    video: bool = True
    mark: bool = False
    overwrite: bool = False
    av_offset: float | None = None
    quality: Quality = "normal"
    residual: str | None = None
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] | None = None
    span: tuple[float, float] | None = None


@dataclass(eq=False)
class Scene:
    """A clip with the people in it, and what a mode works with.

    model: name or path of the model that was asked for, None for the bundled ones. folder: for files that are gone with
    the run. searched: whether people were searched yet. warnings: for the manifest. picture_log: what decoding the
    pictures told. sha256: of the clip's file. sound: what is separated in place of the clip's sound.
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
    picture_log: PictureLog | None = None
    sha256: str | None = None
    sound: Recording | None = None
    _recordings: dict[tuple[int, bool], Recording] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._loading = self.models.seconds

    @property
    def may_have_faces(self) -> bool:
        """Whether it has people; before they were searched, whether it has pictures."""
        return bool(self.people) if self.searched else self.clip.video is not None

    @property
    def channels(self) -> int:
        """Of the sound that is separated."""
        return self.sound.channels if self.sound else self.clip.audio.channels

    def of_sound(self, sound: Recording, model: str) -> Scene:
        """The same clip without its people, with another sound for another model."""
        options = replace(self.options, speakers=None, av_offset=None, mark=False)
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
        """The sound at a rate, the mean of its channels or all of them; decoded once for each."""
        from avsep.dsp.resample import mono_blocks, resampled_blocks
        from avsep.media.decode import read_audio

        key = (sample_rate, mono or self.channels == 1)
        if key not in self._recordings:
            with self.watch.step("decode"):
                # What is wrong with the sound is said once.
                warn = self.warnings.append if not self._recordings else lambda _: None
                blocks = self.sound.blocks() if self.sound else read_audio(self.clip, warn)
                recording = Recording(self.folder, 1 if key[1] else self.channels, sample_rate)
                for samples in resampled_blocks(mono_blocks(blocks) if key[1] else blocks, sample_rate):
                    recording.append(samples)
            self._recordings[key] = recording
        return self._recordings[key]

    def separate(self, model: SeparationModel, mixture: Recording, cues: Cues | None = None) -> Estimates:
        """What a model separates of a mixture, at the mixture's rate."""
        from avsep.inference.sliding import SlidingSeparator

        with self.watch.step("separation"):
            engine = SlidingSeparator(model, self.models.device, self.options.quality)
            return engine.separate(mixture, cues, self.folder, self.progress)


class Mode(Protocol):
    """One way to turn a scene into tracks. needs_people: whether people are to be searched in the pictures first."""

    needs_people: ClassVar[bool] = False

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        """Why this mode cannot serve the scene with a model of that contract; None where it can. "" where the model is
        of another kind altogether."""
        ...

    def __call__(self, scene: Scene) -> Tracks: ...

    def labels(self, scene: Scene, contract: Contract) -> Sequence[str]:
        """The labels that its tracks may have with a model of that contract; none where they have no labels."""
        return ()
