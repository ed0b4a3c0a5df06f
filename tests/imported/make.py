"""Makes the files beside it: small networks of other projects with random weights, and what they give.

    pip install asteroid speechbrain
    python tests/imported/make.py asteroid
    python tests/imported/make.py sudormrf
    python tests/imported/make.py speechbrain

Each file holds what the project's own `serialize` gives, a mixture (batch, 1, time) and the estimates (batch, sources,
time) of the project's own class.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """With weights of which none has the value that it begins with."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def write(name: str, serialized: dict[str, Any], mixture: torch.Tensor, estimates: torch.Tensor) -> None:
    torch.save({"serialized": serialized, "mixture": mixture, "estimates": estimates}, HERE / f"{name}.pt")


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


if __name__ == "__main__":
    {"asteroid": asteroid, "sudormrf": sudormrf, "speechbrain": speechbrain}[sys.argv[1]]()
