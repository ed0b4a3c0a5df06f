"""A separator as ONNX with dynamic length (and faces), checked against torch before the file appears."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avsep.checkpoint import Card, model_file
from avsep.errors import WeightsError
from avsep.models.base import Model, SeparationModel
from avsep.signals import FRAME_RATE, LIP_SIZE

TOLERANCE = 1e-4
"""Largest difference to torch that is let through: full scale is 1, louder estimates are scaled to it."""

LENGTHS = (0.05, 0.5, 1.0003, 2.51)
"""Seconds at which it is checked; none but one a whole number of pictures or strides."""

FACES = (1, 3)
"""Numbers of faces at which a model for lips is checked."""


def export_onnx(model: Model, out: Path, card: Card) -> float:
    """Write `out` under a temporary name, compare it with torch, rename. Returns the largest difference (full scale
    is 1).

    Inputs: "mixture" (batch, time) float32 at the model's rate, (batch, channels, time) for several microphones; for a
    model conditioned on lips the batch is 1 and "lips" is (1, faces, pictures, 96, 96) float32 in 0..1. Output:
    "estimates" (batch, sources, time). All but channels and sources may have any size. The card is in the file's
    metadata under "avsep".

    Raises WeightsError for a model that is no separator, that cannot be written, or whose ONNX differs from torch.
    """
    if not isinstance(model, SeparationModel) or model.contract.cues not in ((), ("lips",)):
        cues = model.contract.cues if isinstance(model, SeparationModel) else ()
        takes = f"needs {', '.join(cues)}" if cues else "separates nothing"
        raise WeightsError(
            f"{type(model).__name__} {takes}; ONNX is written of models that separate a mixture alone or with lips."
        )
    if not model.state_dict():
        raise WeightsError(f"{type(model).__name__} has no weights; ONNX is written of networks.")
    if type(model).separate is not SeparationModel.separate:
        raise WeightsError(
            f"{type(model).__name__} separates by more than its network; ONNX is written of models whose network gives "
            "the estimates."
        )
    model = model.eval().cpu()
    with model_file(out) as partial:
        with _quiet():
            _write(model, partial, card)
        difference = float(np.max(list(_differences(model, partial))))  # NaN if one is, unlike max()
        if not difference <= TOLERANCE:
            raise WeightsError(
                f"the ONNX of {card.name} differs from torch by {difference:.1e} of full scale, more than "
                f"{TOLERANCE:.0e}. Nothing was written; try other versions of torch and onnxscript."
            )
    return difference


class Waveforms(nn.Module):
    """A model as ONNX shows it: a mono mixture is (batch, time), and mono estimates are (batch, sources, time)."""

    def __init__(self, model: SeparationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, mixture: Tensor, lips: Tensor | None = None) -> Tensor:
        cues = {} if lips is None else {"lips": lips}
        estimates = self.model(mixture if mixture.dim() == 3 else mixture.unsqueeze(1), **cues).estimates
        return estimates.squeeze(2) if mixture.dim() == 2 else estimates


def example(model: SeparationModel, seconds: float, faces: int = 2, batch: int = 1) -> dict[str, Tensor]:
    """Noise of a length as a model takes it, by the names of its inputs."""
    draw = torch.Generator().manual_seed(0)
    time = max(1, round(seconds * model.contract.sample_rate))
    fewest = model.contract.channels[0]
    channels = () if fewest == 1 else (fewest,)
    inputs = {"mixture": 0.1 * torch.randn(batch, *channels, time, generator=draw)}
    if model.contract.cues:
        pictures = max(1, round(seconds * FRAME_RATE))
        inputs["lips"] = torch.rand(batch, faces, pictures, LIP_SIZE, LIP_SIZE, generator=draw)
    return inputs


def _write(model: SeparationModel, path: Path, card: Card) -> None:
    import onnx

    inputs = example(model, 1.0, batch=1 if model.contract.cues else 2)
    last = inputs["mixture"].dim() - 1
    free: dict[str, dict[int, str]] = {"mixture": {last: "time"}}
    if model.contract.cues:
        free["lips"] = {1: "faces", 2: "pictures"}
    else:
        free["mixture"][0] = "batch"
    try:
        program = torch.onnx.export(
            Waveforms(model),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["estimates"],
            dynamic_shapes=tuple(free.values()),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        document = program.model_proto
    except Exception as error:
        cause = error.__cause__ or error  # the exporter wraps what the model could not do into a page of advice
        first = shorten(next(iter(str(cause).strip().splitlines()), type(cause).__name__), 200)
        raise WeightsError(f"{card.name} ({type(model).__name__}) cannot be written as ONNX: {first}") from error
    for node in document.graph.node:  # each carries the lines of code it comes from, with paths of this machine
        node.doc_string = ""
        del node.metadata_props[:]
    # The exporter knows no name for it: it cuts the padding off to the length that came in.
    document.graph.output[0].type.tensor_type.shape.dim[-1].dim_param = "time"
    onnx.helper.set_model_props(
        document, {"avsep": json.dumps(_plain(card)), "sample_rate": str(model.contract.sample_rate)}
    )
    onnx.save(document, path)


@torch.inference_mode()
def _differences(model: SeparationModel, path: Path) -> Iterator[float]:
    """Largest difference at each length and number of faces."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for seconds in LENGTHS:
        for faces in FACES if model.contract.cues else FACES[:1]:
            inputs = example(model, seconds, faces)
            expected = Waveforms(model)(*inputs.values())
            (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
            if found.shape != tuple(expected.shape):
                yield float("inf")
                continue
            scale = max(1.0, expected.abs().max().item())
            yield (torch.from_numpy(found) - expected).abs().max().item() / scale


def _plain(card: Card) -> dict[str, Any]:
    return {key: value for key, value in asdict(card).items() if key != "path"}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints and warns of its own inner working."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
