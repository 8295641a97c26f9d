"""Terms that tell the flows themselves what is right, where the picture alone says too little.

All look at the flows of a level before anything is painted, at the level's own size. What they
need beside the pictures comes from the label map (where the photo shows the garment) and, for
drawn people, from the flows' truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.daflow import Flows
from model.network.warp import absolute_grids, warp

TINY = 1e-4
ENOUGH = 0.5  # share of a level's pixel that has to be known
CELLS = 32  # rows in which hidden skin looks for visible skin
OTHER_KIND = 0.5  # widths that a leg rather looks for a leg than for an arm
NEAR = 0.02  # widths from the middle of a cell's skin that are as good: half a cell


@dataclass(frozen=True)
class GuideWeights:
    """Factor of each term; a term with factor 0 is not computed.

    Attributes:
        share: cross-entropy of the garment's summed weight against the photo's garment pixels.
        cloth: L1 of the warped garment alone against the photo, on the garment's pixels.
        flow: distance of each garment flow from the true one, in widths of the picture; where no
            truth is known the term is silent.
        together: distance of the K garment flows from their mean, in widths of the picture.
        smooth: second differences of each garment flow on the garment's pixels.
        black: share of what a pixel fetches from the hidden, black part of the person.
        skin: distance of each of the person's flows from the nearest visible skin, where hidden
            skin is to be drawn, in widths of the picture.
    """

    share: float = 0.0
    cloth: float = 0.0
    flow: float = 0.0
    together: float = 0.0
    smooth: float = 0.0
    black: float = 0.0
    skin: float = 0.0

    def __bool__(self) -> bool:
        return any(asdict(self).values())


GUIDES = tuple(item.name for item in fields(GuideWeights))


def guide_terms(
    flows: Sequence[Flows], batch: dict[str, Any], weights: GuideWeights
) -> dict[str, Tensor]:
    """The bare terms, each the mean over the levels, as 0-dim tensors with a gradient.

    Args:
        flows: of the levels, coarse to fine; garment's K then person's.
        batch: garment, person (B, 3, H, W) in [-1, 1], mask (B, 1, H, W) with 1 = hidden, cloth
            (B, 1, H, W) with 1 = the photo shows the garment, 0 = it does not, -1 = not known,
            skin (B, 3, H, W) with 1 = the photo shows skin of that kind, and flow with flow_known
            as ``model.data.packing.widen_flow`` gives them. Terms are silent where what they need
            is missing.
    """
    if weights.skin and "skin" in batch:
        batch = batch | dict(zip(("skin_place", "skin_known"), nearest_skin(batch)))
    sums: dict[str, Tensor] = {}
    for level in flows:
        for name, value in _level_terms(level, batch, weights).items():
            sums[name] = sums.get(name, 0) + value / len(flows)
    return sums


def guide_backward(
    flows: Sequence[Flows],
    batch: dict[str, Any],
    weights: GuideWeights,
    scale: float | Tensor = 1.0,
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """What each term adds to the loss, without a gradient; and the gradients of ``scale`` times
    their sum by grids and weights of every level, one after the other."""
    leaves = [Flows(*(x.detach().requires_grad_() for x in level)) for level in flows]
    values = guide_terms(leaves, batch, weights)
    shares = {name: getattr(weights, name) * value for name, value in values.items()}
    if any(value.requires_grad for value in shares.values()):
        (torch.stack(list(shares.values())).sum() * scale).backward()
    gradients = [
        torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for level in leaves
        for leaf in level
    ]
    return {name: value.detach() for name, value in shares.items()}, gradients


def _level_terms(flows: Flows, batch: dict[str, Any], weights: GuideWeights) -> dict[str, Tensor]:
    size = flows.weights.shape[-2:]
    k = flows.weights.shape[1] // 2
    grids, shares = flows.grids[:, :k], flows.weights[:, :k]
    stored = batch.get("cloth", torch.full_like(batch["mask"], -1))
    known, cloth = shrunk((stored >= 0).float(), size), shrunk(stored.clamp_min(0), size)
    count = cloth.sum().clamp_min(1.0)
    terms: dict[str, Tensor] = {}
    if weights.share:
        summed = shares.sum(1, keepdim=True).clamp(TINY, 1 - TINY)
        off = F.binary_cross_entropy(summed, cloth, reduction="none")
        terms["share"] = (off * known).sum() / known.sum().clamp_min(1.0)
    if weights.cloth:
        garment, person = (shrunk(batch[name], size) for name in ("garment", "person"))
        alone = warp(garment, grids, shares / shares.sum(1, keepdim=True).clamp_min(TINY))
        terms["cloth"] = ((alone - person).abs() * cloth).sum() / (3 * count)
    if weights.flow and "flow" in batch:
        truth, seen = shrunk_flow(batch["flow"], batch["flow_known"], size)
        off = (in_widths(grids - truth[:, None], size).square().sum(2) + TINY**2).sqrt()
        terms["flow"] = (off.mean(1, keepdim=True) * seen).sum() / seen.sum().clamp_min(1.0)
    if weights.together:
        off = in_widths(grids - grids.mean(1, keepdim=True), size)
        apart = (off.square().sum(2) + TINY**2).sqrt().mean(1, keepdim=True)
        terms["together"] = (apart * cloth).sum() / count
    if weights.smooth and min(size) > 2:
        terms["smooth"] = bend(in_widths(grids, size), cloth)
    if weights.black:
        hidden = shrunk(batch["mask"], size)
        fetched = warp(hidden, flows.grids[:, k:], flows.weights[:, k:])
        terms["black"] = fetched.mean()
    if weights.skin and "skin_place" in batch:
        place, seen = shrunk_places(batch["skin_place"], batch["skin_known"], size)
        off = in_widths(flows.grids[:, k:] - place[:, None], size)
        far = ((off.square().sum(2) + TINY**2).sqrt() - NEAR).clamp_min(0)
        terms["skin"] = (far.mean(1, keepdim=True) * seen).sum() / seen.sum().clamp_min(1.0)
    return terms


@torch.no_grad()
def nearest_skin(batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Where each cell of hidden skin finds visible skin: of its own kind, as long as that is not
    ``OTHER_KIND`` further than another. Cells are ``CELLS`` a side at most; nothing waits for the
    device.

    Args:
        batch: mask (B, 1, H, W) with 1 = hidden, skin (B, 3, H, W) with 1 = skin of that kind.

    Returns:
        places (B, 2, h, w) in [-1, 1], x and y, the middle of the visible skin in the nearest cell;
        and known (B, 1, h, w), 1 where a cell is mostly hidden skin and some is visible elsewhere.
    """
    skin, mask = batch["skin"].float(), batch["mask"].float()
    height, width = mask.shape[-2:]
    rows = min(CELLS, height)
    size = (rows, max(1, round(width * rows / height)))
    own = absolute_grids(skin.new_zeros(len(skin), 1, 2, height, width), True)[:, 0]
    seen = skin * (1 - mask)
    share = shrunk(seen.sum(1, keepdim=True), size)
    places = shrunk(own * seen.sum(1, keepdim=True), size) / share.clamp_min(TINY)
    hidden, seen = shrunk(skin * mask, size), shrunk(seen, size)
    here = shrunk(own, size).flatten(2).transpose(1, 2)
    there = places.flatten(2).transpose(1, 2)
    sides = here.new_tensor([0.5, 0.5 * height / width])
    cost = torch.cdist(here * sides, there * sides)
    alike = hidden.flatten(2).transpose(1, 2) @ seen.flatten(2)
    cost = cost + OTHER_KIND * (alike < TINY)
    cost = cost.masked_fill((share < ENOUGH).flatten(1)[:, None], torch.inf)
    best, at = cost.min(2)
    found = there.gather(1, at[..., None].expand(-1, -1, 2)).transpose(1, 2).unflatten(2, size)
    wanted = (hidden.sum(1, keepdim=True) >= ENOUGH) & best.isfinite().view(share.shape)
    return found * wanted, wanted.float()


