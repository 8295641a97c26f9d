"""Convolutions that keep little for the backward pass: an input that is cheap to make is made again, not kept.

Nothing here recomputes a convolution larger than 1x1, and running statistics are touched once, in the forward pass.
Under autocast the arithmetic runs in its dtype, as torch's own operations would.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormReluConv(torch.autograd.Function):
    """Convolution of ReLU of BatchNorm: keeps the input and the statistics, not the two maps in between."""

    @staticmethod
    def forward(ctx, x, scale, shift, mean, variance, training, momentum, eps, kernel, stride, padding):
        ctx.stride, ctx.padding, ctx.training, ctx.eps = stride, padding, training, eps
        dtype = _dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            z, used_mean, used_deviation = torch.native_batch_norm(
                x, scale, shift, mean, variance, training, momentum, eps
            )
            out = F.conv2d(z.relu_().to(dtype), kernel.to(dtype), None, stride, padding)
        if not training:  # the buffers may change before the backward
            used_mean, used_deviation = mean.clone(), torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, scale, shift, used_mean, used_deviation, kernel)
        return out

    @staticmethod
    def backward(ctx, gradient):
        x, scale, shift, mean, deviation, kernel = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            factor = scale * deviation
            z = _affine(x, factor, shift - mean * factor).relu_()
            wanted = (True, True, False)
            by_z, by_kernel, _ = _convolution_backward(gradient, z, kernel, ctx.stride, ctx.padding, wanted)
            by_z = torch.ops.aten.threshold_backward(by_z, z, 0).to(x.dtype)
            statistics = (None, None, mean, deviation) if ctx.training else (mean, deviation**-2 - ctx.eps, None, None)
            by_x, by_scale, by_shift = torch.ops.aten.native_batch_norm_backward(
                by_z, x, scale, *statistics, ctx.training, ctx.eps, (True, True, True)
            )
        return by_x, by_scale, by_shift, None, None, None, None, None, by_kernel, None, None


class RemadeConv(torch.autograd.Function):
    """Convolution of x, stride 1, that keeps what x was made of in x's place.

    The gradient of x goes back the ordinary way, through the graph that made it.
    """

    @staticmethod
    def forward(ctx, make, x, kernel, bias, *sources):
        ctx.make = make
        ctx.save_for_backward(kernel, bias, *sources)
        dtype = _dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.to(dtype), kernel.to(dtype), bias.to(dtype), padding=kernel.shape[-1] // 2)

    @staticmethod
    def backward(ctx, gradient):
        kernel, bias, *sources = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            x = ctx.make(*sources)
            grads = _convolution_backward(gradient, x, kernel, 1, kernel.shape[-1] // 2, (True, True, True))
        return None, *grads, *(None for _ in sources)


def norm_relu_conv(x: Tensor, norm: nn.Module, conv: nn.Conv2d, lean: bool = True) -> Tensor:
    """conv(relu(norm(x))). Lean only for BatchNorm2d with running statistics, not for what may replace it."""
    if not (lean and torch.is_grad_enabled() and type(norm) is nn.BatchNorm2d and norm.track_running_stats):
        return conv(F.relu(norm(x), inplace=True))
    if norm.training:
        norm.num_batches_tracked.add_(1)
    return NormReluConv.apply(
        x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.training, norm.momentum, norm.eps,
        conv.weight, conv.stride[0], conv.padding[0],
    )  # fmt: skip


def remade_conv(conv: nn.Conv2d, x: Tensor, make: Callable[..., Tensor], *sources: Tensor, lean: bool = True) -> Tensor:
    """conv(x), for an x that equals make(*sources) and needs no keeping. `make` holds no tensors of its own."""
    if not (lean and torch.is_grad_enabled()):
        return conv(x)
    return RemadeConv.apply(make, x, conv.weight, conv.bias, *sources)


def _dtype(x: Tensor) -> torch.dtype:
    """What a convolution of x is computed in here: autocast's dtype, where it is on, spares float64 alone."""
    kind = x.device.type
    on = torch.is_autocast_enabled(kind) and x.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if on else x.dtype


def _affine(x: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    shape = (1, -1, 1, 1)
    return torch.addcmul(shift.view(shape), x, factor.view(shape))


def _convolution_backward(gradient, x, kernel, stride, padding, wanted):
    """Gradients by input, kernel and bias, computed in the gradient's dtype, returned in those of x and kernel."""
    dtype = gradient.dtype
    by_x, by_kernel, by_bias = torch.ops.aten.convolution_backward(
        gradient, x.to(dtype), kernel.to(dtype), [len(kernel)], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
        wanted,
    )  # fmt: skip
    return by_x.to(x.dtype), by_kernel.to(kernel.dtype), None if by_bias is None else by_bias.to(kernel.dtype)
