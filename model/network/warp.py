"""The attention-weighted warp: an image or feature map looked up at K places per pixel and
averaged.

Convention. Warping is backward: each output pixel looks up the source. A flow is in pixels, x then
y. A grid holds absolute positions in [-1, 1], x then y, for sampling with ``align_corners=False``:
-1 and 1 are the outer edges of the first and last pixel. Positions outside the source take its
border pixel.

The published weights were trained with a mismatch, which has to stay: `absolute_grids` normalises
    with the formula of
``align_corners=True``, while every sampling and resizing uses False. Zero flow is therefore no
identity but a zoom by size / (size - 1) about the centre, half a pixel at the border, and it
compounds where grids are composed.

Shapes: features (S * B, C, H, W), flows and grids (B, T, 2, h, w), weights (B, T, h, w), where T =
    S * K. S images of
each sample are stacked along the batch (all first images, then all second ones); grid t reads image
t // K.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from model.network.torch_internals import bag_weights_backward
from pipeline.base.errors import Notice

LOOKUPS_AT_ONCE = 1 << 17
"""Places of the sparse product that are worked on together on a CPU: 2 MB for each array of four
taps."""


def absolute_grids(flows: Tensor, exact: bool = False) -> Tensor:
    """Grids (B, K, 2, h, w) of identity + flow, normalised as 2 * position / (size - 1) - 1 (see
    the mismatch above).

    Args:
        flows: (B, K, 2, h, w) in pixels, x then y.
        exact: normalise as (2 * position + 1) / size - 1 instead, which makes zero flow the
            identity.
    """
    height, width = flows.shape[-2:]
    x = (
        torch.arange(width, dtype=flows.dtype, device=flows.device)
        .view(1, 1, 1, width)
        .expand(1, 1, height, width)
    )
    y = (
        torch.arange(height, dtype=flows.dtype, device=flows.device)
        .view(1, 1, height, 1)
        .expand(1, 1, height, width)
    )
    places = flows + torch.stack((x, y), dim=2)
    sides = (width, height) if exact else (max(width - 1, 1), max(height - 1, 1))
    # Filled on the device: a copy from the host would wait for it, and cannot be captured in a CUDA
    # graph.
    size = torch.stack([flows.new_full((), side) for side in sides]).view(1, 1, 2, 1, 1)
    return (2 * places + 1) / size - 1 if exact else 2 * places / size - 1


def compose(grids: Tensor, flows: Tensor, exact: bool = False) -> Tensor:
    """Each of K grids sampled at identity + its flow: where the looked-up pixel itself looks. All
    (B, K, 2, h, w)."""
    places = absolute_grids(flows, exact).flatten(0, 1).permute(0, 2, 3, 1)
    return looked_up(grids.flatten(0, 1), places).unflatten(0, grids.shape[:2])


def looked_up(images: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples of (N, C, H, W) at places (N, h, w, 2), border padding: (N, C, h, w).

    A place that is NaN gives NaN. On a CPU torch would read and write at an arbitrary address
    there, which ends the process: a training that diverges has to be told, not killed.
    """
    if places.is_cuda or torch.jit.is_tracing():  # CUDA's kernel clamps; exports stay plain
        return F.grid_sample(images, places, "bilinear", "border", align_corners=False)
    lost = places.isnan().any(3)[:, None]
    places = places.nan_to_num()
    sampled = F.grid_sample(images, places, "bilinear", "border", align_corners=False)
    return sampled.masked_fill(lost, torch.nan)


def warp(features: Tensor, grids: Tensor, weights: Tensor, method: str = "auto") -> Tensor:
    """Sum over t of weight_t * sample(features, grid_t): (B, C, h, w) in the features' dtype.

    Args:
        features: (S * B, C, H, W); fastest in channels-last memory.
        grids: (B, S * K, 2, h, w), float32 or float64.
        weights: (B, S * K, h, w), of the grids' dtype. They need not sum to 1.
        method: "plain" is the formula as it stands; "sparse" the same as one sparse matrix product;
            "triton" a fused kernel, of float32 and narrower; "auto" takes the kernel on CUDA where
            Triton is, else the product. The kernel's gradient of the features changes in its last
            bits from run to run, except under torch.use_deterministic_algorithms(True).
    """
    if method == "plain":
        return warp_plain(features, grids, weights)
    if method == "triton" or (
        method == "auto" and features.is_cuda and _kernel_takes(features, grids)
    ):
        from model.network.warp_triton import warp_op

        return warp_op(features, grids, weights)
    if torch.is_grad_enabled():
        return _sparse_with_gradient(features, grids, weights)
    return warp_sparse(features, grids, weights)


