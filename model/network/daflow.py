"""DAFlow: dresses a person in a garment by warping and adding both images with learnt flows.

Names and shapes of the parameters are the published checkpoint's. Source: "Single Stage Virtual
Try-on via Deformable Attention Flows", ECCV 2022, arXiv 2207.09161.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.network.config import LEVELS, NetworkConfig
from model.network.folded_conv import folded_conv, folding_pays
from model.network.recompute import (
    Remade,
    as_conv,
    is_plain,
    made_again,
    norm_relu_conv,
    remade_conv,
)
from model.network.warp import absolute_grids, compose, warp
from pipeline.base.errors import DataError

SLOPE = 0.1
TINY = 1e-6  # a weight of 0 has a logarithm too
PLACES = 6  # channels that tell a flow block where a pixel lies, and where it looks in both images
REMADE_STAGES = 2
"""Finest stages of the encoders that a train step makes again: a quarter of the memory for 3 % of
the arithmetic."""


class Unit(nn.Module):
    """BatchNorm, ReLU, convolution: once to halve the size, or twice with the input added."""

    def __init__(self, inputs: int, outputs: int, halve: bool):
        super().__init__()
        layers = [
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, 2 if halve else 1, 1, bias=False),
        ]
        if not halve:
            layers += [
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            ]
        self.block = nn.Sequential(*layers)
        self.halve = halve

    def forward(self, x: Tensor, lean: bool = True, first: bool = True) -> Tensor:
        y = norm_relu_conv(x, self.block[0], as_conv(self.block[2]), lean, first)
        return (
            y
            if self.halve
            else norm_relu_conv(y, self.block[3], as_conv(self.block[5]), lean, first).add_(x)
        )


class Stage(nn.Sequential):
    """A unit that halves the size and two that keep it."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(
            Unit(inputs, outputs, True),
            Unit(outputs, outputs, False),
            Unit(outputs, outputs, False),
        )

    def forward(self, x: Tensor, lean: bool = True, first: bool = True) -> Tensor:
        for unit in self:
            x = unit(x, lean, first)
        return x

    def made_again(self, x: Tensor) -> Tensor:
        """The same; the backward pass makes everything inside again."""
        return made_again(lambda x, first: self(x, True, first), x)

    def can_be_made_again(self) -> bool:
        """Whether there is a backward pass, and running statistics can be spared in it."""
        units = (unit for unit in self if isinstance(unit, Unit))
        return torch.is_grad_enabled() and all(
            is_plain(norm) for unit in units for norm in list(unit.block)[::3]
        )


class Encoder(nn.Module):
    """Features of an image at 1/2 to 1/32 of its size, fine to coarse."""

    def __init__(self, inputs: int, channels: tuple[int, ...]):
        super().__init__()
        self.encoders = nn.ModuleList(Stage(a, b) for a, b in zip((inputs, *channels), channels))

    def forward(self, x: Tensor, lean: bool = True) -> list[Tensor]:
        levels = []
        for i, stage in enumerate(self.encoders):
            assert isinstance(stage, Stage)
            x = (
                stage.made_again(x)
                if lean and i < REMADE_STAGES and stage.can_be_made_again()
                else stage(x, lean)
            )
            levels.append(x)
        return levels


class Pyramid(nn.Module):
    """Features of one width from coarse to fine, each with the coarser ones added."""

    def __init__(self, channels: tuple[int, ...], width: int):
        super().__init__()
        self.adaptive = nn.ModuleList(nn.Conv2d(c, width, 1) for c in reversed(channels))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)

    def forward(self, levels: list[Tensor], lean: bool = True, depth: int = LEVELS) -> list[Tensor]:
        out: list[Tensor] = []
        for x, adaptive, smooth in zip(
            levels[: -depth - 1 : -1], map(as_conv, self.adaptive), map(as_conv, self.smooth)
        ):
            if lean and out and folding_pays(adaptive, smooth):
                out.append(folded_conv(x, out[-1], adaptive, smooth))
                continue
            assert adaptive.bias is not None
            total = Remade.of(add_coarser, x, adaptive.weight, adaptive.bias, *out[-1:])
            out.append(remade_conv(smooth, total, lean=lean))
        return out


