"""Perceptual networks with their public weights: from the user's files, or downloaded once."""

from __future__ import annotations

from pathlib import Path

from model.loss.losses import PerceptualNetworks
from model.loss.vgg import Lpips
from model.loss.weights_cache import load_public_weights


def load_perceptual(
    vgg19: Path | None = None, vgg16: Path | None = None, lpips: Path | None = None
) -> PerceptualNetworks:
    """The frozen networks of the training loss, float32 on the CPU.

    Args:
        vgg19, vgg16: torchvision's ImageNet weights.
        lpips: the linear layers of LPIPS 0.1 for VGG16. Each None: the cached file, downloaded
            where missing.

    Raises:
        DataError: a file is missing and cannot be had, or holds something else.
    """
    networks = PerceptualNetworks()
    networks.vgg19.load_official(*load_public_weights("vgg19", vgg19))
    _fill(networks.lpips, vgg16, lpips)
    return networks


def load_lpips(vgg16: Path | None = None, lpips: Path | None = None) -> Lpips:
    """LPIPS alone, as a measure; arguments and errors as ``load_perceptual``."""
    network = Lpips()
    _fill(network, vgg16, lpips)
    return network.requires_grad_(False).eval()


def _fill(network: Lpips, vgg16: Path | None, lpips: Path | None) -> None:
    (stack, stack_path), (linear, linear_path) = (
        load_public_weights(name, path) for name, path in (("vgg16", vgg16), ("lpips", lpips))
    )
    network.load_official(stack, linear, stack_path, linear_path)
