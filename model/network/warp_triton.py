"""The warp as fused Triton kernels for CUDA: features are read where they are looked up, the result
is written once.

Convention and shapes are those of `model.warp`. Features are float32, bfloat16 or float16; places,
weights and sums are float32. A program takes a tile of output pixels; the forward also splits the
channels.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PIXELS, CHANNELS, WARPS = 16, 64, 8
"""Largest tile of output pixels and of channels, and the warps that share it. Compiled for sm_75 to
sm_90 the backward pass takes at most 80 registers, and nothing spills at widths that are no
multiples of 16 either (``benchmarks/kernels.py``; 32 x 64 with four warps took 250, and spilled 1
to 2 KB there)."""


@triton.jit
def _neighbours(place, size):
    """Share of the higher of two neighbouring pixels, both indices, and 1 inside the border, else
    0."""
    position = ((place + 1) * size - 1) * 0.5
    inside = ((position > 0) & (position < size - 1)).to(tl.float32)
    position = tl.minimum(tl.maximum(position, 0.0), size - 1.0)
    low = tl.minimum(tl.maximum(position.to(tl.int32), 0), size - 1)
    return position - low.to(tl.float32), low, tl.minimum(low + 1, size - 1), inside


@triton.jit
def _lookup(grids, pixel, t, inside, T, height, width, first):
    """One lookup of every pixel: the shares x and y, rows of the four pixels around it, whether x
    and y may move."""
    at = (pixel * T + t) * 2
    x, left, right, x_free = _neighbours(tl.load(grids + at, mask=inside, other=0.0), width)
    y, top, bottom, y_free = _neighbours(tl.load(grids + at + 1, mask=inside, other=0.0), height)
    top, bottom = first + top * width, first + bottom * width
    return x, y, top + left, top + right, bottom + left, bottom + right, x_free, y_free


@triton.jit
def _forward_kernel(
    features,
    grids,
    weights,
    out,
    pixels,
    area,
    batch,
    height,
    width,
    T,
    per_image,
    C,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = pixel < pixels
    mask = inside[:, None] & (channel < C)[None, :]
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for t in range(T):
        first = ((t // per_image) * batch + pixel // area) * height * width
        x, y, a, b, c, d, _, _ = _lookup(grids, pixel, t, inside, T, height, width, first)
        weight = tl.load(weights + pixel * T + t, mask=inside, other=0.0)
        right, lower = weight * x, weight * y
        lower_right = right * y
        total += (
            tl.load(features + a[:, None] * C + channel[None, :], mask=mask, other=0.0).to(
                tl.float32
            )
            * (weight - right - lower + lower_right)[:, None]
        )
        total += (
            tl.load(features + b[:, None] * C + channel[None, :], mask=mask, other=0.0).to(
                tl.float32
            )
            * (right - lower_right)[:, None]
        )
        total += (
            tl.load(features + c[:, None] * C + channel[None, :], mask=mask, other=0.0).to(
                tl.float32
            )
            * (lower - lower_right)[:, None]
        )
        total += (
            tl.load(features + d[:, None] * C + channel[None, :], mask=mask, other=0.0).to(
                tl.float32
            )
            * (lower_right[:, None])
        )
    tl.store(out + pixel[:, None] * C + channel[None, :], total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _product(features, by_features, gradient, row, entry, channel, mask, C, SCATTER: tl.constexpr):
    """Sum over channels of gradient * features[row]; adds entry * gradient to by_features[row]
    where asked for."""
    at = row[:, None] * C + channel[None, :]
    if SCATTER:
        tl.atomic_add(by_features + at, gradient * entry[:, None], mask=mask, sem="relaxed")
    return tl.sum(gradient * tl.load(features + at, mask=mask, other=0.0).to(tl.float32), axis=1)


@triton.jit
def _backward_kernel(
    gradient,
    features,
    grids,
    weights,
    by_features,
    by_grids,
    by_weights,
    pixels,
    area,
    batch,
    height,
    width,
    T,
    per_image,
    C,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
    SCATTER: tl.constexpr,
):
    pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)).to(tl.int64)
    inside = pixel < pixels
    for t in range(T):
        first = ((t // per_image) * batch + pixel // area) * height * width
        x, y, a, b, c, d, x_free, y_free = _lookup(grids, pixel, t, inside, T, height, width, first)
        weight = tl.load(weights + pixel * T + t, mask=inside, other=0.0)
        right, lower = weight * x, weight * y
        lower_right = right * y
        at_a = tl.zeros((PIXELS,), tl.float32)
        at_b, at_c, at_d = at_a, at_a, at_a
        for start in range(0, C, CHANNELS):
            channel = start + tl.arange(0, CHANNELS)
            mask = inside[:, None] & (channel < C)[None, :]
            g = tl.load(gradient + pixel[:, None] * C + channel[None, :], mask=mask, other=0.0).to(
                tl.float32
            )
            whole = weight - right - lower + lower_right
            at_a += _product(features, by_features, g, a, whole, channel, mask, C, SCATTER)
            at_b += _product(
                features, by_features, g, b, right - lower_right, channel, mask, C, SCATTER
            )
            at_c += _product(
                features, by_features, g, c, lower - lower_right, channel, mask, C, SCATTER
            )
            at_d += _product(features, by_features, g, d, lower_right, channel, mask, C, SCATTER)
        upper, under = at_a + x * (at_b - at_a), at_c + x * (at_d - at_c)
        across = (at_b - at_a) * (1 - y) + (at_d - at_c) * y
        at = pixel * T + t
        tl.store(by_weights + at, upper + y * (under - upper), mask=inside)
        tl.store(by_grids + at * 2, across * weight * x_free * (width * 0.5), mask=inside)
        tl.store(
            by_grids + at * 2 + 1, (under - upper) * weight * y_free * (height * 0.5), mask=inside
        )


@torch.library.custom_op("fittingroom::warp", mutates_args=())
def warp_op(features: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """The warp's result, in the features' dtype and channels-last memory."""
    table, places, shares = _rows(features, grids, weights)
    out = _new_image(weights, features.shape[1], features.dtype)
    pixels, tile = shares.shape[0] * shares.shape[1] * shares.shape[2], _tile(features)
    programs = (triton.cdiv(pixels, PIXELS), triton.cdiv(features.shape[1], tile))
    _forward_kernel[programs](
        table,
        places,
        shares,
        out,
        *_sizes(features, weights),
        PIXELS=PIXELS,
        CHANNELS=tile,
        num_warps=WARPS,
    )
    return out


@torch.library.custom_op("fittingroom::warp_backward", mutates_args=())
def warp_backward_op(
    gradient: Tensor, features: Tensor, grids: Tensor, weights: Tensor, scatter: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of features, grids and weights. Without `scatter` that of the features is left 0.

    Scattering adds with atomics, in an order that changes from run to run; it sums in float32 for
    every dtype.
    """
    table, places, shares = _rows(features, grids, weights)
    out = gradient.contiguous(memory_format=torch.channels_last)
    by_features = torch.zeros_like(table, dtype=torch.float32)
    by_grids, by_weights = torch.empty_like(places), torch.empty_like(shares)
    sizes, tile = _sizes(features, weights), _tile(features)
    _backward_kernel[(triton.cdiv(sizes[0], PIXELS),)](
        out,
        table,
        places,
        shares,
        by_features,
        by_grids,
        by_weights,
        *sizes,
        PIXELS=PIXELS,
        CHANNELS=tile,
        SCATTER=scatter,
        num_warps=WARPS,
    )
    to_features = by_features.to(features.dtype)
    return to_features, by_grids.permute(0, 3, 4, 1, 2), by_weights.permute(0, 3, 1, 2)


