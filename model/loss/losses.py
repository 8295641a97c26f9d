"""The training loss of DAFlow: L1, LPIPS, VGG19 style and content over the network's levels, plain
and lean.

For level n = 0 (coarse) ... and terms weighted as in ``LossWeights``:
sum over n of (n + 1) * (L1 + LPIPS + 100 * style + 0.1 * content), against the target resized to
the level.
Source: Bai et al., 2022 (arXiv 2207.09161) and the behaviour of its public release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.loss.guides import GuideWeights, guide_backward, shrunk
from model.loss.vgg import SMALLEST_SIDE, Lpips, VggFeatures, without_autocast
from model.network.daflow import Flows

CONTENT_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_TAPS = ("relu2_2", "relu3_4", "relu4_4", "relu5_2")
TERMS = ("l1", "lpips", "style", "content", "edges")

PIXEL_TERMS = ("l1", "edges")  # those that need no perceptual network


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term; a term with factor 0 is not computed.

    ``edges`` is no part of the official loss: L1 of the differences between neighbouring pixels.
    """

    l1: float = 1.0
    lpips: float = 1.0
    style: float = 100.0
    content: float = 0.1
    edges: float = 0.0


class _MeanAbsolute(torch.autograd.Function):
    """mean |a - b| that keeps only the difference's sign, one byte a value, for the gradient of
    ``a``."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b
        ctx.save_for_backward(difference.sign().to(torch.int8))
        return difference.abs_().mean()

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (sign,) = ctx.saved_tensors
        return sign.to(gradient.dtype) * (gradient / sign.numel()), None


class PerceptualNetworks(nn.Module):
    """The frozen networks behind the perceptual terms: VGG19 up to relu5_2, and LPIPS over VGG16.

    VGG19 takes images in [-1, 1] as they are, without ImageNet's normalisation, as the official
    loss does.
    """

    def __init__(self):
        super().__init__()
        self.vgg19 = VggFeatures(19, CONTENT_TAPS + STYLE_TAPS)
        self.lpips = Lpips()
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> PerceptualNetworks:
        return super().train(False)  # frozen, whatever the trainer says to its modules


class TryOnLoss(nn.Module):
    """The weighted sum over all levels.

    Args:
        perceptual: networks for LPIPS, style and content, or None for L1 alone.
        weights: factors of the terms.
        inside: how much more a hidden pixel counts in l1 and edges than a visible one, which the
            composite takes from the photo anyway; 0, as in the official loss, weighs all the same.
        guides: factors of the terms about the flows; what they add stands under their names.

    Both ways of using it give the same values and gradients, as a dict of 0-dim tensors without
    gradient, and one: ``total``; ``l1``, ``lpips``, ``style``, ``content`` (what each adds to the
        total); ``components``
    (levels, 5), the bare terms per level, 0 where a term is not computed.

    - ``loss(levels, target)``: ``total`` carries the gradient; the graphs of all levels live at
        once.
    - ``loss.backward_through(levels, target)``: fills the gradients of the network itself, one
      level and one perceptual network at a time, so that memory does not grow with the number of
      levels.
    """

    def __init__(
        self,
        perceptual: PerceptualNetworks | None = None,
        weights: LossWeights | None = None,
        inside: float = 0.0,
        guides: GuideWeights | None = None,
    ):
        super().__init__()
        self.perceptual = perceptual
        self.weights = weights or LossWeights()
        self.inside, self.guides = inside, guides or GuideWeights()

    def forward(
        self, levels: Sequence[Tensor], target: Tensor, batch: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Terms of the loss without guides; ``levels`` coarse to fine and ``target`` (B, 3, H, W)
        in [-1, 1]; ``batch`` has the mask that ``inside`` counts by."""
        components = self._empty_components(levels)
        total = components.new_zeros(())
        for index, level in enumerate(levels):
            for names, compute in self._passes(index, level.shape[-2:], target, batch):
                values = compute(_wide(level))
                total = total + (index + 1) * self._weighted(names, values)
                _store(components, index, names, values)
        return self._summary(components, total)

    def backward_through(
        self,
        levels: Sequence[Tensor],
        target: Tensor,
        scale: float | Tensor = 1.0,
        batch: dict[str, Any] | None = None,
        flows: Sequence[Flows] = (),
    ) -> dict[str, Tensor]:
        """The same terms; afterwards the parameters behind ``levels`` hold the gradient of ``scale
        * total``.

        Args:
            levels: coarse to fine, (B, 3, h, w), still attached to the network.
            target: (B, 3, H, W) in [-1, 1].
            scale: factor on the gradients only: 1 / accumulated steps, times ``scaler.get_scale()``
                with fp16.
            batch: what ``guide_terms`` reads, and the mask that ``inside`` counts by.
            flows: of the same levels, still attached; without them there are no guides.
        """
        components, gradients = self._empty_components(levels), []
        for index, level in enumerate(levels):
            leaf = _wide(
                level.detach()
            ).requires_grad_()  # float32: five sums of half-precision gradients would round
            for names, compute in self._passes(index, level.shape[-2:], target, batch):
                values = compute(leaf)
                with torch.no_grad():
                    _store(components, index, names, values)
                value = self._weighted(names, values) * ((index + 1) * scale)
                with without_autocast(leaf):
                    value.backward()
                del value, values
            gradients.append(
                (torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).to(level.dtype)
            )
        ends = list(levels)
        added: dict[str, Tensor] = {}
        with without_autocast(target):
            if flows and batch is not None and self.guides:
                added, more = guide_backward(flows, batch, self.guides, scale)
                ends += [x for level in flows for x in level]
                gradients += more
            torch.autograd.backward(ends, gradients)
        terms = self._summary(components, None)
        return terms | added | {"total": sum(added.values(), start=terms["total"])}

    @torch.no_grad()
    def values(self, levels: Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
        """The same terms without any gradient, for validation."""
        return self.forward(levels, target)

    def _passes(
        self,
        index: int,
        size_hw: Sequence[int],
        target: Tensor,
        batch: dict[str, Any] | None = None,
    ) -> Iterator[tuple[tuple[str, ...], Callable[[Tensor], list[Tensor]]]]:
        """What to compute at a level, in passes whose graphs are independent: (term names,
        prediction -> values).

        The target's features are made once for each pass, without gradient, and freed with it.
        """
        with torch.no_grad():
            target = _resized(_wide(target), size_hw)
            counts = self._counts(batch, size_hw)
        if self.weights.l1:
            yield ("l1",), lambda prediction: [mean_distance(prediction, target, counts)]
        if self.weights.edges:
            yield ("edges",), lambda prediction: [edge_distance(prediction, target, counts)]
        if self.perceptual is None:
            return
        factor = enlargement(index, size_hw)
        for names, describe, compare in self._perceptual_passes():
            with torch.no_grad():
                wanted = describe(_enlarged(target, factor))
            yield names, lambda prediction: compare(describe(_enlarged(prediction, factor)), wanted)  # noqa: B023
            wanted = None  # freed before the next pass makes its own

    def _counts(self, batch: dict[str, Any] | None, size_hw: Sequence[int]) -> Tensor | None:
        """How much each pixel of a level counts, (B, 1, h, w); None where all count the same."""
        if batch is None or not self.inside:
            return None
        return 1 + self.inside * shrunk(batch["mask"], size_hw)

    def _perceptual_passes(self):
        if self.weights.lpips:
            lpips = self.perceptual.lpips
            yield (
                ("lpips",),
                lpips.features,
                lambda found, wanted: [lpips.compare(found, wanted).mean()],
            )
        names = tuple(name for name in ("style", "content") if getattr(self.weights, name))
        if names:
            yield (
                names,
                lambda image: vgg19_description(self.perceptual.vgg19, image),
                (lambda found, wanted: [_distance(found[name], wanted[name]) for name in names]),
            )

    def _weighted(self, names: tuple[str, ...], values: list[Tensor]) -> Tensor:
        return sum(getattr(self.weights, name) * value for name, value in zip(names, values))

    def _empty_components(self, levels: Sequence[Tensor]) -> Tensor:
        return torch.zeros(
            len(levels), len(TERMS), dtype=_wide(levels[0][:0]).dtype, device=levels[0].device
        )

    def _summary(self, components: Tensor, total: Tensor | None) -> dict[str, Tensor]:
        by_level = torch.arange(
            1, len(components) + 1, device=components.device, dtype=components.dtype
        )
        sums = (components * by_level[:, None]).sum(0).unbind()
        shares = {name: value * getattr(self.weights, name) for name, value in zip(TERMS, sums)}
        terms = {"total": sum(shares.values()) if total is None else total, **shares}
        return {**terms, "components": components}

    def describe(self) -> dict[str, Any]:
        """The loss as plain values, for a run's configuration."""
        return {
            "perceptual": self.perceptual is not None,
            **asdict(self.weights),
            "inside": self.inside,
            "guides": asdict(self.guides),
        }


def mean_distance(found: Tensor, wanted: Tensor, counts: Tensor | None = None) -> Tensor:
    """Mean absolute difference, each pixel as often as ``counts`` (B, 1, h, w) says."""
    if counts is None:
        return F.l1_loss(found, wanted)
    return ((found - wanted).abs() * counts).mean() / counts.mean()


def edge_distance(found: Tensor, wanted: Tensor, counts: Tensor | None = None) -> Tensor:
    """``mean_distance`` of the differences between neighbours, along both axes, summed."""
    total = found.new_zeros(())
    for axis in (-1, -2):
        length = found.shape[axis] - 1
        near = None if counts is None else counts.narrow(axis, 1, length)
        total = total + mean_distance(found.diff(dim=axis), wanted.diff(dim=axis), near)
    return total


def vgg19_description(network: VggFeatures, image: Tensor) -> dict[str, list[Tensor]]:
    """What style and content compare, from one pass: Gram matrices (B, C, C) and feature maps (B,
    C, h, w)."""
    found = network(image)
    return {
        "style": [gram_matrix(found[name]) for name in STYLE_TAPS],
        "content": [found[name] for name in CONTENT_TAPS],
    }


def gram_matrix(features: Tensor) -> Tensor:
    """(B, C, C): F Fᵀ / (H W C) of each image, in float32 or wider (the products overflow half
    precision)."""
    b, c, h, w = features.shape
    with without_autocast(features):
        flat = _wide(features).reshape(b, c, h * w)
        return flat @ flat.transpose(1, 2) / (h * w * c)


def enlargement(index: int, size_hw: Sequence[int]) -> int:
    """Factor by which a level is enlarged for the perceptual networks.

    2 at the coarsest level, as in the official loss; more only where a side would stay below VGG's
    16 pixels, which the official sizes (from 256 x 192) never need.
    """
    factor = 2 if index == 0 else 1
    while min(size_hw) * factor < SMALLEST_SIDE:
        factor *= 2
    return factor


def _enlarged(image: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return image
    return F.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)


def _resized(target: Tensor, size_hw: Sequence[int]) -> Tensor:
    """The target at a level's size: bilinear, without antialiasing, as the official loss does
    it."""
    if target.shape[-2:] == tuple(size_hw):
        return target
    return F.interpolate(target, size=tuple(size_hw), mode="bilinear", align_corners=False)


def _distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean absolute difference."""
    return sum(_MeanAbsolute.apply(_wide(a), _wide(b)) for a, b in zip(found, wanted))


def _wide(values: Tensor) -> Tensor:
    """float32, or float64 where it is float64 already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _store(components: Tensor, index: int, names: Sequence[str], values: Sequence[Tensor]) -> None:
    for name, value in zip(names, values):
        components[index, TERMS.index(name)] = value.detach()
