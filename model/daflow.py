"""DAFlow: dresses a person in a garment by warping and adding both images with learnt flows.

Names and shapes of the parameters are the published checkpoint's. Source: "Single Stage Virtual Try-on via Deformable
Attention Flows", ECCV 2022, arXiv 2207.09161.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import LEVELS, NetworkConfig
from model.warp import absolute_grids, compose, warp
from pipeline.errors import DataError

SLOPE = 0.1


class Unit(nn.Module):
    """BatchNorm, ReLU, convolution: once to halve the size, or twice with the input added."""

    def __init__(self, inputs: int, outputs: int, halve: bool):
        super().__init__()
        layers = [nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 3, 2 if halve else 1, 1, bias=False)]
        if not halve:
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)]
        self.block = nn.Sequential(*layers)
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) if self.halve else x + self.block(x)


class Encoder(nn.Module):
    """Features of an image at 1/2 to 1/32 of its size, fine to coarse."""

    def __init__(self, inputs: int, channels: tuple[int, ...]):
        super().__init__()
        widths = (inputs, *channels)
        self.encoders = nn.ModuleList(
            nn.Sequential(Unit(a, b, True), Unit(b, b, False), Unit(b, b, False)) for a, b in zip(widths, channels)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for stage in self.encoders:
            x = stage(x)
            levels.append(x)
        return levels


class Pyramid(nn.Module):
    """Features of one width from coarse to fine, each with the coarser ones added."""

    def __init__(self, channels: tuple[int, ...], width: int):
        super().__init__()
        self.adaptive = nn.ModuleList(nn.Conv2d(c, width, 1) for c in reversed(channels))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        out: list[Tensor] = []
        for x, adaptive, smooth in zip(reversed(levels), self.adaptive, self.smooth):
            x = adaptive(x)
            if out:
                x = x + F.interpolate(out[-1], scale_factor=2, mode="nearest")
            out.append(smooth(x))
        return out


class FlowBlock(nn.Module):
    """Flows and attention logits from two feature maps side by side."""

    def __init__(self, width: int, head: tuple[int, ...], outputs: int, kernel: int):
        super().__init__()
        widths = (2 * width, *head, outputs)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            size = kernel if i else 3
            layers += [nn.Conv2d(a, b, size, padding=size // 2), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.layers(torch.cat((first, second), 1))


class Flows(NamedTuple):
    """Where each pixel looks: grids (B, 2 K, 2, h, w), garment's K then person's, and weights (B, 2 K, h, w)."""

    grids: Tensor
    weights: Tensor

    def enlarged(self) -> Flows:
        """The same for twice the height and width."""
        grids = F.interpolate(self.grids.flatten(1, 2), scale_factor=2, mode="bilinear", align_corners=False)
        weights = F.interpolate(self.weights, scale_factor=2, mode="bilinear", align_corners=False)
        return Flows(grids.unflatten(1, self.grids.shape[1:3]), weights)


class FlowCascade(nn.Module):
    """Estimates the flows from coarse to fine, and makes an image of each level's."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        k, small, large = config.flows, *config.light
        heads = {"Self_MFEs": (3 * k, config.self_kernel), "Cross_MFEs": (3 * k, 3), "Refine_MFEs": (6 * k, 3)}
        for name, (outputs, kernel) in heads.items():
            blocks = (FlowBlock(config.fpn, config.head, outputs, kernel) for _ in range(LEVELS))
            setattr(self, name, nn.ModuleList(blocks))
        self.lights_decoder = nn.Sequential(
            nn.Conv2d(large, small, 1), nn.LeakyReLU(SLOPE), nn.Conv2d(small, 3, 3, padding=1)
        )
        self.lights_encoder = nn.Sequential(
            nn.Conv2d(3, small, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(small, large, 1)
        )
        self.count = k
        self.warp_method = "auto"

    def forward(self, garment: list[Tensor], person: list[Tensor], images: Tensor, all_levels: bool) -> list[Tensor]:
        """Images of every level, coarse to fine, or of the last alone.

        Args:
            garment, person: features, coarse to fine, (B, C, h, w).
            images: (2 B, 3, H, W), garments then people.
        """
        carried: Flows | None = None
        results = []
        for level, (g, p) in enumerate(zip(garment, person)):
            carried = self.step(level, g, p, carried).enlarged()
            if all_levels or level == LEVELS - 1:
                results.append(self.dress(images, carried))
        return results

    def step(self, level: int, g: Tensor, p: Tensor, carried: Flows | None) -> Flows:
        """The flows of one level, from its features and the flows that the coarser level carried over."""
        k = self.count
        g1, p1 = g, p
        if carried is not None:
            seen = Flows(carried.grids.detach(), carried.weights)
            g1 = self.warp(g, seen.grids[:, :k], seen.weights[:, :k])
            p1 = self.warp(p, seen.grids[:, k:], seen.weights[:, k:])
        flows, logits = self.split(self.Cross_MFEs[level](g1, p), k)
        garment = absolute_grids(flows) if carried is None else compose(carried.grids[:, :k], flows)
        g2 = self.warp(g, garment, logits.softmax(1))
        flows, logits = self.split(self.Self_MFEs[level](g2, p1), k)
        person = absolute_grids(flows) if carried is None else compose(carried.grids[:, k:], flows)
        p2 = self.warp(p, person, logits.softmax(1))
        flows, logits = self.split(self.Refine_MFEs[level](g2, p2), 2 * k)
        grids = compose(torch.cat((garment, person), 1), flows)
        # One softmax over both images; its first K weights are the person's, although the flows start with the garment.
        return Flows(grids, logits.softmax(1).roll(k, 1))

    def warp(self, features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        return warp(features, grids, weights, self.warp_method)

    @staticmethod
    def split(out: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Flows (B, count, 2, h, w) in pixels and logits (B, count, h, w) of a block, in float32 at least."""
        out = out.float() if out.dtype in (torch.float16, torch.bfloat16) else out
        return out[:, : 2 * count].unflatten(1, (count, 2)), out[:, 2 * count :]

    def dress(self, images: Tensor, flows: Flows) -> Tensor:
        """Both images, resized to the flows' size, lifted to features, warped, added and turned into an image."""
        size = flows.grids.shape[-2:]
        if images.shape[-2:] != size:
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return self.lights_decoder(self.warp(self.lights_encoder(images), *flows))


class DAFlow(nn.Module):
    """The try-on network.

    Args:
        config: widths and counts; the published network's by default.
    """

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config or NetworkConfig()
        channels, fpn = self.config.channels, self.config.fpn
        self.source_features = Encoder(3, channels)
        self.reference_features = Encoder(6, channels)
        self.source_FPN = Pyramid(channels, fpn)
        self.reference_FPN = Pyramid(channels, fpn)
        self.dafnet = FlowCascade(self.config)

    def forward(self, reference: Tensor, garment: Tensor, agnostic: Tensor, return_levels: bool = False):
        """The dressed person, (B, 3, H, W), about [-1, 1] but not clipped.

        Args:
            reference: (B, 6, H, W), pose image then agnostic image, in [-1, 1].
            garment: (B, 3, H, W), the in-shop garment.
            agnostic: (B, 3, H, W), the person, the region to redraw black (-1).
            return_levels: also return the results at 1/16, 1/8, 1/4, 1/2 and 1 of the size, the last being the
                result itself.

        Raises:
            DataError: shapes that do not fit, or sides that are no multiples of 32.
        """
        self._check(reference, garment, agnostic)
        garments = self.source_FPN(self.source_features(garment))
        people = self.reference_FPN(self.reference_features(reference))
        levels = self.dafnet(garments, people, torch.cat((garment, agnostic)), return_levels)
        return (levels[-1], levels) if return_levels else levels[-1]

    def _check(self, reference: Tensor, garment: Tensor, agnostic: Tensor) -> None:
        batch, _, height, width = reference.shape
        multiple = self.config.size_multiple
        expected = {"reference": (batch, 6, height, width), "garment": (batch, 3, height, width)}
        expected["agnostic"] = expected["garment"]
        for (name, shape), found in zip(expected.items(), (reference, garment, agnostic)):
            if tuple(found.shape) != shape:
                raise DataError(name, f"shape {tuple(found.shape)}", str(shape))
        if height % multiple or width % multiple:
            raise DataError("image size", f"{height} x {width}", f"multiples of {multiple}", "Choose another size.")
