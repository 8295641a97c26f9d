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

import functools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

METHODS = ("auto", "sparse", "triton", "plain")


def absolute_grids(flows: Tensor, exact: bool = False) -> Tensor:
    """Grids (B, K, 2, h, w) of identity + flow, normalised as 2 * position / (size - 1) - 1 (see the mismatch above).

    Args:
        flows: (B, K, 2, h, w) in pixels, x then y.
        exact: normalise as (2 * position + 1) / size - 1 instead, which makes zero flow the identity.
    """
    height, width = flows.shape[-2:]
    x = torch.arange(width, dtype=flows.dtype, device=flows.device).view(1, 1, 1, width).expand(1, 1, height, width)
    y = torch.arange(height, dtype=flows.dtype, device=flows.device).view(1, 1, height, 1).expand(1, 1, height, width)
    places = flows + torch.stack((x, y), dim=2)
    sides = (width, height) if exact else (max(width - 1, 1), max(height - 1, 1))
    # Filled on the device: a copy from the host would wait for it, and cannot be captured in a CUDA graph.
    size = torch.stack([flows.new_full((), side) for side in sides]).view(1, 1, 2, 1, 1)
    return (2 * places + 1) / size - 1 if exact else 2 * places / size - 1


def compose(grids: Tensor, flows: Tensor, exact: bool = False) -> Tensor:
    """Each of K grids sampled at identity + its flow: where the looked-up pixel itself looks. All (B, K, 2, h, w)."""
    places = absolute_grids(flows, exact).flatten(0, 1).permute(0, 2, 3, 1)
    sampled = F.grid_sample(grids.flatten(0, 1), places, "bilinear", "border", align_corners=False)
    return sampled.unflatten(0, grids.shape[:2])


def warp(features: Tensor, grids: Tensor, weights: Tensor, method: str = "auto") -> Tensor:
    """Sum over t of weight_t * sample(features, grid_t): (B, C, h, w) in the features' dtype.

    Args:
        features: (S * B, C, H, W); fastest in channels-last memory.
        grids: (B, S * K, 2, h, w), float32 or float64.
        weights: (B, S * K, h, w), of the grids' dtype. They need not sum to 1.
        method: "plain" is the formula as it stands; "sparse" the same as one sparse matrix product; "triton" a fused
            kernel, of float32 and narrower; "auto" takes the kernel on CUDA where Triton is, else the product.
            The kernel's gradient of the features changes in its last bits from run to run, except under
            torch.use_deterministic_algorithms(True).
    """
    if method == "plain":
        return warp_plain(features, grids, weights)
    if method == "triton" or (method == "auto" and features.is_cuda and _kernel_takes(features, grids)):
        from model.warp_triton import warp_op

        return warp_op(features, grids, weights)
    if torch.is_grad_enabled():
        return SparseWarp.apply(features, grids, weights)
    return warp_sparse(features, grids, weights)


@functools.cache
def _triton_is_there() -> bool:
    try:
        import model.warp_triton  # noqa: F401
    except (ImportError, RuntimeError):  # a Triton that does not fit torch fails either way
        return False
    return True


def _kernel_takes(features: Tensor, grids: Tensor) -> bool:
    return grids.dtype == torch.float32 and features.dtype != torch.float64 and _triton_is_there()


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
    with A transposed, whose entries are ordered by row, so that it too is a weighted sum of rows, and deterministic.
    """

    @staticmethod
    def forward(ctx, features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(features, grids, weights)
        return warp_sparse(features, grids, weights)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        features, grids, weights = ctx.saved_tensors
        by_features, by_grids, by_weights = ctx.needs_input_grad
        taps = _taps(grids, features)
        table, out = _table(features), _table(gradient)
        to_features = to_grids = to_weights = None
        if by_features:
            to_features = _image(_transposed_sum(out, taps.rows, _entries(taps, weights), len(table)), features)
        if by_grids or by_weights:
            to_weights, to_grids = _slopes(_row_products(out, table, taps.rows), taps, weights, features.shape[-2:])
        return to_features, to_grids, to_weights


def features_gradient(gradient: Tensor, features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the features alone, from that of the result; the same bits in every run."""
    taps = _taps(grids, features)
    rows = _transposed_sum(_table(gradient), taps.rows, _entries(taps, weights), features[:, 0].numel())
    return _image(rows, features)