@torch.compiler.disable
def _sparse_with_gradient(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """Not compiled: its backward pass looks at values, so that each use would be compiled anew."""
    return SparseWarp.apply(features, grids, weights)


@torch.compiler.assume_constant_result
def _kernel_works(device: torch.device) -> bool:
    """Whether the kernels run on that device; once told in a note where they do not."""
    return not kernel_trouble(device)


@functools.cache
def kernel_trouble(device: torch.device) -> str:
    """Why Triton's kernels can't be used on a device, in a sentence; "" where they can.

    Triton compiles at the first launch, with a C compiler that a slim image may lack, for cards
    that may be too old for it: only a launch tells.
    """
    try:
        from model.network.warp_triton import warp_op

        with torch.inference_mode(False), torch.no_grad():
            _tiny_launch(warp_op, device)
    except ImportError as error:
        trouble = f"Triton can't be imported ({error})"
    except Exception as error:  # a compiler's, a driver's or Triton's own words
        trouble = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    else:
        return ""
    warnings.warn(
        f"The warp runs without Triton's kernels, more slowly and with more memory: {trouble} "
        "They need a C compiler (gcc) and a card of compute capability 7.0 or newer.",
        Notice,
        stacklevel=3,
    )
    return trouble


def _tiny_launch(warp_op: Callable[..., Tensor], device: torch.device) -> None:
    """One warp of a small picture by the kernel. RuntimeError where its result is wrong."""
    features = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32, device=device).view(2, 3, 4, 4)
    grids = absolute_grids(torch.zeros(1, 2, 2, 4, 4, device=device), exact=True)
    weights = torch.full((1, 2, 4, 4), 0.5, device=device)
    found = warp_op(features, grids, weights)
    if not torch.allclose(found, features.mean(0, keepdim=True), rtol=1e-4):
        raise RuntimeError("a small warp came out wrong.")


def _kernel_takes(features: Tensor, grids: Tensor) -> bool:
    fits = grids.dtype == torch.float32 and features.dtype != torch.float64
    return fits and _kernel_works(features.device)


