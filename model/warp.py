"""The attention-weighted warp: an image or feature map looked up at K places per pixel and averaged.

Convention. Warping is backward: each output pixel looks up the source. A flow is in pixels, x then y. A grid holds
absolute positions in [-1, 1], x then y, for sampling with ``align_corners=False``: -1 and 1 are the outer edges of
the first and last pixel. Positions outside the source take its border pixel.

The published weights were trained with a mismatch, which has to stay: `absolute_grids` normalises with the formula of
``align_corners=True``, while every sampling and resizing uses False. Zero flow is therefore no identity but a zoom by
size / (size - 1) about the centre, half a pixel at the border, and it compounds where grids are composed.

Shapes: features (S * B, C, H, W), flows and grids (B, T, 2, h, w), weights (B, T, h, w), where T = S * K. S images of
each sample are stacked along the batch (all first images, then all second ones); grid t reads image t // K.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

METHODS = ("auto", "sparse", "plain")


def absolute_grids(flows: Tensor) -> Tensor:
    """Grids (B, K, 2, h, w) of identity + flow, normalised as 2 * position / (size - 1) - 1 (see the mismatch above).

    Args:
        flows: (B, K, 2, h, w) in pixels, x then y.
    """
    height, width = flows.shape[-2:]
    x = torch.arange(width, dtype=flows.dtype, device=flows.device).view(1, 1, 1, width).expand(1, 1, height, width)
    y = torch.arange(height, dtype=flows.dtype, device=flows.device).view(1, 1, height, 1).expand(1, 1, height, width)
    last = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=flows.dtype, device=flows.device)
    return 2 * (flows + torch.stack((x, y), dim=2)) / last.view(1, 1, 2, 1, 1) - 1


def compose(grids: Tensor, flows: Tensor) -> Tensor:
    """Each of K grids sampled at identity + its flow: where the looked-up pixel itself looks. All (B, K, 2, h, w)."""
    places = absolute_grids(flows).flatten(0, 1).permute(0, 2, 3, 1)
    sampled = F.grid_sample(grids.flatten(0, 1), places, "bilinear", "border", align_corners=False)
    return sampled.unflatten(0, grids.shape[:2])


def warp(features: Tensor, grids: Tensor, weights: Tensor, method: str = "auto") -> Tensor:
    """Sum over t of weight_t * sample(features, grid_t): (B, C, h, w) in the features' dtype.

    Args:
        features: (S * B, C, H, W); fastest in channels-last memory.
        grids: (B, S * K, 2, h, w), float32 or float64.
        weights: (B, S * K, h, w), of the grids' dtype. They need not sum to 1.
        method: "plain" is the formula as it stands; "sparse" the same as one sparse matrix product; "auto" chooses.
    """
    if method == "plain":
        return warp_plain(features, grids, weights)
    return SparseWarp.apply(features, grids, weights)


def warp_plain(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The warp as its formula reads: the reference of the tests, and what exporters understand."""
    batch, count = weights.shape[:2]
    images = features.unflatten(0, (-1, batch))
    per_image = count // len(images)
    total = features.new_zeros(())
    for t in range(count):
        place = grids[:, t].permute(0, 2, 3, 1).to(features.dtype)
        sampled = F.grid_sample(images[t // per_image], place, "bilinear", "border", align_corners=False)
        total = total + weights[:, t, None].to(features.dtype) * sampled
    return total


class SparseWarp(torch.autograd.Function):
    """The warp as out = A @ table: table holds a pixel's channels per row, A has 4 T entries per output pixel.

    Keeps features, grids and weights for the backward, nothing per flow. The gradient of the features is the product
    with A transposed, whose entries are sorted by row, so that it too is a weighted sum of rows and deterministic.
    """

    @staticmethod
    def forward(ctx, features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(features, grids, weights)
        rows, corners = _entries(grids, features)
        entries = (_last(weights)[..., None] * corners).flatten(1)
        return _image(_sum_rows(_table(features), rows.flatten(1), entries), weights)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        features, grids, weights = ctx.saved_tensors
        by_features, by_grids, by_weights = ctx.needs_input_grad
        rows, corners, slopes = _entries(grids, features, with_slopes=True)
        weight = _last(weights)
        entries = weight[..., None] * corners
        table, out = _table(features), _table(gradient)
        to_features = to_grids = to_weights = None
        if by_features:
            to_features = _image(_transposed_sum(out, rows.flatten(), entries.flatten(), len(table)), features)
        if by_grids or by_weights:
            products = _row_products(out, table, rows).view_as(corners)
            to_weights = _image((products * corners).sum(-1), weights)
            along = (products[..., None, :] * slopes).sum(-1) * weight[..., None]
            to_grids = along.view(*weights.shape[:1], *weights.shape[2:], -1, 2).permute(0, 3, 4, 1, 2)
        return to_features, to_grids, to_weights


def _entries(grids: Tensor, features: Tensor, with_slopes: bool = False):
    """Rows and bilinear shares of the four corners of every lookup: (N, T, 4) each, N = B * h * w.

    Slopes (N, T, 2, 4), where asked for, are the shares' derivatives by x and y of the grid; 0 outside the border.
    """
    batch, count = grids.shape[:2]
    height, width = features.shape[-2:]
    places = grids.permute(0, 3, 4, 1, 2).reshape(-1, count, 2)
    x, x_low, x_high, x_slope = _corners(places[..., 0], width)
    y, y_low, y_high, y_slope = _corners(places[..., 1], height)
    per_image = count // (features.shape[0] // batch)
    image = torch.arange(count, dtype=torch.int32, device=grids.device) // per_image * batch
    sample = torch.arange(batch, dtype=torch.int32, device=grids.device).repeat_interleave(len(places) // batch)
    first = (sample[:, None] + image) * (height * width)
    top, bottom = first + y_low * width, first + y_high * width
    rows = torch.stack((top + x_low, top + x_high, bottom + x_low, bottom + x_high), -1)
    corners = torch.stack(((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y), -1)
    if not with_slopes:
        return rows, corners
    by_x = torch.stack((y - 1, 1 - y, -y, y), -1) * x_slope[..., None]
    by_y = torch.stack((x - 1, -x, 1 - x, x), -1) * y_slope[..., None]
    return rows, corners, torch.stack((by_x, by_y), -2)


def _corners(place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Share of the higher pixel, both pixels' indices (int32), and d(share) / d(place), for one axis."""
    position = ((place + 1) * size - 1) / 2
    inside = position.clamp(0, size - 1)
    low = inside.floor()
    slope = ((position > 0) & (position < size - 1)).to(place.dtype) * (size / 2)
    index = low.to(torch.int32).clamp_(0, size - 1)  # clamped again, for a NaN that a diverged training makes
    return inside - low, index, (index + 1).clamp_(max=size - 1), slope


def _last(x: Tensor) -> Tensor:
    """(B, T, h, w) as rows (B * h * w, T)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _table(x: Tensor) -> Tensor:
    # The plain reshape of a permuted tensor copies 15 times slower than the change of memory format.
    return _last(x.contiguous(memory_format=torch.channels_last))


def _image(rows: Tensor, like: Tensor) -> Tensor:
    """Rows (B * h * w, C) as (B, C, h, w), batch and size taken from `like`; channels-last memory."""
    return rows.view(like.shape[0], *like.shape[2:], rows.shape[1]).permute(0, 3, 1, 2)


def _sum_rows(table: Tensor, rows: Tensor, entries: Tensor) -> Tensor:
    return F.embedding_bag(rows, table, mode="sum", per_sample_weights=entries.to(table.dtype))


def _transposed_sum(out: Tensor, rows: Tensor, entries: Tensor, count: int) -> Tensor:
    """A transposed times `out`: (count, C)."""
    per_pixel = len(rows) // len(out)
    ordered, order = torch.sort(rows, stable=True)
    ends = torch.searchsorted(ordered, torch.arange(count + 1, dtype=torch.int32, device=rows.device), out_int32=True)
    return F.embedding_bag(
        (order // per_pixel).to(torch.int32), out, ends, mode="sum",
        per_sample_weights=entries[order].to(out.dtype), include_last_offset=True,
    )  # fmt: skip


def _row_products(out: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Inner product of each output pixel's gradient with every row it looked up: flat, (N * 4 T)."""
    flat = rows.flatten()
    pixel = torch.arange(len(out), dtype=torch.int32, device=rows.device)
    per_pixel = len(flat) // len(out)
    product = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return product(out, table, flat, pixel * per_pixel, pixel.repeat_interleave(per_pixel), 0)