def bend(grids: Tensor, cloth: Tensor) -> Tensor:
    """Mean length of the second differences of (B, K, 2, h, w) along both axes, where ``cloth``
    is."""
    total = grids.new_zeros(())
    for axis in (-1, -2):
        length = grids.shape[axis]
        low, mid, high = (grids.narrow(axis, at, length - 2) for at in (0, 1, 2))
        inside = cloth.narrow(axis, 1, length - 2)
        bent = (low - 2 * mid + high).abs().sum(2).mean(1, keepdim=True)
        total = total + (bent * inside).sum() / inside.sum().clamp_min(1.0)
    return total


def in_widths(grids: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Differences of grids, (..., 2, h, w) in halves of either side, as shares of the width."""
    factors = grids.new_tensor([0.5, 0.5 * size_hw[0] / size_hw[1]])
    return grids * factors[:, None, None]


def shrunk(image: Tensor, size_hw: Sequence[int]) -> Tensor:
    """The mean over each of the level's pixels."""
    wide = image if image.dtype == torch.float64 else image.float()
    return F.interpolate(wide, size=tuple(size_hw), mode="area")


def shrunk_flow(flow: Tensor, known: Tensor, size_hw: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The flow as places in [-1, 1], (B, 2, h, w): the mean of what is known, 0 elsewhere; and
    where enough is known, (B, 1, h, w), 1 or 0.

    Args:
        flow, known: as ``model.data.packing.widen_flow`` gives them.
    """
    sides = flow.new_tensor([flow.shape[-1], flow.shape[-2]])[:, None, None]
    return shrunk_places((2 * flow + 1) / sides - 1, known, size_hw)


def shrunk_places(places: Tensor, known: Tensor, size_hw: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Places (B, 2, H, W) in [-1, 1], in the same way."""
    share = shrunk(known, size_hw)
    mean = shrunk(places * known, size_hw) / share.clamp_min(TINY)
    enough = (share >= ENOUGH).float()
    return mean * enough, enough