def warp_sparse(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The warp as one sparse matrix product, without a gradient."""
    taps = _taps(grids, features)
    entries = _entries(taps, weights).to(features.dtype)
    rows = F.embedding_bag(taps.rows.flatten(1), _table(features), mode="sum", per_sample_weights=entries.flatten(1))
    return _image(rows, weights)


class Taps(NamedTuple):
    """What every lookup reads; N = B * h * w output pixels, T lookups each.

    rows (N, T, 4) int32 are the four pixels around a place: top left, top right, bottom left, bottom right. x and y
    (N, T) are the shares of the right and of the lower ones; x_inside and y_inside are False beyond the border,
    where a place may move without effect.
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    x_inside: Tensor
    y_inside: Tensor


def _taps(grids: Tensor, features: Tensor) -> Taps:
    batch, count = grids.shape[:2]
    height, width = features.shape[-2:]
    places = grids.permute(0, 3, 4, 1, 2).reshape(-1, count, 2)
    x, left, right, x_inside = _neighbours(places[..., 0], width)
    y, top, bottom, y_inside = _neighbours(places[..., 1], height)
    per_image = count // (features.shape[0] // batch)
    image = torch.arange(count, dtype=torch.int32, device=grids.device) // per_image * batch
    sample = torch.arange(batch, dtype=torch.int32, device=grids.device).repeat_interleave(len(places) // batch)
    first = (sample[:, None] + image) * (height * width)
    top, bottom = torch.add(first, top, alpha=width), torch.add(first, bottom, alpha=width)
    return Taps(_stack(top + left, top + right, bottom + left, bottom + right), x, y, x_inside, y_inside)


def _neighbours(place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Share of the higher of two neighbouring pixels, both indices (int32), and whether inside, along one axis."""
    position = torch.add((size - 1) / 2, place, alpha=size / 2)
    inside = (position > 0) & (position < size - 1)
    position = position.clamp_(0, size - 1)
    low = position.to(torch.int32).clamp_(0, size - 1)  # clamped again, for a NaN that a diverged training makes
    return position - low, low, (low + 1).clamp_(max=size - 1), inside


def _entries(taps: Taps, weights: Tensor) -> Tensor:
    """The entries of A, (N, T, 4): weight times bilinear share."""
    whole = _last(weights)
    right = whole * taps.x
    lower, lower_right = whole * taps.y, right * taps.y
    upper_right, lower_left = right - lower_right, lower - lower_right
    return _stack(whole - right - lower_left, upper_right, lower_left, lower_right)


def _slopes(products: Tensor, taps: Taps, weights: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Gradients by weights and by grids, from the gradient by each entry, (N, T, 4)."""
    upper_left, upper_right, lower_left, lower_right = products.to(weights.dtype).unbind(-1)
    upper_step, lower_step = upper_right - upper_left, lower_right - lower_left
    upper, lower = torch.addcmul(upper_left, upper_step, taps.x), torch.addcmul(lower_left, lower_step, taps.x)
    down = lower - upper
    weight = _last(weights)
    by_x = torch.lerp(upper_step, lower_step, taps.y).mul_(weight).mul_(taps.x_inside) * (size_hw[1] / 2)
    by_y = (down * weight).mul_(taps.y_inside) * (size_hw[0] / 2)
    batch, count, height, width = weights.shape
    by_grids = _stack(by_x, by_y).view(batch, height, width, count, 2).permute(0, 3, 4, 1, 2)
    return _image(torch.addcmul(upper, down, taps.y), weights), by_grids


def _stack(*parts: Tensor) -> Tensor:
    """torch.stack along a new last axis, four times as fast on CPU."""
    out = parts[0].new_empty(*parts[0].shape, len(parts))
    for i, part in enumerate(parts):
        out[..., i] = part
    return out


def _last(x: Tensor) -> Tensor:
    """(B, T, h, w) as rows (B * h * w, T)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _table(x: Tensor) -> Tensor:
    # The plain reshape of a permuted tensor copies 15 times slower than the change of memory format.
    return _last(x.contiguous(memory_format=torch.channels_last))


def _image(rows: Tensor, like: Tensor) -> Tensor:
    """Rows (B * h * w, C) as (B, C, h, w), batch and size taken from `like`; channels-last memory."""
    return rows.view(like.shape[0], *like.shape[2:], rows.shape[1]).permute(0, 3, 1, 2)


def _transposed_sum(out: Tensor, rows: Tensor, entries: Tensor, count: int) -> Tensor:
    """A transposed times `out`: (count, C)."""
    pixel, ends, entries = _transposed(rows.flatten(1), entries.flatten(1), count)
    entries = entries.to(out.dtype)
    return F.embedding_bag(pixel, out, ends, mode="sum", per_sample_weights=entries, include_last_offset=True)


def _transposed(rows: Tensor, entries: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A by its columns: output pixel of each entry, where each column ends (count + 1), and the entries."""
    length, per_pixel = rows.shape
    if rows.device.type == "cpu":  # counting, eight times as fast as sorting
        starts = np.arange(0, rows.numel() + 1, per_pixel, dtype=np.int32)
        matrix = csr_matrix((entries.flatten().numpy(), rows.flatten().numpy(), starts), (length, count)).tocsc()
        return tuple(torch.from_numpy(a) for a in (matrix.indices, matrix.indptr, matrix.data))
    ordered, order = torch.sort(rows.flatten(), stable=True)
    column = torch.arange(count + 1, dtype=torch.int32, device=rows.device)
    pixel = torch.div(order, per_pixel, rounding_mode="floor").to(torch.int32)
    return pixel, torch.searchsorted(ordered, column, out_int32=True), entries.flatten()[order]


def _row_products(out: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Inner product of each output pixel's gradient with every row it looked up: as `rows`."""
    flat = rows.flatten()
    pixel = torch.arange(len(out), dtype=torch.int32, device=rows.device)
    per_pixel = len(flat) // len(out)
    product = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return product(out, table, flat, pixel * per_pixel, pixel.repeat_interleave(per_pixel), 0).view_as(rows)
