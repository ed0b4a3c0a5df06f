"""What every model shares: a contract that says what it takes and gives, and the arguments that rebuild it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from torch import Tensor, nn

from avsep.models.limits import check_whole

if TYPE_CHECKING:
    import numpy as np

Order = Literal["any", "cue", "named"]
Kind = Literal["voice", "sound", "stem"]
Level = Literal["source", "free"]


@dataclass(frozen=True)
class Contract:
    """What a separation model takes and gives. Everything around models goes by this, never by a model's class.

    sample_rate: in Hz, 1000 to 384000. channels: fewest and most microphones, 1 to 128. cues: names of what it needs
    besides the mixture ("lips", "face", "enrolment", "geometry"; in training also "sources"). sources: estimates it
    gives, up to 64; None where there are as many as cues, or where the model tells. order: of the estimates: "any",
    "cue" (estimate i belongs to cue i) or "named" (estimate i is `names[i]`). kind: what its estimates are. refine:
    whether they gain from `ratio_mask_refinement` against the mixture. stride: samples after which its frames lie on
    the signal as before; 1 where it has no frames. segment_seconds: the length it works best on at a time, where a
    signal is longer. rounds: how often a part of it is run through, up to 16; with fewer it is faster and separates
    less well (`with_rounds`).
    joint: whether it needs the cues of all sources at once, because one tells of the others. level: of the estimates;
    "source" for that of the sources in the mixture, "free" where gain and sign mean nothing, as after training with a
    loss that is indifferent to them: then they are fitted to the mixture in use.
    """

    sample_rate: int
    channels: tuple[int, int] = (1, 1)
    cues: tuple[str, ...] = ()
    sources: int | None = 2
    order: Order = "any"
    names: tuple[str, ...] = ()
    kind: Kind = "voice"
    refine: bool = False
    stride: int = 1
    segment_seconds: float = 10.0
    rounds: int = 1
    joint: bool = False
    level: Level = "source"

    def __post_init__(self) -> None:
        check_whole(1000, 384_000, sample_rate=self.sample_rate)
        check_whole(1, self.sample_rate, stride=self.stride)
        check_whole(1, 16, rounds=self.rounds)
        if self.sources is not None:
            check_whole(1, 64, sources=self.sources)
        fewest, most = self.channels
        for count in self.channels:
            check_whole(1, 128, channels=count)
        if fewest > most:
            raise ValueError(f"channels are {self.channels}; they must be the fewest and the most")
        if not 0 < self.segment_seconds <= 3600:
            raise ValueError(f"segment_seconds is {self.segment_seconds}; it must be above 0 and at most 3600")
        for name, kinds in (("order", Order), ("kind", Kind), ("level", Level)):
            value, allowed = getattr(self, name), get_args(kinds)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
        if (self.order == "named") != bool(self.names) or (self.names and self.sources != len(self.names)):
            raise ValueError(
                f"order {self.order!r} with names {self.names} and {self.sources} sources; 'named' needs a name for "
                "each source, and only 'named' has names"
            )
        if self.order == "cue" and not self.cues:
            raise ValueError("order is 'cue', but there are no cues; name them, or take order 'any'")

    @property
    def channel_counts(self) -> str:
        """Its numbers of channels in words."""
        fewest, most = self.channels
        return str(most) if fewest == most else f"{fewest} to {most}"

    def takes(self, channels: int) -> bool:
        """Whether a sound of so many channels can be given: as it is, as its mean, or copied where stems are wanted."""
        fewest, most = self.channels
        return most == 1 or fewest <= channels <= most or (channels == 1 and self.kind == "stem")


@dataclass
class Output:
    """What a model gives; None and empty where it has no such thing.

    estimates: (batch, sources, channels, time). stages: earlier passes or blocks, each shaped as the estimates.
    spectrum: complex (batch, freq, frames) of the mixture's first channel, or (batch, channels, freq, frames) of all;
    real where the transform is a learned one. masks: (batch, sources, freq, frames), or for each channel (batch,
    sources, channels, freq, frames); real or complex. embeddings: (batch, freq, frames, dims). attractors: (batch,
    sources, dims), the places among the embeddings that masks are made of. logits: by what they tell (class, speaker,
    count, stop). transform: the analysis that made the spectrum, real (..., time) -> (..., freq, frames), so that a
    loss sees the sources as the model sees the mixture.
    """

    estimates: Tensor | None = None
    stages: tuple[Tensor, ...] = ()
    spectrum: Tensor | None = None
    masks: Tensor | None = None
    embeddings: Tensor | None = None
    attractors: Tensor | None = None
    logits: dict[str, Tensor] = field(default_factory=dict)
    transform: Callable[[Tensor], Tensor] | None = None


class Part(nn.Module):
    """A module that remembers what it was built with, so that a file can say it and a YAML can name it.

    init_args: arguments by name, defaults too, plain types only: a part that was handed in stands there as
    {"class_path": ..., "init_args": ...}.
    """

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
        except TypeError:
            # Copies are made without arguments, and get those of the original; a wrong call fails in __init__.
            return self
        bound.apply_defaults()
        arguments = {name: plain(value) for name, value in bound.arguments.items() if name != "self"}
        object.__setattr__(self, "init_args", arguments)
        return self

    @property
    def class_path(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def warm_start(self, trained: nn.Module) -> list[str]:
        """Copy the tensors of `trained` that have the name and shape of one here; the names of those that were set.

        A part whose tensors have other names or sizes where it is used in another way says here how they go together.
        """
        return copy_fitting(self, trained.state_dict())


def copy_fitting(module: nn.Module, learnt: Mapping[str, Tensor], rows: str = "") -> list[str]:
    """Copy the tensors that a module has under the same name and shape; the names of those that were set.

    rows: of tensors whose names begin so, the first rows are copied where one has more of them.
    """
    own = module.state_dict()
    taken = []
    for name, tensor in learnt.items():
        mine = own.get(name)
        if mine is None or not (
            mine.shape == tensor.shape or (rows and name.startswith(rows) and mine.shape[1:] == tensor.shape[1:])
        ):
            continue
        if mine.shape != tensor.shape:
            count = min(len(mine), len(tensor))
            mine, tensor = mine[:count], tensor[:count]
        mine.copy_(tensor)
        taken.append(name)
    return taken


class Model(Part):
    """Base of everything that is saved, listed and loaded by name.

    paper, year: where the architecture comes from. paper_args: the arguments of its size there, where the defaults
    are others. published: the result that it is known for, with the data.
    """

    paper: ClassVar[str] = ""
    year: ClassVar[int] = 0
    paper_args: ClassVar[Mapping[str, Any]] = {}
    published: ClassVar[str] = ""


class SeparationModel(Model):
    """A model that turns a mixture into estimates, as its contract says.

    given_in_training: what a batch holds besides the cues that `forward` takes by its name in training, and does
    without elsewhere (labels).
    """

    contract: Contract
    given_in_training: ClassVar[tuple[str, ...]] = ()

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """For training: mixture (batch, channels, time), cues by their names -> output."""
        raise NotImplementedError

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """For use, with estimates: where that is more than `forward` (clustering, recursion, beamforming)."""
        return self(mixture, **cues)

    def with_positions(self, positions: np.ndarray) -> SeparationModel:
        """The same model, told where the microphones are: (channels, 3) in m. Most make no use of it."""
        return self

    def with_sources(self, sources: int) -> SeparationModel:
        """The same model, told how many sources there are. Most make no use of it."""
        return self

    def with_rounds(self, rounds: int) -> SeparationModel:
        """The same model, with the same weights, whose part of several rounds is run through so often. Only for models
        whose contract has rounds."""
        raise NotImplementedError

    def compiled_modules(self) -> list[nn.Module]:
        """What torch.compile is to fuse in training: all of it, unless parts of it would only be slower."""
        return [self]

    def check(self, mixture: Tensor) -> None:
        """ValueError unless the mixture is (batch, channels, time) with as many channels as the contract allows."""
        fewest, most = self.contract.channels
        if mixture.dim() != 3 or not fewest <= mixture.shape[1] <= most:
            counts = self.contract.channel_counts
            raise ValueError(f"mixture {tuple(mixture.shape)}; expected (batch, channels, time) with {counts} channels")


def plain(value: Any) -> Any:
    """An argument as plain data: parts as nodes of class_path and init_args, tuples as lists."""
    if isinstance(value, Part):
        return {"class_path": value.class_path, "init_args": value.init_args}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
