"""The steps in order: decode, find the people where the mode needs them, separate in the mode that fits, split the
residual, name the people, choose what is asked for, write, measure. The only file that knows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.errors import UsageError
from avsep.inference.models import ModelStore, resolve_device
from avsep.modes import MODES, Mode
from avsep.modes.base import Options, Scene
from avsep.modes.voices import DEFAULT_MODEL, default_models
from avsep.signals import ProgressHook, no_progress

if TYPE_CHECKING:
    from avsep.models.base import Contract

__all__ = ["DEFAULT_MODEL", "Options", "Separator", "default_models", "resolve_device"]

DEFAULTS = Options()


class Separator:
    """Separates clips; the models are loaded once, when they are first needed.

    model: name of bundled separation weights or path of a weights file; by default the bundled weights for the number
    of voices. device: "auto", "cpu" or "cuda". threads: of the CPU. modes: ways to turn a scene into tracks, the first
    that fits is taken.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        modes: Sequence[Mode] = MODES,
    ) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.models = ModelStore(resolve_device(device))
        self.model = None if model is None else str(model)
        self.modes = modes
        self.models.card(self.model or DEFAULT_MODEL)  # an unknown name is told before any clip is read

    def separate(
        self,
        path: str | Path,
        output: str | Path = "separated",
        options: Options = DEFAULTS,
        progress: ProgressHook | None = None,
    ) -> dict[str, Any]:
        """Separate one clip into `output/<its name>/` (see README: what comes out) and return the manifest.

        Raises InputError, OutputError, UsageError or WeightsError; then nothing is written.
        """
        from avsep.modes.choice import choose
        from avsep.modes.residual import split_residual
        from avsep.output.write import write_result
        from avsep.people.naming import name_tracks
        from avsep.timeline.formats import check_formats

        check_formats(options.also)
        # The model comes first: a wrong one is told before any clip is decoded.
        contract = self._contract(options)
        with self._scene(path, output, options, progress) as scene:
            # A clip that cannot fit whoever is in it is told before the faces are searched.
            mode = self._checked(scene, contract)
            if mode.needs_people:
                find_people(scene)
                mode = self._mode(scene, contract)
            tracks = mode(scene)
            if options.residual:
                tracks = split_residual(scene, tracks)
            if options.people:
                tracks = name_tracks(scene, tracks)
            content = write_result(scene, choose(scene, tracks))
            return _measured(scene, content) if options.measure else content

    def check(self, path: str | Path, options: Options = DEFAULTS) -> str:
        """Which models may separate a clip, in words; write nothing. Raises what `separate` would raise before it
        decodes the clip."""
        contract = self._contract(options)
        with self._scene(path, None, options, None) as scene:
            return self._checked(scene, contract).plan(scene)

    def faces(
        self,
        path: str | Path,
        output: str | Path | None = None,
        options: Options = DEFAULTS,
        progress: ProgressHook | None = None,
    ) -> dict[str, Any]:
        """The people of a clip, with times and boxes; thumbnails and people.json go to `output/<its name>/` if it is
        given."""
        from avsep.output.write import write_people

        with self._scene(path, output, options, progress) as scene:
            find_people(scene)
            return write_people(scene)

    @contextmanager
    def _scene(
        self, path: str | Path, output: str | Path | None, options: Options, progress: ProgressHook | None
    ) -> Iterator[Scene]:
        """A clip and, where there is an output, the folder to write to, which gets its name when the block succeeds."""
        from avsep.media.decode import probe
        from avsep.media.unchanged import unchanged
        from avsep.output.checksums import checksums
        from avsep.output.ownership import SEPARATION
        from avsep.output.workspace import result_folder, workspace
        from avsep.timeline.formats import files_of

        clip = probe(path, audio_stream=options.audio_stream, start=options.start, end=options.end)
        kept: list[str] = []
        place: AbstractContextManager[Path | None] = nullcontext()
        if output is not None:
            target = result_folder(output, clip.path)
            kind = SEPARATION.with_files(files_of(options.also))
            place = workspace(target, options.overwrite, inputs=[clip.path], kind=kind, say=kept.append)
        with place as folder, unchanged(clip) as sha256:
            yield Scene(
                clip,
                [],
                self.models,
                options,
                self.model,
                folder,
                searched=False,
                progress=progress or no_progress,
                warnings=kept,
                sha256=sha256,
                checksums=checksums(options, self.model),
            )

    def _contract(self, options: Options) -> Contract:
        """What the run needs, before the clip is looked at. Raises UsageError or WeightsError where it is missing."""
        if options.measure:
            from avsep.evaluation.no_reference.mos import check_installed

            check_installed("--measure")
        return self.models.separation(self.model or default_models(options.voices)[0]).contract

    def _checked(self, scene: Scene, contract: Contract) -> Mode:
        """The mode for a clip whose people are not known yet, once its options fit it."""
        from avsep.modes.choice import check_choice
        from avsep.modes.guided import check_turns
        from avsep.modes.residual import check_residual
        from avsep.modes.target import check_targets
        from avsep.people.naming import check_people

        _ = scene.positions  # refuses an option that does not fit the sound
        if scene.is_mixed_down:
            scene.warnings.append(
                f"the {scene.channels} channels of this sound are taken for a film's, and their mean is separated; "
                "if they are microphones, give their positions with --array FILE.json"
            )
        mode = self._mode(scene, contract)
        options = scene.options
        if options.turns is not None:
            check_turns(scene, mode)
        of_residual = check_residual(scene, contract) if options.residual else ()
        known = check_people(scene, contract) if options.people else ()
        named = options.only is not None or options.without is not None
        check_choice(scene, [*mode.labels(scene, contract), *of_residual, *known] if named else ())
        if options.enroll or options.target:
            check_targets(scene, contract)
        return mode

    def _mode(self, scene: Scene, contract: Contract) -> Mode:
        reasons = []
        for mode in self.modes:
            reason = mode.misfit(scene, contract)
            if reason is None:
                return mode
            reasons += [reason] if reason and reason not in reasons else []
        name = self.models.card(self.model or DEFAULT_MODEL).name
        why = "; ".join(reasons) or f"it needs {', '.join(contract.cues) or 'what no mode gives'}"
        raise UsageError(
            f"model {name!r} cannot separate {scene.clip.path}: {why}. "
            f"Use --model {DEFAULT_MODEL}, which separates by sound alone."
        )


