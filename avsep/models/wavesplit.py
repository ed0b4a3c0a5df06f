"""Separation by vectors of the speakers, which are clustered over the signal: Wavesplit (Zeghidour and Grangier,
2020)."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.order import best_assignment
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_filters, check_whole
from avsep.models.parts.clustering import cluster
from avsep.models.parts.layers import PointwiseConv
from avsep.models.parts.levels import at_level, level_of
from avsep.signals import SAMPLE_RATE

NO_LABEL = -1
"""Of a source that is silent, or whose speaker nobody knows (see `avsep.data.item`)."""


class FirstConv(nn.Module):
    """(batch, time) -> frames (batch, ceil(time / stride), channels): each from `kernel` samples about its own."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.before, self.after = (kernel - stride) // 2, kernel - stride - (kernel - stride) // 2
        self.conv = nn.Conv1d(1, channels, kernel, stride)

    def forward(self, waveform: Tensor) -> Tensor:
        missing = -waveform.shape[-1] % self.conv.stride[0]
        padded = functional.pad(waveform, (self.before, self.after + missing))
        return self.conv(padded.unsqueeze(1)).transpose(1, 2)


class DilatedConv(PointwiseConv):
    """A convolution of three frames, `dilation` apart, with zeros beyond the ends: (batch, frames, channels) -> the
    same shape."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(3 * channels, channels)
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        frames, apart = x.shape[1], self.dilation
        padded = functional.pad(x, (0, 0, apart, apart))
        taps = [padded[:, start : start + frames] for start in (0, apart, 2 * apart)]
        return super().forward(torch.cat(taps, 2))


class Layer(nn.Module):
    """Convolution, scale and shift by what tells of the speakers, if anything does (FiLM; Perez et al., 2018), PReLU,
    norm of each frame, residual: (batch, frames, channels), told (batch, told) -> the same shape."""

    def __init__(self, channels: int, dilation: int, told: int = 0) -> None:
        super().__init__()
        self.conv = DilatedConv(channels, dilation)
        self.film = nn.Linear(told, 2 * channels) if told else None
        self.slopes = nn.Parameter(torch.full((channels,), 0.25))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        made = self.conv(x)
        if self.film is not None and told is not None:
            scale, shift = self.film(told).unsqueeze(1).chunk(2, 2)
            # A scale of one where nothing was learnt.
            made = torch.addcmul(shift, made, 1 + scale)
        return x + self.norm(torch.where(made > 0, made, made * self.slopes))


class SpeakerStack(nn.Module):
    """Speaker vectors of unit length at every frame, in no particular order: (batch, time) -> (batch, sources, frames,
    dims). layers: with dilations 1, 2, 4, ..."""

    def __init__(self, channels: int, dims: int, kernel: int, stride: int, layers: int, sources: int) -> None:
        super().__init__()
        self.sources = sources
        self.first = FirstConv(channels, kernel, stride)
        self.layers = nn.Sequential(*(Layer(channels, 2**n) for n in range(layers)))
        self.to_vectors = PointwiseConv(channels, sources * dims)

    def forward(self, waveform: Tensor) -> Tensor:
        vectors = self.to_vectors(self.layers(self.first(waveform)))
        return functional.normalize(vectors.unflatten(2, (self.sources, -1)), dim=3).transpose(1, 2)


class SeparationStack(nn.Module):
    """Waveforms of the speakers whose vectors are given, in their order, after each of the last `heads` repeats of the
    layers: (batch, time), (batch, sources, dims) -> a list of (batch, sources, time). blocks: layers of a repeat, with
    dilations 1, 2, 4, ..."""

    def __init__(
        self, channels: int, dims: int, kernel: int, stride: int, repeats: int, blocks: int, sources: int, heads: int
    ) -> None:
        super().__init__()
        self.sources = sources
        self.first = FirstConv(channels, kernel, stride)
        self.repeats = nn.ModuleList(
            nn.ModuleList(Layer(channels, 2**n, sources * dims) for n in range(blocks)) for _ in range(repeats)
        )
        # With a stride of one this is the paper's 1x1 convolution; else a frame gives as many samples as it stands for.
        self.to_samples = nn.ModuleList(PointwiseConv(channels, sources * stride) for _ in range(heads))

    def forward(self, waveform: Tensor, vectors: Tensor) -> list[Tensor]:
        x, told = self.first(waveform), vectors.flatten(1)
        made = []
        for left, repeat in zip(range(len(self.repeats), 0, -1), self.repeats, strict=True):
            for layer in cast(nn.ModuleList, repeat):
                x = layer(x, told)
            if left <= len(self.to_samples):
                samples = self.to_samples[-left](x).unflatten(2, (self.sources, -1)).transpose(1, 2).flatten(2)
                made.append(samples[..., : waveform.shape[-1]])
        return made


class Wavesplit(SeparationModel):
    """Estimates from one channel: vectors that tell of the speakers at every frame, k-means over the whole signal that
    brings them together to one vector a speaker, and a network that separates what these vectors tell of.

    In training the labels of the sources say which speakers there are: at every frame the vectors are given to them in
    the order that fits best to a table of learned vectors, one a speaker, and the speaker's vector is the mean of those
    it was given. Estimates then have the order of the sources. `avsep.losses.OnSpeakerVectors` is the loss that makes
    the vectors fit. Without labels (validation, use) vectors are clustered.

    speakers: rows of the table, at least as many as the training data has (`names`). kernel and stride of the first
    convolution in samples, layers, repeats and blocks: see the two stacks. noise: standard deviation of what is added
    in training to the speakers' vectors. every_repeat: training gets the estimates after each repeat of the separation
    stack as stages (see `avsep.losses.OnStages`). The paper's stride is 1; a larger one is as many times as fast.

    The paper gives no number of parameters; other papers say 29 million, which its sizes (512 channels throughout,
    full convolutions, FiLM at 40 layers from the vectors of all speakers) exceed.
    """

    paper = "Zeghidour and Grangier, Wavesplit"
    year = 2020
    published = "22.2 dB SI-SNRi, WSJ0-2mix, with dynamic mixing"
    paper_args: ClassVar = {
        "speakers": 101,
        "channels": 512,
        "dims": 512,
        "kernel": 4,
        "stride": 1,
        "layers": 14,
        "blocks": 10,
        "sample_rate": 8000,
    }
    given_in_training = ("labels",)

    def __init__(
        self,
        sources: int = 2,
        speakers: int = 1000,
        channels: int = 128,
        dims: int = 128,
        kernel: int = 32,
        stride: int = 16,
        layers: int = 10,
        repeats: int = 4,
        blocks: int = 8,
        noise: float = 0.2,
        every_repeat: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_filters(kernel, stride)
        check_whole(1, MOST_SIZE, channels=channels, dims=dims, speakers=speakers)
        check_whole(1, 20, layers=layers, blocks=blocks)
        check_whole(1, 64, repeats=repeats, sources=sources)
        if not 0 <= noise <= 10:
            raise ValueError(f"noise is {noise}; it must be 0 to 10")
        self.noise = noise
        heads = repeats if every_repeat else 1
        self.speaker_stack = SpeakerStack(channels, dims, kernel, stride, layers, sources)
        self.separation_stack = SeparationStack(channels, dims, kernel, stride, repeats, blocks, sources, heads)
        self.table = nn.Embedding(speakers, dims)
        # How fast the probability of a speaker falls with the distance of its vector, and of one at no distance.
        self.slope, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))
        self.contract = Contract(sample_rate, sources=sources, refine=True, stride=stride)

    def forward(self, mixture: Tensor, labels: Tensor | None = None, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time).

        labels: (batch, sources), the speakers' rows in the table, -1 where a source has none; the output then has the
        logits "speaker" (batch, sources, frames, speakers) in the order of the labels. Raises UsageError for labels
        that are not of the table, or not as many as sources.
        """
        self.check(mixture)
        level = level_of(mixture)
        waveform = mixture[:, 0] / level[:, 0]
        vectors = self.speaker_stack(waveform)
        logits = {}
        if labels is None:
            centres = self.clustered(vectors)
        else:
            self.check_labels(labels)
            scores = self.scores(vectors)
            order = self.order(scores, labels)
            logits["speaker"] = scores.take_along_dim(order.unsqueeze(3), 1)
            centres = vectors.take_along_dim(order.unsqueeze(3), 1).mean(2)
        if self.training and self.noise:
            centres = centres + self.noise * torch.randn_like(centres)
        *stages, last = (made.unsqueeze(2) for made in self.separation_stack(waveform, centres))
        return at_level(Output(last, tuple(stages), logits=logits), level)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """The same, of clustered vectors: more than a network, and so overridden."""
        return self(mixture)

    def compiled_modules(self) -> list[nn.Module]:
        """The networks: k-means is none."""
        return [self.speaker_stack, self.separation_stack]

    def scores(self, vectors: Tensor) -> Tensor:
        """How near each vector is to each speaker of the table, as logits: (batch, sources, frames, dims) -> (batch,
        sources, frames, speakers)."""
        table = functional.normalize(full_precision(self.table.weight), dim=1)
        # Both are of unit length: the squared distance from the product.
        distances = (2 - 2 * full_precision(vectors) @ table.t()).clamp_min(1e-6).sqrt()
        return self.offset - functional.softplus(self.slope) * distances

    @torch.no_grad()
    def order(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Which vector is whose, at every frame: scores (batch, sources, frames, speakers), labels (batch, sources) ->
        (batch, sources, frames), the number of the vector of each source. A source without label takes what the others
        leave."""
        known = labels.clamp_min(0)[:, None, None].expand(*scores.shape[:3], -1)
        losses = scores.logsumexp(3, keepdim=True) - scores.gather(3, known)
        losses = losses * (labels != NO_LABEL)[:, None, None]
        # (batch, vectors, frames, sources) -> a square for each frame.
        squares = losses.transpose(1, 2).flatten(0, 1)
        return best_assignment(squares).unflatten(0, (len(scores), -1)).transpose(1, 2)

    @torch.no_grad()
    def clustered(self, vectors: Tensor) -> Tensor:
        """The centres of vectors (batch, sources, frames, dims) by k-means over all frames: (batch, sources, dims), in
        no particular order."""
        found = []
        for item in vectors:
            points = item.flatten(0, 1)
            centres = cluster(points.float().cpu().numpy(), len(item))
            found.append(item.mean(1) if centres is None else torch.from_numpy(centres).to(item))
        return torch.stack(found)

    def check_labels(self, labels: Tensor) -> None:
        """UsageError unless the labels (batch, sources) are of the table, or -1."""
        rows = self.table.num_embeddings
        if labels.shape[1] != self.contract.sources:
            raise UsageError(f"{labels.shape[1]} labels an item, and the model separates {self.contract.sources}")
        if labels.max() >= rows:
            raise UsageError(
                f"a source has the label {int(labels.max())}, and the table holds {rows} speakers; set speakers to as "
                "many as the training data has"
            )
