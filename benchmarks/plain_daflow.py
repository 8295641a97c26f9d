"""DAFlow as its description reads, the yardstick of the benchmarks and tests: simple, slow and
large.

Features are copied once per flow before they are sampled, everything is kept for the backward pass,
images are contiguous, each image goes through the light encoder on its own, and the final result is
computed apart from the last intermediate result. Takes the weights of `model.daflow.DAFlow` by the
same names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.config import NetworkConfig
from model.network.daflow import DAFlow


class PlainDAFlow(nn.Module):
    """The same function, parameters and names as DAFlow, without any of its economies."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        network = DAFlow(config)  # for its parameters alone: nothing of its forward is used
        for name, child in network.named_children():
            self.add_module(name, child)
        for module in self.modules():
            if isinstance(module, nn.LeakyReLU):
                module.inplace = False
        self.config = network.config
        self.to(memory_format=torch.contiguous_format)

    def forward(
        self, reference: Tensor, garment: Tensor, agnostic: Tensor, return_levels: bool = False
    ):
        garments = _pyramid(self.source_FPN, _encode(self.source_features, garment))
        people = _pyramid(self.reference_FPN, _encode(self.reference_features, reference))
        levels = []
        carried = None
        for level, (g, p) in enumerate(zip(garments, people)):
            carried = _step(self.dafnet, level, g, p, carried, self.config)
            if self.training or return_levels:
                levels.append(_dress(self.dafnet, garment, agnostic, carried))
        result = _dress(self.dafnet, garment, agnostic, carried)
        return (result, levels) if return_levels else result


def _encode(encoder: nn.Module, x: Tensor) -> list[Tensor]:
    out = []
    for down, *residual in encoder.encoders:
        x = down.block(x)
        for unit in residual:
            x = x + unit.block(x)
        out.append(x)
    return out


def _pyramid(pyramid: nn.Module, levels: list[Tensor]) -> list[Tensor]:
    out: list[Tensor] = []
    for x, adaptive, smooth in zip(reversed(levels), pyramid.adaptive, pyramid.smooth):
        x = adaptive(x)
        if out:
            x = x + F.interpolate(out[-1], scale_factor=2, mode="nearest")
        out.append(smooth(x))
    return out


def _grids(flows: Tensor, exact: bool) -> Tensor:
    """Flows (B, K, 2, h, w) in pixels to grids (B, K, h, w, 2), normalised as with
    align_corners=True, or exactly."""
    height, width = flows.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=flows.dtype, device=flows.device),
        torch.arange(width, dtype=flows.dtype, device=flows.device),
        indexing="ij",
    )
    place = (flows + torch.stack((x, y))).permute(0, 1, 3, 4, 2)
    if exact:
        return (2 * place + 1) / torch.tensor(
            [width, height], dtype=flows.dtype, device=flows.device
        ) - 1
    return (
        2 * place / torch.tensor([width - 1, height - 1], dtype=flows.dtype, device=flows.device)
        - 1
    )


def _sample(images: Tensor, grids: Tensor) -> Tensor:
    """Images (B, K, C, H, W) at grids (B, K, h, w, 2): (B, K, C, h, w)."""
    out = F.grid_sample(
        images.flatten(0, 1), grids.flatten(0, 1).to(images.dtype), "bilinear", "border", False
    )
    return out.unflatten(0, images.shape[:2])


def _compose(grids: Tensor, flows: Tensor, exact: bool) -> Tensor:
    return _sample(grids.permute(0, 1, 4, 2, 3), _grids(flows, exact)).permute(0, 1, 3, 4, 2)


def _warp(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    copies = features[:, None].repeat(1, grids.shape[1], 1, 1, 1)
    return (_sample(copies, grids) * weights[:, :, None].to(copies.dtype)).sum(1)


def _block(block: nn.Module, first: Tensor, second: Tensor, count: int) -> tuple[Tensor, Tensor]:
    out = block.layers(torch.cat((first, second), 1))
    out = out if out.dtype == torch.float64 else out.float()
    return out[:, : 2 * count].unflatten(1, (count, 2)), out[:, 2 * count :]


def _step(dafnet: nn.Module, level: int, g: Tensor, p: Tensor, carried, config: NetworkConfig):
    k, exact = config.flows, config.exact_grids
    g1, p1 = g, p
    if carried is not None:
        garment, person, garment_weights, person_weights = carried
        g1 = _warp(g, garment.detach(), garment_weights)
        p1 = _warp(p, person.detach(), person_weights)
    flows, logits = _block(dafnet.Cross_MFEs[level], g1, p, k)
    garment = _grids(flows, exact) if carried is None else _compose(garment, flows, exact)
    g2 = _warp(g, garment, logits.softmax(1))
    flows, logits = _block(dafnet.Self_MFEs[level], g2, p1, k)
    person = _grids(flows, exact) if carried is None else _compose(person, flows, exact)
    p2 = _warp(p, person, logits.softmax(1))
    flows, logits = _block(dafnet.Refine_MFEs[level], g2, p2, 2 * k)
    garment, person = _compose(garment, flows[:, :k], exact), _compose(person, flows[:, k:], exact)
    weights = logits.softmax(1)
    return _enlarge(garment), _enlarge(person), _larger(weights[:, k:]), _larger(weights[:, :k])


def _larger(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _enlarge(grids: Tensor) -> Tensor:
    flat = _larger(grids.permute(0, 1, 4, 2, 3).flatten(1, 2))
    return flat.unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2)


def _dress(dafnet: nn.Module, garment: Tensor, agnostic: Tensor, state) -> Tensor:
    garment_grids, person_grids, garment_weights, person_weights = state
    size = garment_weights.shape[-2:]
    parts = []
    for image, grids, weights in (
        (garment, garment_grids, garment_weights),
        (agnostic, person_grids, person_weights),
    ):
        image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        parts.append(_warp(dafnet.lights_encoder(image), grids, weights))
    return dafnet.lights_decoder(parts[0] + parts[1])
