"""The steps in order: watch, listen, separate, match lips and voices, write. The only file that knows the order."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avsep.checkpoint import Card, find_weights, load_model, read_card
from avsep.dsp.resample import model_blocks
from avsep.errors import UsageError, WeightsError
from avsep.output import manifest
from avsep.signals import FRAME_RATE, SAMPLE_RATE, Person, ProgressHook
from avsep.storage.spool import Spool
from avsep.timing import Stopwatch

if TYPE_CHECKING:
    from avsep.matching.synchrony import Scores

DEFAULT_MODEL = "audio-2spk"
MANY_MODEL = "audio-3spk"
"""For more voices at a time than DEFAULT_MODEL separates. It also leaves a voice that is alone in one piece, and so
tells how many there are."""
SYNCHRONY_MODEL = "sync"


@dataclass(frozen=True)
class Options:
    """What may be chosen for one clip.

    speakers: voices to separate where there are no faces (default: estimated). audio_stream: number among the audio
    streams.
    start, end: seconds on the sound's own clock. video: write an mp4 for each person. overwrite: replace earlier
    output. av_offset: seconds by which the sound comes after the picture (default: found for each person). shifts:
    passes of the separation by sound (see avsep.inference.cycle_spin).
    """

    speakers: int | None = None
    audio_stream: int | None = None
    start: float | None = None
    end: float | None = None
    video: bool = True
    overwrite: bool = False
    av_offset: float | None = None
    shifts: int = 2


def default_models(voices: int | None) -> list[str]:
    """The bundled weights for so many voices; several where the number is not known, the first of which tells whether
    the next ones are better."""
    if voices is None:
        return [MANY_MODEL, DEFAULT_MODEL]
    return [MANY_MODEL if voices > 2 else DEFAULT_MODEL]


def resolve_device(device: str) -> str:
    """ "auto", "cpu" or "cuda" -> the device to use. Raises UsageError for anything else, or CUDA where there is
    none."""
    import torch

    available = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is {device!r}; it must be auto, cpu or cuda.")
    if device == "cuda" and not available:
        raise UsageError("device is 'cuda', but no CUDA device can be used here. Use auto or cpu.")
    return "cuda" if available and device != "cpu" else "cpu"


class Separator:
    """Separates clips; the models are loaded once, when they are first needed.

    model: name of bundled separation weights or path of a weights file; by default the bundled weights for the number
    of voices. device: "auto", "cpu" or "cuda". threads: of the CPU.
    """

    def __init__(self, model: str | Path | None = None, *, device: str = "auto", threads: int | None = None) -> None:
        import torch

        self.device = resolve_device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self.given = model is not None
        self.card: Card = read_card(find_weights(model or DEFAULT_MODEL))
        self._models: dict[Path, Any] = {}

    def separate(
        self,
        path: str | Path,
        output: str | Path = "separated",
        options: Options = Options(),
        progress: ProgressHook | None = None,
    ) -> dict[str, Any]:
        """Separate one clip into output/<its name>/ (see README: what comes out) and return the manifest.

        Raises InputError, OutputError, UsageError or WeightsError; then nothing is written.
        """
        from avsep.media.decode import probe
        from avsep.models.base import SeparationModel
        from avsep.output.workspace import workspace

        clip = probe(path, audio_stream=options.audio_stream, start=options.start, end=options.end)
        # Loading is not part of the run that is timed.
        for name in (self.card.path, SYNCHRONY_MODEL, *(() if self.given else (MANY_MODEL,))):
            self._model(name)
        model = self._model(self.card.path)
        if isinstance(model, SeparationModel) and model.conditioning == "lips":
            self._model(DEFAULT_MODEL)
        if not isinstance(model, SeparationModel):
            raise WeightsError(
                f"model {self.card.name!r} is a {self.card.class_path.rpartition('.')[2]}, which separates nothing. "
                f"Use --model {DEFAULT_MODEL}, or another separation model (avsep models lists them)."
            )
        target = Path(output) / clip.path.stem
        with workspace(target, options.overwrite) as folder:
            return _Run(self, clip, options, folder, progress).separate()

    def faces(
        self,
        path: str | Path,
        output: str | Path | None = None,
        options: Options = Options(),
        progress: ProgressHook | None = None,
    ) -> dict[str, Any]:
        """The people of a clip, with times and boxes; thumbnails and people.json go to output/<its name>/ if it is
        given."""
        from avsep.media.decode import probe
        from avsep.output.workspace import workspace

        clip = probe(path, audio_stream=options.audio_stream, start=options.start, end=options.end)
        if output is None:
            return _Run(self, clip, options, None, progress).list_people()
        with workspace(Path(output) / clip.path.stem, options.overwrite) as folder:
            return _Run(self, clip, options, folder, progress).list_people()

    def cards_for(self, voices: int | None) -> list[Card]:
        """What separates so many voices: the model that was asked for, else those of `default_models`."""
        return [self.card] if self.given else [read_card(find_weights(name)) for name in default_models(voices)]

    def _model(self, name: str) -> Any:
        # A name and the path it stands for are one model.
        path = find_weights(name)
        if path not in self._models:
            self._models[path] = load_model(path, self.device)[0]
        return self._models[path]


class _Run:
    """One clip on its way through the steps."""

    def __init__(
        self, separator: Separator, clip: Any, options: Options, folder: Path | None, progress: ProgressHook | None
    ) -> None:
        from avsep.inference.separation import silent

        self.separator, self.clip, self.options, self.folder = separator, clip, options, folder
        self.card = separator.card
        # What the lips of each track show, by id() of the track; once, however often they are held against voices.
        self.seen: dict[int, np.ndarray] | None = None
        self.progress = progress or silent
        self.watch = Stopwatch()
        self.warnings: list[str] = []
        self.started = time.perf_counter()

    def separate(self) -> dict[str, Any]:
        assert self.folder is not None
        people = self.find_people()
        mixture = self.listen()
        model = self.separator._model(self.card.path)
        if people and model.conditioning == "lips":
            voices = self.fused(model, mixture, people)
        elif model.conditioning == "lips":
            raise UsageError(
                f"model {self.card.name!r} needs faces and {self.clip.path} shows none. "
                f"Use --model {DEFAULT_MODEL}, which separates by sound alone."
            )
        elif people:
            voices = self.assigned(mixture, people)
        else:
            voices = self.by_sound(mixture)
        return self.write(people, voices)

    def list_people(self) -> dict[str, Any]:
        people = self.find_people()
        if self.folder is not None:
            self.write_thumbnails(people)
        found = manifest.people(self.clip, people, self.warnings, thumbnails=self.folder is not None)
        if self.folder is not None:
            manifest.write(self.folder / "people.json", found)
        return found

    def find_people(self) -> list[Person]:
        """Decode the pictures, find and follow the faces, tell the people apart."""
        if self.clip.video is None:
            return []
        from avsep.embeddings.face import load_face_embedder
        from avsep.faces import find_faces
        from avsep.faces.identify import identify
        from avsep.media.decode import read_video

        pictures = self.watch.each("decode", read_video(self.clip, self.warnings.append))
        with self.watch.step("faces"):
            found = find_faces(
                pictures,
                device=self.separator.device,
                folder=self.folder,
                progress=lambda seconds: self.progress("faces", seconds, self.clip.duration_seconds),
            )
        with self.watch.step("identify"):
            embedder, warning = load_face_embedder(self.separator.device) if len(found.tracks) > 1 else (None, None)
            if warning:
                self.warnings.append(warning)
            return identify(found.tracks, embedder, found.cuts)

    def listen(self) -> Spool:
        """The sound at the models' rate, one channel."""
        from avsep.media.decode import read_audio

        mixture = Spool(self.folder, (), np.float32)
        with self.watch.step("decode"):
            for block in model_blocks(read_audio(self.clip, self.warnings.append)):
                mixture.append(block)
        return mixture

    def hear(self, model: Any, mixture: Spool) -> tuple[Spool, np.ndarray, np.ndarray]:
        """What a model separates by sound alone: spool of (sources,), speech (sources, pictures) and activity (cells,
        sources)."""
        from avsep.inference.separation import separate_sound
        from avsep.speech.activity import activity, listen

        with self.watch.step("separation"):
            sources = separate_sound(
                model, mixture, self.options.shifts, self.folder, self.separator.device, self.progress
            )
        with self.watch.step("speech"):
            speech, level = listen(sources, self.progress)
        return sources, speech, activity(speech, level)

    def split(self, mixture: Spool, wanted: int | None, most: float = math.inf) -> tuple[Spool, np.ndarray, np.ndarray]:
        """As `hear`, with the weights for as many voices as there are at a time: `wanted`, or estimated to be up to
        `most`."""
        from avsep.speech.activity import voices_at_once

        for card in self.separator.cards_for(wanted):
            self.card = card
            model = self.separator._model(self.card.path)
            if wanted is not None and wanted > model.sources:
                raise UsageError(
                    f"--speakers is {wanted}; model {self.card.name!r} separates up to {model.sources} voices. "
                    f"Give 1 to {model.sources}, or another model (avsep models lists them)."
                )
            sources, speech, active = self.hear(model, mixture)
            if min(voices_at_once(active), most) != 2:
                break
        return sources, speech, active

    def by_sound(self, mixture: Spool) -> Voices:
        """No faces: as many tracks as there are voices."""
        from avsep.speech.activity import count_voices

        wanted = self.options.speakers
        sources, speech, active = self.split(mixture, wanted)
        total = len(speech)
        count = wanted or count_voices(active)
        pictures = speech.shape[1]
        order = np.argsort(-active.sum(axis=0), kind="stable")
        gains = np.zeros((count, total, pictures), np.float32)
        for track in range(count):
            gains[track, order[track]] = 1
        # With fewer voices than sources, what the model split off goes back to the last voice.
        gains[count - 1, order[count:]] = 1
        spoken = np.einsum("pst,st->pt", gains, speech).clip(0, 1)
        return Voices(sources, gains, spoken, np.full(count, np.nan))

    def match(self, people: Sequence[Person], sources: Spool, active: np.ndarray) -> Scores:
        """How well lips and sources go together, at each person's offset."""
        from avsep.matching.synchrony import embed_lips, embed_voices, score_people

        device = self.separator.device
        synchrony = self.separator._model(SYNCHRONY_MODEL)
        if self.seen is None:
            with self.watch.step("lips"):
                tracks = [track for person in people for track in person.tracks]
                embedded = embed_lips(synchrony, tracks, device, self.progress)
                self.seen = {id(track): lips for track, lips in zip(tracks, embedded, strict=True)}
        with self.watch.step("synchrony"):
            heard = embed_voices(synchrony, sources, device)
            return score_people(people, self.seen, heard, active, self.options.av_offset)

    def assigned(self, mixture: Spool, people: Sequence[Person]) -> Voices:
        """Separate by sound, then let the lips choose."""
        from avsep.matching.assignment import assign
        from avsep.matching.synchrony import trust
        from avsep.speech.activity import gate, too_little

        sources, speech, active = self.split(mixture, None, most=max(2, len(people)))
        scores = self.match(people, sources, active)
        synchrony = self.separator._model(SYNCHRONY_MODEL)
        with self.watch.step("synchrony"):
            odds = synchrony.slope.item() * scores.correlation + synchrony.bias.item() + scores.moving[:, :, None]
            found = assign(odds, active, speech.shape[1])
            confidence = np.full(len(found.gains), np.nan)
            confidence[: len(people)] = trust(scores.correlation, found.owned * active[:, None])
        spoken = np.einsum("pst,st->pt", found.gains, speech).clip(0, 1)
        silent = too_little(spoken)
        gains = np.where(silent[:, None, None], 0, found.gains * gate(speech)).astype(np.float32)
        spoken[silent] = 0
        confidence[silent] = np.nan
        return Voices(sources, gains, spoken, confidence, scores.offsets / FRAME_RATE)

    def fused(self, model: Any, mixture: Spool, people: Sequence[Person]) -> Voices:
        """The lips steer the separation itself, once they are in step with the sound; what is separated by sound alone
        tells the offset."""
        from avsep.inference.separation import separate_faces
        from avsep.matching.synchrony import trust
        from avsep.speech.activity import activity, gate, listen, too_little

        heard, _, active = self.hear(self.separator._model(DEFAULT_MODEL), mixture)
        offsets = self.match(people, heard, active).offsets
        with self.watch.step("separation"):
            sources = separate_faces(
                model, mixture, people, offsets.tolist(), self.folder, self.separator.device, self.progress
            )
        with self.watch.step("speech"):
            speech, level = listen(sources, self.progress)
        silent = too_little(speech)
        speech[silent] = 0
        active = activity(speech, level)
        own = np.eye(len(people), dtype=np.float32)
        confidence = trust(self.match(people, sources, active).correlation, own * active[:, None])
        return Voices(sources, own[:, :, None] * gate(speech), speech, confidence, offsets / FRAME_RATE)

    def write(self, people: Sequence[Person], voices: Voices) -> dict[str, Any]:
        """Files of every track, the residual and the manifest."""
        from avsep.media.decode import read_audio
        from avsep.media.person_video import PersonVideo, write_person_videos
        from avsep.output.tracks import TrackReader, write_tracks

        assert self.folder is not None
        names = [f"speaker_{i:02d}" for i in range(len(voices.gains))]
        wavs = [self.folder / f"{name}.wav" for name in names]
        seconds = len(voices.sources) / SAMPLE_RATE
        with self.watch.step("writing"):
            same = write_tracks(
                read_audio(self.clip, lambda _: None),
                TrackReader(voices.sources, voices.gains),
                wavs,
                self.folder / "residual.wav",
                seconds,
                self.progress,
            )
            self.write_thumbnails(people)
        with_video = bool(people) and self.options.video
        if with_video:
            with self.watch.step("video"):
                # Voices of people who are not to be seen follow after those of the people.
                jobs = [
                    PersonVideo(wav.with_suffix(".mp4"), person, wav) for wav, person in zip(wavs, people, strict=False)
                ]
                write_person_videos(
                    self.clip,
                    jobs,
                    self.warnings.append,
                    lambda *state: self.progress("video", *state[-2:]),
                )
        self.warnings += [f"{names[a]} and {names[b]} are nearly the same sound" for a, b in same]
        result = manifest.separation(
            clip=self.clip,
            card=self.card,
            options=asdict(self.options),
            people=people,
            voices=voices,
            video=with_video,
            warnings=self.warnings,
            seconds=seconds,
            steps=self.watch.seconds,
            total=time.perf_counter() - self.started,
        )
        manifest.write(self.folder / "manifest.json", result)
        return result

    def write_thumbnails(self, people: Sequence[Person]) -> None:
        from avsep.media.decode import picture_at
        from avsep.media.encode import write_jpeg

        assert self.folder is not None
        for number, person in enumerate(people):
            track = max(person.tracks, key=len)
            picture = picture_at(self.clip, track.best / FRAME_RATE)
            x1, y1, x2, y2 = track.boxes[track.best - track.first]
            side = 0.75 * max(x2 - x1, y2 - y1)
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            height, width = picture.shape[:2]
            top, bottom = max(0, math.floor(y - side)), min(height, math.ceil(y + side))
            left, right = max(0, math.floor(x - side)), min(width, math.ceil(x + side))
            write_jpeg(self.folder / f"speaker_{number:02d}.jpg", picture[top:bottom, left:right])


@dataclass(frozen=True, eq=False)
class Voices:
    """What the separation found. sources: spool of (sources,); gains: (people, sources, pictures); speech: (people,
    pictures)
    probability; confidence: (people,) or NaN; offsets: (people,) seconds the sound comes after the picture."""

    sources: Spool
    gains: np.ndarray
    speech: np.ndarray
    confidence: np.ndarray
    offsets: np.ndarray | None = None