def find_people(scene: Scene) -> None:
    """Decode the pictures, find and follow the faces, tell the people apart."""
    scene.searched = True
    if scene.clip.video is None:
        return
    from avsep.embeddings.face import load_face_embedder
    from avsep.faces import find_faces
    from avsep.faces.identify import identify
    from avsep.media.decode import PictureLog, read_video

    device, total = scene.models.device, scene.clip.duration_seconds
    scene.picture_log = PictureLog()
    pictures = scene.watch.each("decode", read_video(scene.clip, scene.warnings.append, log=scene.picture_log))
    with scene.watch.step("faces"):
        found = find_faces(
            pictures,
            device=device,
            folder=scene.folder,
            progress=lambda seconds: scene.progress("faces", seconds, total),
        )
    with scene.watch.step("identify"):
        embedder, warning = load_face_embedder(device) if len(found.tracks) > 1 else (None, None)
        if warning:
            scene.warnings.append(warning)
        scene.people = identify(found.tracks, embedder, found.cuts)


def _measured(scene: Scene, content: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the measures of its voices, which replaces the one in the scene's folder."""
    from avsep.evaluation.no_reference.measure import add_measures, measure
    from avsep.evaluation.no_reference.mos import load_dnsmos
    from avsep.output import manifest
    from avsep.results.result import MANIFEST, parse_result

    assert scene.folder is not None
    with scene.watch.step("measures"):
        result = parse_result(scene.folder, content)
        found = measure(result, scene.models, load_dnsmos(), scene.progress)
    if not found:
        content["warnings"].append("nothing is measured: no track is a voice")
    add_measures(content, found)
    content["timing"] = manifest.timing(scene, result.seconds)
    manifest.write(scene.folder / MANIFEST, content)
    return content