def add_coarser(x: Tensor, kernel: Tensor, bias: Tensor, coarser: Tensor | None = None) -> Tensor:
    """A 1x1 convolution of x, plus the map of half the size."""
    kernel, bias = (
        (kernel, bias) if x.dtype == kernel.dtype else (kernel.to(x.dtype), bias.to(x.dtype))
    )
    x = F.conv2d(x, kernel, bias)
    return x if coarser is None else x.add_(F.interpolate(coarser, scale_factor=2, mode="nearest"))


class FlowBlock(nn.Module):
    """Flows and attention logits from two feature maps side by side."""

    def __init__(
        self, width: int, head: tuple[int, ...], outputs: int, kernel: int, extra: int = 0
    ):
        super().__init__()
        widths = (2 * width + extra, *head, outputs)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            size = kernel if i else 3
            layers += [nn.Conv2d(a, b, size, padding=size // 2), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, *maps: Remade, lean: bool = True) -> Tensor:
        return self.layers[1:](remade_conv(as_conv(self.layers[0]), *maps, lean=lean))


def as_it_is(features: Tensor) -> Tensor:
    return features


class Flows(NamedTuple):
    """Where each pixel looks: grids (B, 2 K, 2, h, w), garment's K then person's, and weights (B, 2
    K, h, w)."""

    grids: Tensor
    weights: Tensor

    def enlarged(self, size_hw: Sequence[int] | None = None, crisp: bool = False) -> Flows:
        """The same for another size, twice the height and width by default.

        Args:
            crisp: the weights' logarithms are enlarged: what is sharp stays sharp. They then sum to
                1, which they also have to do before.
        """
        size = size_hw or tuple(2 * side for side in self.weights.shape[-2:])
        larger = partial(F.interpolate, size=size, mode="bilinear", align_corners=False)
        grids = larger(self.grids.flatten(1, 2)).unflatten(1, self.grids.shape[1:3])
        if crisp:
            return Flows(grids, larger((self.weights + TINY).log()).softmax(1))
        return Flows(grids, larger(self.weights))


class FlowCascade(nn.Module):
    """Estimates the flows from coarse to fine, and makes an image of each level's."""

    Self_MFEs: nn.ModuleList
    Cross_MFEs: nn.ModuleList
    Refine_MFEs: nn.ModuleList

    def __init__(self, config: NetworkConfig):
        super().__init__()
        k, small, large = config.flows, *config.light
        heads = {
            "Self_MFEs": (3 * k, config.self_kernel),
            "Cross_MFEs": (3 * k, 3),
            "Refine_MFEs": (6 * k, 3),
        }
        for name, (outputs, kernel) in heads.items():
            extra = PLACES if config.places else 0
            blocks = (
                FlowBlock(config.fpn, config.head, outputs, kernel, extra) for _ in range(LEVELS)
            )
            setattr(self, name, nn.ModuleList(blocks))
        self.lights_decoder = nn.Sequential(
            nn.Conv2d(large, small, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(small, 3, 3, padding=1),
        )
        self.lights_encoder = nn.Sequential(
            nn.Conv2d(3, small, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(small, large, 1),
        )
        self.count, self.exact = k, config.exact_grids
        self.places, self.crisp = config.places, config.crisp
        self.lean, self.warp_method = True, "auto"

    def forward(
        self, garment: list[Tensor], person: list[Tensor], images: Tensor, all_levels: bool
    ) -> tuple[list[Tensor], list[Flows]]:
        """Images of every level, coarse to fine, or of the last alone; and every level's flows.

        Args:
            garment, person: features, coarse to fine, (B, C, h, w).
            images: (2 B, 3, H, W), garments then people.
        """
        found: list[Flows] = []
        results = []
        for level, (g, p) in enumerate(zip(garment, person)):
            found.append(self.step(level, g, p, found[-1].enlarged() if found else None))
            whole = level == LEVELS - 1
            if all_levels or level == len(garment) - 1:
                size = images.shape[-2:] if whole else tuple(2 * side for side in g.shape[-2:])
                results.append(self.dress(images, found[-1], size))
        return results, found

    def step(self, level: int, g: Tensor, p: Tensor, carried: Flows | None) -> Flows:
        """The flows of one level, from its features and the flows that the coarser level carried
        over."""
        k, lean, exact = self.count, self.lean, self.exact
        warped = partial(Remade.of, partial(warp, method=self.warp_method))
        g1, p1 = Remade.of(as_it_is, g), Remade.of(as_it_is, p)
        raw_p = p1
        if carried is not None:
            seen, weights = carried.grids.detach(), carried.weights
            g1 = warped(g, seen[:, :k], weights[:, :k])
            p1 = warped(p, seen[:, k:], weights[:, k:])
        beside = partial(self._where, carried)
        flows, logits = self.split(self.Cross_MFEs[level](g1, raw_p, *beside(g), lean=lean), k)
        del g1  # the largest maps there are: each lives only as long as it is needed
        garment = (
            absolute_grids(flows, exact)
            if carried is None
            else compose(carried.grids[:, :k], flows, exact)
        )
        g2 = warped(g, garment, logits.softmax(1))
        flows, logits = self.split(self.Self_MFEs[level](g2, p1, *beside(g, garment), lean=lean), k)
        del p1, raw_p
        person = (
            absolute_grids(flows, exact)
            if carried is None
            else compose(carried.grids[:, k:], flows, exact)
        )
        p2 = warped(p, person, logits.softmax(1))
        flows, logits = self.split(
            self.Refine_MFEs[level](g2, p2, *beside(g, garment, person), lean=lean), 2 * k
        )
        grids = compose(torch.cat((garment, person), 1), flows, exact)
        # One softmax over both images; its first K weights are the person's, although the flows
        # start with the garment.
        return Flows(grids, logits.softmax(1).roll(k, 1))

    def _where(
        self,
        carried: Flows | None,
        features: Tensor,
        garment: Tensor | None = None,
        person: Tensor | None = None,
    ) -> tuple[Remade, ...]:
        """What a flow block sees beside features: places, (B, 6, h, w) in [-1, 1], or nothing.

        They are the pixel's own, and the mean of those it looks at in the garment and the person,
        as far as they are known, without a gradient.
        """
        if not self.places:
            return ()
        k = self.count
        batch, _, height, width = features.shape
        own = absolute_grids(features.new_zeros(batch, 1, 2, height, width), True)
        if carried is not None:
            garment = carried.grids[:, :k] if garment is None else garment
            person = carried.grids[:, k:] if person is None else person
        looks = [own if seen is None else seen.detach() for seen in (garment, person)]
        places = torch.cat([own.mean(1), *(seen.mean(1) for seen in looks)], 1)
        return (Remade.of(as_it_is, places.to(features.dtype)),)

    @staticmethod
    def split(out: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Flows (B, count, 2, h, w) in pixels and logits (B, count, h, w) of a block, in float32 at
        least."""
        out = out.float() if out.dtype in (torch.float16, torch.bfloat16) else out
        return out[:, : 2 * count].unflatten(1, (count, 2)), out[:, 2 * count :]

    def dress(self, images: Tensor, flows: Flows, size_hw: Sequence[int]) -> Tensor:
        """Both images lifted to features, warped, added and turned into an image of ``size_hw``."""
        if tuple(images.shape[-2:]) != tuple(size_hw):
            images = F.interpolate(
                images, size=tuple(size_hw), mode="bilinear", align_corners=False
            )
        if (
            self.lean and torch.is_grad_enabled()
        ):  # 0.3 % of the arithmetic, a fifth of the memory: made again
            return checkpoint(
                self.paint, images, *flows, use_reentrant=False, preserve_rng_state=False
            )
        return self.paint(images, *flows)

    def paint(self, images: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        """The light encoder, the warp and the light decoder.

        The encoder's last and the decoder's first convolution are 1x1, so they commute with the
        warp, whose weights
        sum to 1 for every pixel: both are applied after it as one, and half the channels are
            warped.
        """
        flows = Flows(grids, weights).enlarged(images.shape[-2:], self.crisp)
        first, act, _ = self.lights_encoder
        last = self.lights_decoder[2]
        lift, drop = as_conv(self.lights_encoder[2]), as_conv(self.lights_decoder[0])
        assert lift.bias is not None and drop.bias is not None
        with torch.autocast(images.device.type, enabled=False):
            kernel = (drop.weight.flatten(1) @ lift.weight.flatten(1))[..., None, None]
            bias = drop.weight.flatten(1) @ lift.bias + drop.bias
        x = warp(act(first(images)), *flows, self.warp_method)
        return last(act(F.conv2d(x, kernel, bias)))


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
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        reference: Tensor,
        garment: Tensor,
        agnostic: Tensor,
        return_levels: bool = False,
        return_flows: bool = False,
        depth: int = LEVELS,
    ):
        """The dressed person, (B, 3, H, W), about [-1, 1] but not clipped.

        Args:
            reference: (B, 6, H, W), pose image then agnostic image, in [-1, 1].
            garment: (B, 3, H, W), the in-shop garment.
            agnostic: (B, 3, H, W), the person, the region to redraw black (-1).
            return_levels: also return the results at 1/16, 1/8, 1/4, 1/2 and 1 of the size, the
                last being the result itself.
            return_flows: also return, last, the ``Flows`` of every level, at 1/32 to 1/2 of the
                size (of the work size, where the network has one).
            depth: levels to estimate, from the coarsest; with fewer than all the result is painted
                from the last of them, at twice its size.

        Raises:
            DataError: shapes that do not fit, or sides that are no multiples of 32.
        """
        images = (reference, garment, agnostic)
        self._check(*images)
        lean = self.dafnet.lean
        reference, garment, agnostic = (
            x.contiguous(memory_format=torch.channels_last) for x in images
        )
        both = torch.cat((garment, agnostic))
        garment, reference = self._shrunk(garment), self._shrunk(reference)
        garments = self.source_FPN(self.source_features(garment, lean), lean, depth)
        people = self.reference_FPN(self.reference_features(reference, lean), lean, depth)
        levels, flows = self.dafnet(garments, people, both, return_levels)
        extra = ((levels,) if return_levels else ()) + ((flows,) if return_flows else ())
        return (levels[-1], *extra) if extra else levels[-1]

    def _shrunk(self, image: Tensor) -> Tensor:
        """An image as large as flows are estimated on."""
        height, width = map(int, image.shape[-2:])  # while ONNX is traced they are tensors
        work_hw = self.config.work_hw(height, width)
        same = work_hw == (height, width)
        return image if same else F.interpolate(image, size=work_hw, mode="area")

    def _check(self, reference: Tensor, garment: Tensor, agnostic: Tensor) -> None:
        batch, _, height, width = reference.shape
        multiple = self.config.size_multiple
        expected = {"reference": (batch, 6, height, width), "garment": (batch, 3, height, width)}
        expected["agnostic"] = expected["garment"]
        for (name, shape), found in zip(expected.items(), (reference, garment, agnostic)):
            if tuple(found.shape) != shape:
                raise DataError(name, f"shape {tuple(found.shape)}", str(shape))
        if height % multiple or width % multiple:
            raise DataError(
                "image size",
                f"{height} x {width}",
                f"multiples of {multiple}",
                "Choose another size.",
            )
