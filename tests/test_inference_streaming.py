"""Piece by piece, the causal model says the same as over the whole file."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from avsep.checkpoint import load_model
from avsep.evaluation.metrics import si_sdr
from avsep.inference.streaming import StreamingSeparator
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.masking import MaskingModel
from avsep.models.parts.stft import StftDecoder, StftEncoder
from avsep.models.separators.band_split import BandBlocks
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.split_tasnet import SplitTasNet

DEMO = Path(__file__).parents[1] / "avsep" / "assets" / "demo"

CAUSAL = {"filters": 16, "kernel": 40, "stride": 20, "bottleneck": 8, "hidden": 12, "blocks": 4, "repeats": 2} | {
    "norm": "cLN",
    "causal": True,
}


def model_and_mixture(batch=1, time=3217, **options):
    torch.manual_seed(0)
    return ConvTasNet(**(CAUSAL | options)).eval(), torch.randn(batch, time)


def split_model(**options):
    torch.manual_seed(0)
    size = {"window": 64, "stride": 16, "channels": 8, "hidden": 12, "blocks": 3, "norm": "cLN", "causal": True}
    model = SplitTasNet(**(size | options)).eval()
    for parameter in model.parameters():  # masks turn from the start
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def in_pieces(stream, mixture, sizes):
    out = [stream.feed(piece) for piece in mixture.split(sizes, dim=-1)]
    return torch.cat([*out, stream.finish()], dim=-1)


@pytest.mark.parametrize("skip", [0, 8])
@pytest.mark.parametrize("size", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 7, 20)), 333, 5000])
def test_pieces_of_any_length_give_the_output_of_the_whole(size, skip):
    model, mixture = model_and_mixture(batch=2, time=641 if size == 1 else 3217, skip=skip)
    with torch.no_grad():
        whole = model(mixture.unsqueeze(1)).estimates.squeeze(2)
    assert torch.allclose(in_pieces(StreamingSeparator(model, batch=2), mixture, size), whole, atol=1e-5)


@pytest.mark.parametrize("time", [5, 16, 3217])
@pytest.mark.parametrize("size", [7, 333, 5000])
def test_pieces_of_a_spectrum_give_the_output_of_the_whole(size, time):
    model, mixture = split_model(sources=3), torch.randn(2, time)
    with torch.no_grad():
        whole = model(mixture.unsqueeze(1)).estimates.squeeze(2)
    assert torch.allclose(in_pieces(StreamingSeparator(model, batch=2), mixture, size), whole, atol=1e-5)


def test_pieces_of_changing_length_and_another_kernel():
    model, mixture = model_and_mixture(kernel=32, stride=8)
    with torch.no_grad():
        whole = model(mixture.unsqueeze(1)).estimates.squeeze(2)
    sizes = [0, 1, 0, 30, 400, 2, 1200, 1584]
    assert torch.allclose(in_pieces(StreamingSeparator(model), mixture, sizes), whole, atol=1e-5)


def test_a_stream_shorter_than_a_frame():
    model, mixture = model_and_mixture(time=13)
    with torch.no_grad():
        whole = model(mixture.unsqueeze(1)).estimates.squeeze(2)
    assert torch.allclose(in_pieces(StreamingSeparator(model), mixture, 5), whole, atol=1e-5)


@pytest.mark.parametrize(("make", "latency"), [(lambda: ConvTasNet(**CAUSAL), 40), (split_model, 32)])
def test_nothing_is_held_back_longer_than_the_latency(make, latency):
    mixture = torch.randn(1, 500)
    stream = StreamingSeparator(make().eval())
    assert stream.latency == latency
    given = held = 0
    for fed, sample in enumerate(mixture.split(1, dim=-1), 1):
        given += stream.feed(sample).shape[-1]
        held = max(held, fed - given)
    assert held == stream.latency - 1


def test_what_comes_out_does_not_depend_on_what_comes_after():
    model, mixture = model_and_mixture(time=500)
    other = mixture.clone()
    other[:, 300:] = torch.randn(1, 200)
    outputs = [StreamingSeparator(model).feed(m[:, :300]) for m in (mixture, other)]
    assert torch.equal(*outputs)


def test_streams_of_one_model_do_not_meet():
    model, mixture = model_and_mixture(time=400)
    with torch.no_grad():
        whole = model(mixture.unsqueeze(1)).estimates.squeeze(2)
    first, second = StreamingSeparator(model), StreamingSeparator(model)
    first.feed(torch.randn(1, 333))
    assert torch.allclose(in_pieces(second, mixture, 50), whole, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(model(mixture.unsqueeze(1)).estimates.squeeze(2), whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"rounds": 2}, "rounds=2"), ({"window": 512, "front": BandBlocks(2, 3, 1)}, "rounds=1 and a front")],
)
def test_a_network_that_goes_over_the_sound_twice_is_refused(options, said):
    with pytest.raises(ValueError, match=f"a separator without a front and with one round; this one has {said}"):
        StreamingSeparator(split_model(**options))


@pytest.mark.parametrize("options", [{"causal": False}, {"norm": "gLN"}])
def test_a_model_that_needs_the_future_is_refused(options):
    with pytest.raises(ValueError, match=r"needs a model with causal=True and norm='cLN'; this one has"):
        StreamingSeparator(ConvTasNet(**(CAUSAL | options)))


def test_a_model_with_a_cue_or_a_spectrum_is_refused():
    size = {"bottleneck": 8, "hidden": 8, "skip": 0, "blocks": 1, "repeats": 2, "norm": "cLN", "causal": True}
    tcn = TemporalConvNet(filters=17, kernel=3, sources=2, **size)
    spectrum = MaskingModel(StftEncoder(window=32, stride=16), tcn, StftDecoder(window=32, stride=16))
    for model in (spectrum, AVConvTasNet(filters=8, **size)):
        with pytest.raises(ValueError, match="needs a model without cues whose encoder and decoder are learnt"):
            StreamingSeparator(model)


@pytest.mark.slow
def test_the_bundled_causal_weights_separate_a_stream_as_the_whole_sound():
    model, _ = load_model("audio-causal")
    voices = [soundfile.read(DEMO / f"{side}.flac")[0][: 4 * 16_000] for side in ("left", "right")]
    mixture = torch.from_numpy(sum(voices)).float()[None]
    stream = StreamingSeparator(model)
    assert stream.latency == 256  # 16 ms
    with torch.no_grad():
        whole = model(mixture.unsqueeze(1)).estimates.squeeze(2)
    streamed = in_pieces(stream, mixture, 1600)
    assert torch.allclose(streamed, whole, atol=1e-4)
    orders = (streamed[0].numpy(), streamed[0].numpy()[::-1])
    gains = [
        np.mean([si_sdr(e, v) - si_sdr(mixture[0].numpy(), v) for e, v in zip(o, voices, strict=True)]) for o in orders
    ]
    assert max(gains) > 2
