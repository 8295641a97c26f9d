"""What a network's flows did, seen before anything is painted: the warped garment alone, how much
of a pixel comes from it, single flows, and figures of all that."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.network.daflow import Flows
from model.network.warp import warp

TINY = 1e-4
FLOW_FIGURES = (
    "flow_spread",
    "flow_spread_px",
    "garment_inside",
    "garment_outside",
    "black_inside",
)
"""Names of ``flow_figures``, in the order in which they are told."""


class Layers(NamedTuple):
    """What lies behind results, one by one, each on the device of the flows.

    Attributes:
        warped: (B, 3, H, W) in about [-1, 1]: the garment by its flows alone, as if all of every
            pixel came from it.
        weight: (B, 1, H, W) in [0, 1]: how much of a pixel comes from the garment; the rest is the
            person's.
        single: (B, K, 3, H, W): the garment by each flow alone.
        grids: (B, K, 2, H, W) in [-1, 1], x then y: where on the garment each flow looks.
    """

    warped: Tensor
    weight: Tensor
    single: Tensor
    grids: Tensor


@torch.no_grad()
def layers_of(flows: Flows, garment: Tensor, crisp: bool = False) -> Layers:
    """Layers of one level's flows (the last is what the result is painted with).

    Args:
        flows: (B, 2 K, 2, h, w) and (B, 2 K, h, w), garment's K then person's.
        garment: (B, 3, H, W).
        crisp: of the network's configuration.
    """
    garment = garment.float()
    full = Flows(flows.grids.float(), flows.weights.float()).enlarged(garment.shape[-2:], crisp)
    k = full.weights.shape[1] // 2
    grids, shares = full.grids[:, :k], full.weights[:, :k]
    weight = shares.sum(1, keepdim=True)
    one = torch.ones_like(weight)
    single = [warp(garment, grids[:, n : n + 1].contiguous(), one) for n in range(k)]
    evened = (shares + TINY / k) / (weight + TINY)  # the plain mean where nothing has weight
    warped = warp(garment, grids.contiguous(), evened)
    return Layers(warped, weight, torch.stack(single, 1), grids)


@torch.no_grad()
def flow_figures(flows: Flows, mask: Tensor) -> list[dict[str, float]]:
    """Figures of each person's flows, at the level's size.

    Args:
        flows: as for ``layers_of``.
        mask: (B, 1, H, W), 1 = hidden.

    Returns:
        Of each person ``flow_spread``, the root mean square distance of a hidden pixel's garment
        flows from their mean as a share of the picture's width, mean over the hidden pixels, and
        ``flow_spread_px``, the same in pixels of the mask's size; ``garment_inside`` and
        ``garment_outside``, the mean weight of the garment over hidden and visible pixels (wanted:
        as much as the garment covers, and 0); ``black_inside``, the share of hidden pixels'
        content that the person's flows fetch from the hidden, black part (wanted: 0). NaN where
        there is no such pixel.
    """
    grids, weights, mask = flows.grids.float(), flows.weights.float(), mask.float()
    k, size = weights.shape[1] // 2, weights.shape[-2:]
    hidden = torch.nn.functional.interpolate(mask, size=size, mode="area")
    off = grids[:, :k] - grids[:, :k].mean(1, keepdim=True)
    aspect = size[0] / size[1]  # a half of the height in halves of the width
    apart = (off[:, :, 0].square() + (off[:, :, 1] * aspect).square()).mean(1, keepdim=True)
    spread = apart.sqrt() / 2
    garment = weights[:, :k].sum(1, keepdim=True)
    black = warp(hidden, grids[:, k:].contiguous(), weights[:, k:].contiguous())
    inside, outside = hidden.sum((1, 2, 3)), (1 - hidden).sum((1, 2, 3))

    def mean(values: Tensor, where: Tensor, count: Tensor) -> list[float]:
        return ((values * where).sum((1, 2, 3)) / count).tolist()

    spreads = mean(spread, hidden, inside)
    columns = (
        spreads,
        [value * mask.shape[-1] for value in spreads],
        mean(garment, hidden, inside),
        mean(garment, 1 - hidden, outside),
        mean(black, hidden, inside),
    )
    return [dict(zip(FLOW_FIGURES, row)) for row in zip(*columns)]
