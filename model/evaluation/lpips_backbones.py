"""LPIPS over AlexNet and SqueezeNet, as published tables have it; torchvision's key names, no
torchvision.

Sources: Zhang et al., 2018 (LPIPS, version 0.1); Krizhevsky, 2014 (AlexNet, one tower); Iandola et
al., 2016 (SqueezeNet 1.1).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from model.loss.vgg import SCALE, SHIFT, checked_state, weighted_distance
from model.loss.weights_cache import load_public_weights


class Fire(nn.Module):
    """SqueezeNet's block: few channels, then twice as many of 1 x 1 and 3 x 3 convolutions."""

    def __init__(self, inputs: int, few: int, many: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, few, 1)
        self.expand1x1 = nn.Conv2d(few, many, 1)
        self.expand3x3 = nn.Conv2d(few, many, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        few = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(few).relu(), self.expand3x3(few).relu()], 1)


def _alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def _squeezenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
    )


BACKBONES = {
    "alexnet": (_alexnet, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), "lpips-alex"),
    "squeezenet": (
        _squeezenet,
        (1, 4, 7, 9, 10, 11, 12),
        (64, 128, 256, 384, 384, 512, 512),
        "lpips-squeeze",
    ),
}
"""Name of ``weights_cache.SOURCES`` -> layers, those that are compared, their channels, and the
name of their linear layers."""


class LpipsBackbone(nn.Module):
    """LPIPS distance of pictures in [-1, 1]; as a measure, without gradients.

    Args:
        name: of ``BACKBONES``. Weights are torch's random ones until ``load_state_dict`` or
            ``load_backbone``.
    """

    def __init__(self, name: str):
        super().__init__()
        build, self.taps, widths, _ = BACKBONES[name]
        self.name, self.features = name, build()
        self.linear = nn.ParameterList(nn.Parameter(torch.zeros(w)) for w in widths)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        """(B,) distances of (B, 3, H, W) pictures; 0 for equal ones."""
        layers = zip(self._maps(image), self._maps(other), self.linear)
        return torch.stack([weighted_distance(a, b, weight) for a, b, weight in layers]).sum(0)

    def _maps(self, image: Tensor) -> list[Tensor]:
        shift, scale = (getattr(self, name).to(image.dtype) for name in ("shift", "scale"))
        x, found = (image - shift) / scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return found


def load_backbone(
    name: str, backbone: Path | None = None, linear: Path | None = None
) -> LpipsBackbone:
    """LPIPS with its public weights, on the CPU.

    Args:
        name: of ``BACKBONES``.
        backbone: torchvision's ImageNet weights; linear: LPIPS 0.1's layers for this backbone, or
            the wheel of the lpips package. Each None: the cached file, downloaded where missing.

    Raises:
        DataError: a file is missing and can't be had, or holds something else.
    """
    network = LpipsBackbone(name)
    linear_name = BACKBONES[name][3]
    state, path = load_public_weights(name, backbone)
    layers, layers_path = load_public_weights(linear_name, linear)
    wanted = {f"features.{k}": v for k, v in network.features.state_dict().items()}
    found = checked_state(state, wanted, path, f"the weights of torchvision's {name}")
    heads = {
        f"lin{i}.model.1.weight": weight.data.view(1, -1, 1, 1)
        for i, weight in enumerate(network.linear)
    }
    what = f"LPIPS 0.1 linear layers for {name}"
    found |= checked_state(layers, heads, layers_path, what)
    for key, place in (wanted | heads).items():
        place.copy_(found[key])
    return network
