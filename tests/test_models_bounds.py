"""Descriptions that ask for too much, or for what makes no sense: refused before much memory is taken."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest
import torch
from largest_tensor import Largest
from torch import nn

from avsep.errors import WeightsError
from avsep.models.architectures import model_classes
from avsep.models.auxiva import AuxIVA
from avsep.models.base import Contract
from avsep.models.build import build_model
from avsep.models.limits import Limited, check_whole
from avsep.models.separators.conv_tasnet import TemporalConvNet

MODELS = "avsep.models."
SIZES = {"filters": 8, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}
NET = {"filters": 8, "bottleneck": 4, "hidden": 6, "skip": 0, "kernel": 3, "blocks": 2, "repeats": 1, "sources": 2}
CODER = {"filters": 8, "kernel": 16, "stride": 8}
LIP = {"channels": 8, "widths": [4, 4, 8, 8], "temporal_channels": 8, "temporal_blocks": 1, "size": 32}
VOICE = {"channels": 8, "width": 8, "temporal_blocks": 1}
COUNTER = "parts.voice_counter.VoiceCounter"
CLUSTERS = {"layers": 1, "hidden": 4, "dims": 3}
ROOM = 100_000
"""Numbers that a description may ask for here."""
HUGE = 60_000_001


def node(class_path: str, **init_args: Any) -> dict[str, Any]:
    return {"class_path": MODELS + class_path, "init_args": init_args}


def conv(**changes: Any) -> dict[str, Any]:
    return node("conv_tasnet.ConvTasNet", **SIZES | changes)


def lips(**changes: Any) -> dict[str, Any]:
    return node("av_conv_tasnet.AVConvTasNet", **SIZES, lip=LIP | changes)


def synchrony(lip: Any = LIP, **changes: Any) -> dict[str, Any]:
    return node("synchrony.Synchrony", lip=lip, voice=VOICE | changes)


def members(*given: Any) -> dict[str, Any]:
    return node("synchrony_ensemble.SynchronyEnsemble", members=list(given))


def auxiva(**changes: Any) -> dict[str, Any]:
    return node("auxiva.AuxIVA", **changes)


def clusters(**changes: Any) -> dict[str, Any]:
    return node("deep_clustering.DeepClustering", **CLUSTERS | changes)


def adanet(**changes: Any) -> dict[str, Any]:
    return node("danet.ADANet", **CLUSTERS | changes)


def attractors(**changes: Any) -> dict[str, Any]:
    trunk = node("parts.convolutional_trunk.ConvolutionalTrunk", channels=4, dims=3, dilations=[1, 1])
    return node("attractor_network.AttractorNetwork", **{"trunk": trunk} | changes)


def parts(**changes: Any) -> dict[str, Any]:
    made = {
        "encoder": node("parts.encoder.Encoder", **CODER),
        "separator": node("separators.conv_tasnet.TemporalConvNet", **NET),
        "decoder": node("parts.decoder.Decoder", **CODER),
    }
    return node("masking.MaskingModel", **made | changes)


def refined(first: Any) -> dict[str, Any]:
    return node("refined.Refined", **SIZES, first=first, synchrony=synchrony())


def one_and_rest(separator: Any, **changes: Any) -> dict[str, Any]:
    return node("one_and_rest.OneAndRest", separator=separator, **changes)


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


HOSTILE = [
    (conv(block_kernel=HUGE), f"kernel is {HUGE}; it must be a whole number from 1 to"),
    (conv(repeats=3 * 10**8, blocks=0), "blocks is 0; it must be a whole number from 1 to 16"),
    (conv(blocks=10**9), "blocks is 1000000000; it must be"),
    (conv(blocks=16, block_kernel=3), "kernel is 3; it must be a whole number from 1 to 2"),
    (conv(blocks=10**30), "numbers must be finite and within"),
    (conv(filters=0), "filters is 0"),
    (conv(skip=-1), "skip is -1"),
    (conv(sources=65), "sources is 65; it must be a whole number from 1 to 64"),
    (conv(stride=0), "stride is 0; it must be a whole number from 1"),
    (conv(kernel=0), "kernel is 0"),
    (conv(kernel=100_000, stride=1), "kernel 100000 must be a multiple of its stride 1, and at most 64 times"),
    (conv(kernel="40"), "kernel is '40'; it must be int"),
    (conv(kernel=40.0), "kernel is 40.0; it must be int"),
    (conv(sample_rate=1), "sample_rate is 1; it must be a whole number from 1000 to 384000"),
    (conv(sample_rate=True), "sample_rate is True; it must be int"),
    (conv(names="ab", sources=2), r"names is 'ab'; it must be .*Sequence\[str\]"),
    (conv(names=[["a"], ["b"]]), "names is"),
    (conv(names=list(range(20_000))), "10,000 values"),
    (conv(names=nested(500)), "levels deep"),
    (conv(kind=3), "kind is 3; it must be one of"),
    (lips(size=HUGE), f"size is {HUGE}; it must be a whole number from 1 to 256"),
    (lips(crop=HUGE), "crop is"),
    (lips(widths=[]), "widths is .*at least one"),
    (lips(widths=[4, "4"]), "width is '4'"),
    (lips(temporal_blocks=HUGE), "temporal_blocks is"),
    (lips(motion=7), "motion is 7"),
    (synchrony(mels=HUGE), f"mels is {HUGE}; it must be a whole number from 1 to 256"),
    (synchrony(lip=[3]), "lip is .3.; it must be dict"),
    (members(), "members is .*at least one"),
    (members({}), "members is .*lip.*voice"),
    (members({"lip": 3, "voice": VOICE}), "members is .*lip.*voice"),
    (members(3), r"members is \[3\]; it must be list\[dict\]"),
    (node("dprnn.DPRNN", filters=8, bottleneck=8, hidden=4, chunk=10**9), "chunk is 1000000000"),
    (node("dprnn.DPRNN", filters=8, bottleneck=8, hidden=4, blocks=0), "at least one block"),
    (clusters(sources=HUGE), f"sources is {HUGE}; it must be a whole number from 1 to 64"),
    (clusters(sources="2"), "sources is '2'; it must be int"),
    (clusters(window=511), "expected an even window"),
    (clusters(window=512, hop=0), "hop is 0"),
    (clusters(dims=0), "dims is 0"),
    (clusters(threshold_db=-1e9), "threshold_db is -1000000000.0; it must be 0 to"),
    (clusters(sharpness=float("nan")), "numbers must be finite"),
    (node("wave_u_net.WaveUNet", layers=10**9), "layers is 1000000000; it must be a whole number from 1 to 16"),
    (node("wave_u_net.WaveUNet", channels=10**9), "channels is 1000000000; it must be a whole number from 1 to 128"),
    (node("wavenet.WaveNet", stacks=10**9), "stacks is 1000000000; it must be a whole number from 1 to 100"),
    (node("wavenet.WaveNet", last=[8] * 101), "last_layers is 101"),
    (node("wavenet.WaveNet", last=[0]), "last is 0"),
    (node("open_unmix.OpenUnmix", layers=10**9), "layers is 1000000000"),
    (node("open_unmix.OpenUnmix", stems=["a"] * 3), "give one or more different names"),
    (node("open_unmix.OpenUnmix", stems=[f"s{n}" for n in range(65)]), "sources is 65; it must be"),
    (node("open_unmix.OpenUnmix", bandwidth=float("inf")), "numbers must be finite"),
    (node("open_unmix.OpenUnmix"), "asks for"),
    (adanet(window=511), "expected an even window"),
    (adanet(window=2**30), "window is 1073741824; it must be a whole number from 2 to 131072"),
    (adanet(anchors=HUGE), f"anchors is {HUGE}; it must be a whole number from 1 to 64"),
    (adanet(anchors=64, sources=8), "at most 500 ways to choose"),
    (adanet(loudest=float("inf")), "numbers must be finite"),
    (adanet(hidden=HUGE), f"hidden is {HUGE}"),
    (attractors(trunk="text"), "trunk is 'text'; it must be avsep.models.base.Part"),
    (attractors(trunk=node("parts.encoder.Encoder", **CODER), attractors="fixed"), "no attribute 'dims'"),
    (
        attractors(trunk=node("parts.embeddings.RecurrentTrunk", freq=129, layers=1, hidden=4, dims=2)),
        "takes 129 bins of frequency",
    ),
    (attractors(trunk=node("parts.embeddings.RecurrentTrunk", freq=HUGE)), f"freq is {HUGE}"),
    (attractors(trunk=node("parts.convolutional_trunk.ConvolutionalTrunk", channels=HUGE)), f"channels is {HUGE}"),
    (attractors(trunk=node("parts.convolutional_trunk.ConvolutionalTrunk", dilations=[HUGE] * 3)), "dilations.*is"),
    (attractors(trunk=node("parts.convolutional_trunk.ConvolutionalTrunk", dilations=[1] * 5000)), "layers is 5000"),
    (attractors(sources=True), "sources is True; it must be int"),
    (auxiva(window=4095), "expected an even window"),
    (auxiva(window=2**30), "window is 1073741824; it must be a whole number from 2 to 131072"),
    (auxiva(window=4096, hop=4096), "hop of 1 to half of it"),
    (auxiva(window=4096, hop=1), "hop is 1; with a window of 4096 it must be at least 64"),
    (auxiva(window="4096"), "window is '4096'; it must be int"),
    (auxiva(iterations=0), "iterations is 0; it must be a whole number from 1 to 1000"),
    (auxiva(iterations=10**9), "iterations is"),
    (auxiva(most_channels=10**9), "must be a whole number from 1 to 128"),
    (auxiva(most_channels=1), "fewest and the most"),
    (auxiva(sample_rate=10**9), "sample_rate is 1000000000; it must be"),
    (parts(encoder="text"), "encoder is 'text'; it must be avsep.models.base.Part"),
    (parts(separator=3), "separator is 3; it must be avsep.models.base.Part"),
    (parts(separator=node("parts.encoder.Encoder", **CODER)), "no attribute 'sources'"),
    (parts(encoder=node("parts.stft.StftEncoder", window=511)), "expected an even window"),
    (parts(encoder=node("parts.stft.StftEncoder", power=-1.0)), "power is -1.0; it must be"),
    (parts(decoder=node("parts.stft.StftDecoder", stride=0)), "hop is 0"),
    (parts(decoder=node("parts.decoder.Decoder", filters=8, kernel=15, stride=8)), "must be a multiple of its stride"),
    (parts(fusion=node("parts.fusion.ConcatFusion", audio_channels=HUGE, video_channels=1)), "audio_channels is"),
    (parts(fusion=node("parts.fusion.ConcatFusion", audio_channels=10**5, video_channels=1)), "asks for 10,000,"),
    (parts(encoder={"class_path": 3}), "class 3 is not a model of avsep"),
    (parts(encoder={"class_path": ["x"]}), "is not a model of avsep"),
    (parts(encoder={"class_path": f"{MODELS}parts.encoder.Encoder", "init_args": [1]}), r"init_args .*\[1\].*mapping"),
    (refined("text"), "first is 'text'; it must be avsep.models.base.SeparationModel"),
    (refined(synchrony()), "first is .*; it must be avsep.models.base.SeparationModel"),
    (refined(lips()), "first takes 1 channels at 16000 Hz and lips; it must take one channel at 16000 Hz and no cues"),
    (refined(conv(sample_rate=8000)), "first takes 1 channels at 8000 Hz; it must"),
    (one_and_rest(conv(sources=3)), "gives 3 sources in the order 'any'; it must .* give 2 sources in any order"),
    (one_and_rest(conv(), stop=node(COUNTER, mels=HUGE)), f"mels is {HUGE}; it must be a whole number from 1 to 256"),
    (one_and_rest(conv(), stop=node(COUNTER, window=8192)), "window is 8192; it must be a whole number from 2 to 4096"),
    (one_and_rest(conv(), stop=conv()), "stop is .*; it must be avsep.models.parts.voice_counter.VoiceCounter"),
    (one_and_rest(conv(), unroll=HUGE), f"unroll is {HUGE}; it must be a whole number from 1 to 5"),
    (node("multi_decoder_dprnn.MultiDecoderDPRNN", most_voices=17), "most_voices is 17; it must be a whole number"),
    (node("base.SeparationModel"), "is not a model of avsep"),
    ({"class_path": f"{MODELS}conv_tasnet.ConvTasNet", "init_args": [1]}, "init_args"),
    ({"class_path": None, "init_args": {}}, "class None is not a model of avsep"),
    ({"class_path": f"{MODELS}a\0b.X", "init_args": {}}, "is not a model of avsep"),
]


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """What an import takes is none of a description's."""
    assert list(model_classes())
    with Largest():  # loads torch's compiler when it is first used
        torch.zeros(1)


