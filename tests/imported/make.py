"""Makes the files beside it: small networks of other projects with random weights, and what they give.

    pip install asteroid
    python tests/imported/make.py asteroid

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
        args = {key: value for key, value in network.get_model_args().items() if not callable(value)}
        content = {"model_name": type(network).__name__, "model_args": args, "state_dict": network.state_dict()}
        write(f"asteroid_{name}", content, mixture, estimates.clone())


if __name__ == "__main__":
    {"asteroid": asteroid}[sys.argv[1]]()
