"""What every model promises: its contract, its arguments as plain data, copies of it, and warm starts."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from avsep.errors import WeightsError
from avsep.models.attractor_network import AttractorNetwork
from avsep.models.auxiva import AuxIVA
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.base import Contract, SeparationModel
from avsep.models.build import build_model
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.deep_clustering import DeepClustering
from avsep.models.masking import MaskingModel
from avsep.models.mulcat import MulCatDPRNN
from avsep.models.parts.convolutional_trunk import ConvolutionalTrunk
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.refined import Refined
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.synchrony import Synchrony

SMALL = {"filters": 8, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}
LIP = {"channels": 8, "widths": (4, 4, 8, 8), "temporal_channels": 8, "temporal_blocks": 1, "size": 32}
VOICE = {"channels": 8, "width": 8, "temporal_blocks": 1}


def of_parts() -> MaskingModel:
    return MaskingModel(Encoder(8, 16, 8), TemporalConvNet(8, 4, 6, 0, 3, 2, 1, 3), Decoder(8, 16, 8), sample_rate=8000)


MODELS = {
    "flat": lambda: ConvTasNet(**SMALL),
    "lips": lambda: AVConvTasNet(**SMALL, lip=LIP),
    "parts": of_parts,
    "required arguments": lambda: Synchrony(LIP, VOICE),
    "no weights": lambda: AuxIVA(sources=2),
    "clusters": lambda: DeepClustering(layers=1, hidden=4, dims=3),
    "a trunk in a model": lambda: AttractorNetwork(ConvolutionalTrunk(4, 3, (1, 2)), attractors="anchored"),
    "chunks": lambda: MulCatDPRNN(filters=8, bottleneck=8, hidden=4, chunk=10, blocks=2),
    "models in models": lambda: Refined(ConvTasNet(**SMALL), Synchrony(LIP, VOICE), **SMALL),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_copied_pickled_and_rebuilt_from_its_description(name):
    model = MODELS[name]()
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), build_model(model.class_path, model.init_args)]
    for other in copies:
        assert other.init_args == model.init_args
        assert list(other.state_dict()) == list(model.state_dict())
        assert not {p.data_ptr() for p in other.parameters()} & {p.data_ptr() for p in model.parameters()}
    for other in copies[:2]:
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_parts_stand_in_the_arguments_as_nodes_with_their_defaults():
    arguments = of_parts().init_args
    assert arguments["encoder"] == {
        "class_path": "avsep.models.parts.encoder.Encoder",
        "init_args": {"filters": 8, "kernel": 16, "stride": 8, "rectified": True, "padded": True, "bias": False},
    }
    assert arguments["separator"]["init_args"]["norm"] == "gLN"


def test_the_contract_follows_from_the_parts():
    assert of_parts().contract == Contract(8000, sources=3, refine=True, stride=8)
    steered = AVConvTasNet(**SMALL, lip=LIP).contract
    assert (steered.cues, steered.sources, steered.order, steered.refine) == (("lips",), None, "cue", False)
    stems = ConvTasNet(**SMALL, names=("vocals", "rest"), kind="stem").contract
    assert (stems.order, stems.names, stems.kind) == ("named", ("vocals", "rest"), "stem")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (3, 2)}, "channels"),
        ({"order": "best"}, "order is 'best'; it must be one of any, cue, named"),
        ({"kind": "noise"}, "kind is 'noise'; it must be one of voice, sound, stem"),
        ({"order": "named"}, "needs a name for"),
        ({"order": "named", "names": ("a",)}, "needs a name for"),
        ({"names": ("a", "b")}, "needs a name for"),
        ({"order": "cue"}, "there are no cues"),
        ({"sample_rate": 0}, "sample_rate is 0"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Contract(**({"sample_rate": 16000} | arguments))


def test_a_mixture_of_another_shape_is_named():
    model = ConvTasNet(**SMALL)
    with pytest.raises(ValueError, match=r"mixture \(2, 640\); expected \(batch, channels, time\) with 1 channels"):
        model(torch.randn(2, 640))
    with pytest.raises(ValueError, match=r"mixture \(2, 3, 640\)"):
        model(torch.randn(2, 3, 640))


def node(class_path: str, **init_args: object) -> dict:
    return {"class_path": class_path, "init_args": init_args}


def test_a_description_may_name_nothing_but_parts_of_models():
    for path in ("os.system", "avsep.models.base.plain", "avsep.models.parts.layers.PReLU", "avsep.models.nothing.X"):
        with pytest.raises(WeightsError, match="is not a model of avsep"):
            build_model("avsep.models.masking.MaskingModel", {"encoder": node(path), "separator": 1, "decoder": 1})
    with pytest.raises(WeightsError, match="is a part of models of avsep, not a model"):
        build_model("avsep.models.parts.encoder.Encoder", {"filters": 2, "kernel": 2, "stride": 1})


@pytest.mark.slow
def test_a_description_that_is_too_deep_or_too_large_is_refused_before_it_is_built():
    deep: dict = {}
    for _ in range(12):
        deep = node("avsep.models.masking.MaskingModel", encoder=deep)
    with pytest.raises(WeightsError, match="levels deep"):
        build_model(deep["class_path"], deep["init_args"])
    with pytest.raises(WeightsError, match=r"asks for 1,000,\d{3},\d{3},\d{3} numbers"):
        build_model("avsep.models.conv_tasnet.ConvTasNet", {"filters": 10**6, "bottleneck": 10**6})
    with pytest.raises(WeightsError, match="numbers in 1,001 tensors"):
        build_model("avsep.models.conv_tasnet.ConvTasNet", SMALL | {"repeats": 10**9}, most_tensors=1000)


def test_separate_is_forward_unless_a_model_says_otherwise():
    class Doubled(ConvTasNet):
        def separate(self, mixture, **cues):
            output = self(mixture, **cues)
            output.estimates = 2 * output.estimates
            return output

    mixture = torch.randn(1, 1, 800)
    for kind, factor in ((ConvTasNet, 1), (Doubled, 2)):
        model = kind(**SMALL).eval()
        assert torch.equal(model.separate(mixture).estimates, factor * model(mixture).estimates)
    assert issubclass(Doubled, SeparationModel)