@pytest.mark.parametrize(("described", "message"), HOSTILE, ids=[message for _, message in HOSTILE])
def test_a_hostile_description_is_refused_in_little_memory(described, message):
    tracemalloc.start()
    try:
        with Largest() as largest, pytest.raises(WeightsError, match=message) as caught:
            build_model(**described, most_numbers=ROOM)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert largest.numbers <= ROOM
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "described",
    [
        conv(),
        lips(),
        synchrony(),
        clusters(),
        adanet(),
        attractors(),
        auxiva(),
        parts(),
        refined(conv()),
        one_and_rest(conv()),
    ],
)
def test_what_the_hostile_ones_are_made_from_is_built(described):
    assert build_model(**described, most_numbers=ROOM).class_path == described["class_path"]


def modules_without_end() -> None:
    with Limited(10, 100):
        for _ in itertools.repeat(None):
            nn.ModuleList([nn.Identity()])


def test_modules_without_tensors_are_counted_too():
    with pytest.raises(WeightsError, match="0 numbers in 0 tensors and 101 modules, more than the 10 in 100"):
        modules_without_end()
    assert len(nn.ModuleList(nn.Identity() for _ in range(200))) == 200


def test_the_square_of_an_identity_matrix_is_what_it_takes():
    with pytest.raises(WeightsError, match="asks for 1,000,000 numbers"), Limited(10_000, 100):
        torch.eye(1000)