@warp_op.register_fake
def _(features, grids, weights):
    return _new_image(weights, features.shape[1], features.dtype)


@warp_backward_op.register_fake
def _(gradient, features, grids, weights, scatter):
    batch, count, height, width = weights.shape
    by_features = torch.empty_like(features, memory_format=torch.channels_last)
    by_grids = grids.new_empty(batch, height, width, count, 2).permute(0, 3, 4, 1, 2)
    return by_features, by_grids, _new_image(weights, count, weights.dtype)


def _keep(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, gradient):
    features, grids, weights = ctx.saved_tensors
    ordered = torch.are_deterministic_algorithms_enabled()
    grads = warp_backward_op(
        gradient, features, grids, weights, ctx.needs_input_grad[0] and not ordered
    )
    if ordered and ctx.needs_input_grad[0]:
        from model.network.warp import features_gradient  # which imports this module

        grads = (features_gradient(gradient, features, grids, weights), *grads[1:])
    return grads


warp_op.register_autograd(_backward, setup_context=_keep)


def _rows(features: Tensor, grids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Channels-last features, places (B, h, w, T, 2) and weights (B, h, w, T) in float32, each
    contiguous so."""
    table = features.contiguous(memory_format=torch.channels_last)
    places = grids.float().permute(0, 3, 4, 1, 2).contiguous()
    return table, places, weights.float().permute(0, 2, 3, 1).contiguous()


def _sizes(features: Tensor, weights: Tensor) -> tuple[int, ...]:
    batch, count, *size = weights.shape
    area = size[0] * size[1]
    per_image = count // (features.shape[0] // batch)
    return batch * area, area, batch, *features.shape[2:], count, per_image, features.shape[1]


def _tile(features: Tensor) -> int:
    return min(CHANNELS, triton.next_power_of_2(features.shape[1]))


def _new_image(like: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    batch, _, height, width = like.shape
    return like.new_empty(batch, height, width, channels, dtype=dtype).permute(0, 3, 1, 2)