def warp_plain(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The warp as its formula reads: the reference of the tests, and what exporters understand."""
    batch, count = weights.shape[:2]
    images = features.unflatten(0, (-1, batch))
    per_image = count // len(images)
    total = features.new_zeros(())
    for t in range(count):
        place = grids[:, t].permute(0, 2, 3, 1).to(features.dtype)
        sampled = looked_up(images[t // per_image], place)
        total = total + weights[:, t, None].to(features.dtype) * sampled
    return total


class SparseWarp(torch.autograd.Function):
    """The warp as out = A @ table: table holds a pixel's channels per row, A has 4 T entries per
    output pixel.

    Keeps features, grids and weights for the backward, nothing per flow. The gradient of the
    features is the product with A transposed, whose entries are ordered by row, so that it too is a
    weighted sum of rows, and deterministic.
    """

    @staticmethod
    def forward(ctx, features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(features, grids, weights)
        return warp_sparse(features, grids, weights)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        features, grids, weights = ctx.saved_tensors
        by_features, *by_others = ctx.needs_input_grad
        to_features, *to_others = _gradients(
            gradient, features, grids, weights, by_features, any(by_others)
        )
        return to_features, *(x if wanted else None for x, wanted in zip(to_others, by_others))


def features_gradient(gradient: Tensor, features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the features alone, from that of the result; the same bits in every run."""
    return _gradients(gradient, features, grids, weights, True, False)[0]


def _gradients(gradient, features, grids, weights, by_features: bool, by_others: bool):
    """Gradients by features, by grids and by weights, image by image; those not wanted are None."""
    out, count = _table(gradient), len(features) // len(grids)
    images, looks = features.chunk(count), grids.chunk(count, 1)
    total: Tensor | None = None
    totals: list[Tensor | None] = [None] * count
    if by_features and count > 1:  # one array from the start rather than parts to join
        total = out.new_zeros(features[:, 0].numel(), out.shape[1])
        totals = list(total.chunk(count))
    whole = _last(weights)
    to_weights = torch.empty_like(whole) if by_others else None
    to_grids = whole.new_empty(*whole.shape, 2) if by_others else None
    for i, (image, seen) in enumerate(zip(images, looks)):
        table, mine = _table(image), slice(i * seen.shape[1], (i + 1) * seen.shape[1])
        for part, taps in _parts(seen, image):
            share = whole[part, mine]
            if by_features:
                totals[i] = _add_transposed(
                    totals[i], out[part], taps.rows, _entries(taps, share), len(table)
                )
            if to_weights is not None and to_grids is not None:
                products = _row_products(out[part], table, taps.rows)
                to_weights[part, mine], to_grids[part, mine] = _slopes(
                    products, taps, share, image.shape[-2:]
                )
    total = totals[0] if total is None else total
    return (
        None if total is None else _image(total, features),
        None if to_grids is None else _grids(to_grids, grids),
        None if to_weights is None else _image(to_weights, weights),
    )


def warp_sparse(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The warp as one sparse matrix product, without a gradient."""
    table, whole = _table(features), _last(weights)
    looks = _looks(grids, features, whole)
    if (
        table.shape[1] > 8 * whole.shape[1]
    ):  # wide features: joining what is looked up copies less than joining results
        _, rows, entries = zip(*looks)
        looks = iter([(slice(0, len(whole)), _joined(rows), _joined(entries))])
    result: Tensor | None = None
    for part, columns, shares in looks:
        summed = F.embedding_bag(columns, table, mode="sum", per_sample_weights=shares)
        if len(summed) == len(whole):
            return _image(summed, weights)
        result = table.new_empty(len(whole), table.shape[1]) if result is None else result
        result[part] = summed
    assert result is not None  # there is a part at least
    return _image(result, weights)


def _looks(
    grids: Tensor, features: Tensor, whole: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Output pixels, some at a time, with A's columns and entries there, both (n, 4 T)."""
    for part, taps in _parts(grids, features):
        yield part, taps.rows.flatten(1), _entries(taps, whole[part]).to(features.dtype).flatten(1)


class Taps(NamedTuple):
    """What every lookup reads; N = B * h * w output pixels, T lookups each.

    rows (N, T, 4) int32 are the four pixels around a place: top left, top right, bottom left,
    bottom right. x and y (N, T) are the shares of the right and of the lower ones; x_inside and
    y_inside are False beyond the border, where a place may move without effect.
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    x_inside: Tensor
    y_inside: Tensor


def _parts(grids: Tensor, features: Tensor) -> Iterator[tuple[slice, Taps]]:
    """Output pixels, some at a time, with their taps: what is made of them stays small, and near
    the processor."""
    places = grids.permute(0, 3, 4, 1, 2).reshape(-1, grids.shape[1], 2)
    step = max(1, LOOKUPS_AT_ONCE // grids.shape[1]) if places.device.type == "cpu" else len(places)
    each = len(places) // len(grids)
    for start in range(0, len(places), step):
        part = slice(start, min(start + step, len(places)))
        sample = (
            torch.arange(part.start, part.stop, dtype=torch.int32, device=places.device) // each
        )
        yield part, _taps(places[part], sample, features, len(grids))


def _taps(places: Tensor, sample: Tensor, features: Tensor, batch: int) -> Taps:
    """Taps of places (N, T, 2), the looks of N output pixels of the samples (N,) out of `batch`."""
    height, width = features.shape[-2:]
    count = places.shape[1]
    x, left, right, x_inside = _neighbours(places[..., 0], width)
    y, top, bottom, y_inside = _neighbours(places[..., 1], height)
    per_image = count // (len(features) // batch)
    image = torch.arange(count, dtype=torch.int32, device=places.device) // per_image * batch
    first = (sample[:, None] + image) * (height * width)
    top, bottom = torch.add(first, top, alpha=width), torch.add(first, bottom, alpha=width)
    return Taps(
        _stack(top + left, top + right, bottom + left, bottom + right), x, y, x_inside, y_inside
    )


def _neighbours(place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Share of the higher of two neighbouring pixels, both indices (int32), and whether inside,
    along one axis."""
    position = torch.add((size - 1) / 2, place, alpha=size / 2)
    inside = (position > 0) & (position < size - 1)
    position = position.clamp_(0, size - 1)
    low = position.to(torch.int32).clamp_(
        0, size - 1
    )  # clamped again, for a NaN that a diverged training makes
    return position - low, low, (low + 1).clamp_(max=size - 1), inside


def _entries(taps: Taps, whole: Tensor) -> Tensor:
    """The entries of A, (N, T, 4), from the weights (N, T): weight times bilinear share."""
    right = whole * taps.x
    lower, lower_right = whole * taps.y, right * taps.y
    upper_right, lower_left = right - lower_right, lower - lower_right
    return _stack(whole - right - lower_left, upper_right, lower_left, lower_right)


def _slopes(
    products: Tensor, taps: Taps, whole: Tensor, size_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Gradients by weights (N, T) and by grids (N, T, 2), from the gradient by each entry, (N, T,
    4)."""
    upper_left, upper_right, lower_left, lower_right = products.to(whole.dtype).unbind(-1)
    upper_step, lower_step = upper_right - upper_left, lower_right - lower_left
    upper, lower = (
        torch.addcmul(upper_left, upper_step, taps.x),
        torch.addcmul(lower_left, lower_step, taps.x),
    )
    down = lower - upper
    by_x = (
        torch.lerp(upper_step, lower_step, taps.y)
        .mul_(whole)
        .mul_(taps.x_inside)
        .mul_(size_hw[1] / 2)
    )
    by_y = (down * whole).mul_(taps.y_inside).mul_(size_hw[0] / 2)
    return torch.addcmul(upper, down, taps.y), _stack(by_x, by_y)


def _joined(parts: tuple[Tensor, ...], axis: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


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
    # The plain reshape of a permuted tensor copies 15 times slower than the change of memory
    # format.
    return _last(x.contiguous(memory_format=torch.channels_last))


def _image(rows: Tensor, like: Tensor) -> Tensor:
    """Rows (B * h * w, C) as (B, C, h, w), batch and size taken from `like`; channels-last
    memory."""
    return rows.view(like.shape[0], *like.shape[2:], rows.shape[1]).permute(0, 3, 1, 2)


def _grids(rows: Tensor, like: Tensor) -> Tensor:
    """Rows (B * h * w, T, 2) as grids (B, T, 2, h, w)."""
    batch, count, _, height, width = like.shape
    return rows.view(batch, height, width, count, 2).permute(0, 3, 4, 1, 2)


def _transposed_sum(out: Tensor, rows: Tensor, entries: Tensor, count: int) -> Tensor:
    """A transposed times `out`: (count, C)."""
    pixel, ends, entries = _transposed(rows.flatten(1), entries.flatten(1), count)
    entries = entries.to(out.dtype)
    return F.embedding_bag(
        pixel, out, ends, mode="sum", per_sample_weights=entries, include_last_offset=True
    )


def _add_transposed(
    total: Tensor | None, out: Tensor, rows: Tensor, entries: Tensor, count: int
) -> Tensor:
    """total + A transposed times `out`, where total None stands for zeros; adds to the rows that
    are looked up."""
    low, high = 0, count - 1
    if rows.device.type == "cpu":  # elsewhere asking would wait for the device
        low, high = (int(x) for x in rows.aminmax())
    part = _transposed_sum(out, rows - low if low else rows, entries, high + 1 - low)
    if total is None and len(part) == count:
        return part
    total = out.new_zeros(count, out.shape[1]) if total is None else total
    total[low : high + 1] += part
    return total


def _transposed(rows: Tensor, entries: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A by its columns: output pixel of each entry, where each column ends (count + 1), and the
    entries."""
    length, per_pixel = rows.shape
    if rows.device.type == "cpu":  # counting, eight times as fast as sorting
        starts = np.arange(0, rows.numel() + 1, per_pixel, dtype=np.int32)
        matrix = csr_matrix(
            (entries.flatten().numpy(), rows.flatten().numpy(), starts), (length, count)
        ).tocsc()
        return (
            torch.from_numpy(matrix.indices),
            torch.from_numpy(matrix.indptr),
            torch.from_numpy(matrix.data),
        )
    ordered, order = torch.sort(rows.flatten(), stable=True)
    column = torch.arange(count + 1, dtype=torch.int32, device=rows.device)
    pixel = torch.div(order, per_pixel, rounding_mode="floor").to(torch.int32)
    return pixel, torch.searchsorted(ordered, column, out_int32=True), entries.flatten()[order]


def _row_products(out: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Inner product of each output pixel's gradient with every row it looked up: as `rows`."""
    flat = rows.flatten()
    pixel = torch.arange(len(out), dtype=torch.int32, device=rows.device)
    per_pixel = len(flat) // len(out)
    bags = pixel.repeat_interleave(per_pixel)
    return bag_weights_backward(out, table, flat, pixel * per_pixel, bags).view_as(rows)