def test_the_taps_of_a_convolution_take_no_memory_of_their_own():
    net = TemporalConvNet(**NET | {"kernel": 5})
    offsets = [module.offsets for module in net.modules() if hasattr(module, "offsets")]
    assert [list(found) for found in offsets] == [[-2, -1, 0, 1, 2], [-4, -2, 0, 2, 4]]
    assert all(isinstance(found, range) for found in offsets)


@pytest.mark.parametrize("value", [0, 9, 1.0, True, "3", None])
def test_no_whole_number_between_the_bounds(value):
    check_whole(1, 8, taps=3)
    with pytest.raises(ValueError, match=f"taps is {value!r}; it must be a whole number from 1 to 8"):
        check_whole(1, 8, taps=value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate": 999}, "sample_rate is 999; it must be a whole number from 1000 to 384000"),
        ({"sample_rate": 384_001}, "sample_rate is 384001"),
        ({"sample_rate": 16e3}, "sample_rate is 16000.0"),
        ({"sample_rate": "16000"}, "sample_rate is '16000'"),
        ({"stride": 0}, "stride is 0; it must be a whole number from 1 to 16000"),
        ({"stride": 10**9}, "stride is 1000000000"),
        ({"sources": 0}, "sources is 0; it must be a whole number from 1 to 64"),
        ({"sources": 65}, "sources is 65"),
        ({"channels": (0, 1)}, r"channels is 0; it must be a whole number from 1 to 128"),
        ({"channels": (1, 129)}, r"channels is 129"),
        ({"segment_seconds": float("nan")}, "segment_seconds is nan; it must be above 0 and at most 3600"),
        ({"segment_seconds": float("inf")}, "segment_seconds is inf"),
        ({"segment_seconds": 0.0}, "segment_seconds is 0.0"),
    ],
)
def test_bounds_of_a_contract(changes, message):
    with pytest.raises(ValueError, match=message):
        Contract(**({"sample_rate": 16_000} | changes))


@pytest.mark.parametrize("rate", [1000, 384_000])
def test_rates_at_the_bounds(rate):
    assert AuxIVA(sample_rate=rate).contract.sample_rate == rate
