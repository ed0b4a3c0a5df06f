"""Makes the files beside it: small networks of other projects with random weights, and what they give.

    pip install asteroid speechbrain
    python tests/imported/make.py asteroid
    python tests/imported/make.py sudormrf
    python tests/imported/make.py speechbrain
    python tests/imported/make.py jusperlee FOLDER

FOLDER holds checkouts of Conv-TasNet, Dual-Path-RNN-Pytorch and AV-ConvTasNet of github.com/JusperLee, which are no
packages, and of the first at 7c8d5de as Conv-TasNet-7c8d5de. Their code is run from there and stays there.

Each file holds what the project's own `serialize` gives, a mixture (batch, 1, time) and the estimates (batch, sources,
time) of the project's own class.
"""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

HERE = Path(__file__).parent


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """With weights of which none has the value that it begins with, but for those without a gradient where there are
    gradients."""
    trained = any(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None or not trained:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def write(
    name: str, serialized: dict[str, Any], mixture: torch.Tensor, estimates: torch.Tensor, **cues: torch.Tensor
) -> None:
    torch.save({"serialized": serialized, "mixture": mixture, "estimates": estimates, **cues}, HERE / f"{name}.pt")


def serialized(network: Any) -> dict[str, Any]:
    """What asteroid's models write of themselves, without the versions of software."""
    args = {key: value for key, value in network.get_model_args().items() if not callable(value)}
    return {"model_name": type(network).__name__, "model_args": args, "state_dict": network.state_dict()}


def asteroid() -> None:
    from asteroid.models import ConvTasNet, DPRNNTasNet

    small = {"n_filters": 6, "kernel_size": 8, "stride": 4, "bn_chan": 4, "sample_rate": 8000}
    conv = small | {"n_blocks": 2, "n_repeats": 2, "hid_chan": 5}
    dual = small | {"hid_size": 3, "chunk_size": 6, "hop_size": 3, "n_repeats": 2}
    made = {
        "conv_tasnet": ConvTasNet(2, skip_chan=3, **conv),
        "conv_tasnet_causal": ConvTasNet(3, skip_chan=0, norm_type="cLN", mask_act="relu", causal=True, **conv),
        "dprnn_tasnet": DPRNNTasNet(2, encoder_activation="relu", **dual),
    }
    for name, network in made.items():
        torch.manual_seed(5)
        shaken(network)
        # As long as whole frames are: what is beyond the last one is silent there.
        mixture = torch.randn(2, 1, 8 + 4 * 40)
        with torch.inference_mode():
            estimates = network(mixture)
        write(f"asteroid_{name}", serialized(network), mixture, estimates.clone())


def sudormrf() -> None:
    from asteroid.models import SuDORMRFImprovedNet, SuDORMRFNet

    for name, kind in {"sudormrf": SuDORMRFNet, "sudormrf_improved": SuDORMRFImprovedNet}.items():
        torch.manual_seed(5)
        network = shaken(kind(3, bn_chan=6, num_blocks=2, upsampling_depth=3, n_filters=8, kernel_size=21))
        mixture = torch.randn(2, 1, 403)
        with torch.inference_mode():
            # The silence that the encoder here adds, and half of it asteroid's own.
            estimates = network(torch.nn.functional.pad(mixture, (10, 10)))[..., 10:413]
        write(f"asteroid_{name}", serialized(network), mixture, estimates.clone())


def speechbrain() -> None:
    from speechbrain.lobes.models.dual_path import Decoder, Dual_Path_Model, Encoder, SBTransformerBlock

    def transformer() -> SBTransformerBlock:
        return SBTransformerBlock(2, 12, 2, d_ffn=6, dropout=0.0, use_positional_encoding=True, norm_before=True)

    torch.manual_seed(5)
    encoder, decoder = Encoder(8, 8), Decoder(in_channels=8, out_channels=1, kernel_size=8, stride=4, bias=False)
    masknet = Dual_Path_Model(
        8, 12, transformer(), transformer(), 2, "ln", K=10, num_spks=3, linear_layer_after_inter_intra=False
    )
    parts = {"encoder": encoder, "masknet": masknet, "decoder": decoder}
    states = {name: shaken(part).state_dict() for name, part in parts.items()}
    mixture = torch.randn(2, 1, 8 + 4 * 40)
    with torch.inference_mode():
        features = encoder(mixture[:, 0])
        estimates = torch.stack([decoder(mask * features) for mask in masknet(features)], 1)
    # 2500 rows of sines, which take the most room.
    states["masknet"] = {name: t[:, :1].clone() if name.endswith(".pe") else t for name, t in states["masknet"].items()}
    write("speechbrain_sepformer", states, mixture, estimates.clone())


def module(file: Path) -> ModuleType:
    """Of a file of a checkout."""
    found = ModuleType(file.stem)
    found.__file__ = str(file)
    SourceFileLoader(file.stem, str(file)).exec_module(found)
    return found


def standing_in(**content: Any) -> ModuleType:
    """A module that a file of a checkout imports and does not need here, or that is not there."""
    found = ModuleType("standing_in")
    vars(found).update(content)
    return found


def jusperlee(folder: Path) -> None:
    conv_tasnet, dual_path = folder / "Conv-TasNet", folder / "Dual-Path-RNN-Pytorch"
    sys.modules |= {"Loss": standing_in(Loss=None), "Datasets": standing_in(Datasets=None)}
    sys.modules["pytorch_lightning"] = sys.modules["pytorch_lightning.core"] = standing_in()
    sys.modules["pytorch_lightning.core.lightning"] = standing_in(LightningModule=torch.nn.Module)
    sys.path.insert(0, str(dual_path))
    torch.manual_seed(5)
    sizes: dict[str, Any] = {"N": 6, "L": 8, "B": 4, "H": 5, "P": 3, "X": 2, "R": 2, "num_spks": 2}
    skip, causal = {"activate": "relu", "skip_con": True}, {"norm": "cln", "causal": True, "num_spks": 3}
    classes = {
        "": module(conv_tasnet / "Conv_TasNet_Pytorch/Conv_TasNet.py").ConvTasNet(**sizes, activate="sigmoid"),
        "_skip": module(conv_tasnet / "Conv_TasNet_Pytorch/Conv-TasNet-Skip").ConvTasNet(**sizes, **skip),
        "_7c8d5de": module(folder / "Conv-TasNet-7c8d5de/Conv_TasNet.py").ConvTasNet(
            **sizes | causal, activate="softmax"
        ),
        "_lightning": module(conv_tasnet / "Conv-TasNet_lightning/model.py").ConvTasNet(**sizes | {"H": 6}),
        "_dual_path": module(dual_path / "model/model.py").Conv_TasNet(**sizes),
        "_dual_path_causal": module(dual_path / "model/model.py").Conv_TasNet(**sizes | causal),
    }
    networks = {f"conv_tasnet{name}": network for name, network in classes.items()}
    rnn = module(dual_path / "model/model_rnn.py").Dual_RNN_model
    for norm in ("ln", "gln"):
        networks[f"dual_path_rnn_{norm}"] = rnn(6, 4, 3, 8, norm=norm, bidirectional=True, num_layers=2, K=6)
    for name, network in networks.items():
        # 39 and 42 frames end with the first and with the second half of a chunk, 41 within one.
        mixture = torch.randn(2, 1, 4 + 4 * {"dual_path_rnn_ln": 39, "dual_path_rnn_gln": 42}.get(name, 41))
        # What training changes: some of these networks have layers that they do not use.
        sum(estimate.square().sum() for estimate in network(mixture[:, 0])).backward()
        shaken(network)
        with torch.inference_mode():
            estimates = torch.stack(network(mixture[:, 0]), 1)
        key = "state_dict" if name.endswith("lightning") else "model_state_dict"
        write(f"jusperlee_{name}", {"epoch": 1, key: network.state_dict()}, mixture, estimates.clone())
    jusperlee_av(folder / "AV-ConvTasNet/model")


def jusperlee_av(folder: Path) -> None:
    """The widths of its ResNet, which are no arguments, are divided by 32."""
    lips = module(folder / "video_model.py")
    torch.manual_seed(5)

    class Narrow(lips.ResNet):  # type: ignore[name-defined, misc]
        def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1) -> Any:
            self.inplanes = self.inplanes if planes > 64 else 2
            return super()._make_layer(block, planes // 32, blocks, stride)

        def __init__(self, block: Any, layers: Any, num_classes: int) -> None:
            super().__init__(block, layers, 6)
            self.fc = torch.nn.Linear(16, 6)

    seeing = lips.video(out_channels=2)
    seeing.front3d.resnet = Narrow(lips.BasicBlock, [2, 2, 2, 2], 6)
    sys.modules |= {
        "config.config": standing_in(parse=None),
        "model.video_model": lips,
        "model.load_video_parameters": standing_in(update_parameter=None),
    }
    model = module(folder / "av_model.py").AV_model
    network = torch.nn.ModuleDict(
        {
            "av_model": model(N=6, L=8, B=4, Sc=4, H=5, X=2, E=6, V=3, K=3, D=3, F=4, R=3, audio_index=1),
            "video_model": seeing,
        }
    )
    pictures = torch.rand(2, 1, 7, 32, 32)
    mixture = torch.randn(2, 1, 8 + 4 * 40)
    # In training, so that the batch norms get means and variances too.
    network.av_model(mixture[:, 0], network.video_model(pictures)).square().sum().backward()
    shaken(network)
    with torch.inference_mode():
        embedded = network.video_model((pictures - 0.361858) / 0.147485)
        estimates = network.av_model(mixture[:, 0], embedded).unsqueeze(1)
    content = {"state_dict": network.state_dict()}
    write("jusperlee_av_conv_tasnet", content, mixture, estimates.clone(), lips=pictures)


if __name__ == "__main__":
    makers = {"asteroid": asteroid, "sudormrf": sudormrf, "speechbrain": speechbrain, "jusperlee": jusperlee}
    makers[sys.argv[1]](*map(Path, sys.argv[2:]))
