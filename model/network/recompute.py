"""Convolutions that keep little for the backward pass: an input that is cheap to make is made
again, not kept.

Running statistics are touched once, in the first forward pass.
Under autocast the arithmetic runs in its dtype, as torch's own operations would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.network.torch_internals import batch_norm_backward, convolution_backward, relu_backward


class NormReluConv(torch.autograd.Function):
    """Convolution of ReLU of BatchNorm: keeps the input and the statistics, not the two maps in
    between."""

    @staticmethod
    def forward(
        ctx, x, scale, shift, mean, variance, training, momentum, eps, kernel, stride, padding
    ):
        ctx.stride, ctx.padding, ctx.training, ctx.eps = stride, padding, training, eps
        dtype = compute_dtype(x)
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
            by_z, by_kernel, _ = _convolution_backward(
                gradient, z, kernel, ctx.stride, ctx.padding, wanted
            )
            by_z = relu_backward(by_z, z).to(x.dtype)
            statistics = (
                (None, None, mean, deviation)
                if ctx.training
                else (mean, deviation**-2 - ctx.eps, None, None)
            )
            by_x, by_scale, by_shift = batch_norm_backward(
                by_z, x, scale, statistics, ctx.training, ctx.eps
            )
        return by_x, by_scale, by_shift, None, None, None, None, None, by_kernel, None, None


class Remade(NamedTuple):
    """A map and how to make it again: image equals make(*sources). `make` holds no tensors of its
    own."""

    image: Tensor
    make: Callable[..., Tensor]
    sources: tuple[Tensor, ...]

    @classmethod
    def of(cls, make: Callable[..., Tensor], *sources: Tensor) -> Remade:
        return cls(make(*sources), make, sources)


class RemadeConv(torch.autograd.Function):
    """`split_conv` of maps that need no keeping: keeps what they were made of in their place.

    Their gradients go back the ordinary way, through the graphs that made them.
    """

    @staticmethod
    def forward(ctx, makers, kernel, bias, *tensors):
        images, sources = tensors[: len(makers)], tensors[len(makers) :]
        ctx.makers, ctx.widths = makers, [image.shape[1] for image in images]
        ctx.save_for_backward(kernel, bias, *sources)
        dtype = compute_dtype(images[0])
        with torch.autocast(images[0].device.type, enabled=False):
            return split_conv(
                kernel.to(dtype), bias.to(dtype), [image.to(dtype) for image in images]
            )

    @staticmethod
    def backward(ctx, gradient):
        kernel, _, *sources = ctx.saved_tensors
        rest, by_kernels, by_images, by_bias = iter(sources), [], [], None
        with torch.autocast(gradient.device.type, enabled=False):
            makers = [
                partial(make, *(next(rest) for _ in range(count))) for make, count in ctx.makers
            ]
            if _join(kernel, gradient):
                image = torch.cat([make() for make in makers], 1)
                by_all, by_kernel, by_bias = _convolution_backward(
                    gradient, image, kernel, 1, _half(kernel)
                )
                return (
                    None,
                    by_kernel,
                    by_bias,
                    *by_all.split(ctx.widths, 1),
                    *(None for _ in sources),
                )
            for make, part in zip(makers, kernel.split(ctx.widths, 1)):
                wanted = (True, True, by_bias is None)
                by_image, by_part, by_this = _convolution_backward(
                    gradient, make(), part, 1, _half(kernel), wanted
                )
                by_images.append(by_image)
                by_kernels.append(by_part)
                by_bias = by_this if by_bias is None else by_bias
        return None, torch.cat(by_kernels, 1), by_bias, *by_images, *(None for _ in sources)


def norm_relu_conv(
    x: Tensor, norm: nn.Module, conv: nn.Conv2d, lean: bool = True, first: bool = True
) -> Tensor:
    """conv(relu(norm(x))). Lean only where `is_plain` holds; without `first`, running statistics
    stay as they are."""
    if not (lean and torch.is_grad_enabled() and is_plain(norm)):
        return conv(F.relu(norm(x), inplace=True))
    moving = norm.training and first
    if moving and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    running = (norm.running_mean, norm.running_var) if moving or not norm.training else (None, None)
    return NormReluConv.apply(
        x,
        norm.weight,
        norm.bias,
        *running,
        norm.training,
        norm.momentum,
        norm.eps,
        conv.weight,
        conv.stride[0],
        conv.padding[0],
    )


def is_plain(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether it is BatchNorm2d with running statistics, not what may replace it."""
    return type(norm) is nn.BatchNorm2d and norm.track_running_stats


def as_conv(module: nn.Module) -> nn.Conv2d:
    """The same module: torch's containers do not tell what type they hold."""
    assert isinstance(module, nn.Conv2d)
    return module


def made_again(run: Callable[[Tensor, bool], Tensor], x: Tensor) -> Tensor:
    """run(x, first), nothing inside kept: the backward pass runs it again, then with `first`
    False."""
    first = iter((True,))
    return checkpoint(
        lambda x: run(x, next(first, False)), x, use_reentrant=False, preserve_rng_state=False
    )


def remade_conv(conv: nn.Conv2d, *maps: Remade, lean: bool = True) -> Tensor:
    """conv of the maps side by side (stride 1); lean keeps what they were made of, not the maps."""
    images = [x.image for x in maps]
    if not (lean and torch.is_grad_enabled()):
        return split_conv(conv.weight, conv.bias, images)
    makers = tuple((x.make, len(x.sources)) for x in maps)
    return RemadeConv.apply(
        makers, conv.weight, conv.bias, *images, *(s for x in maps for s in x.sources)
    )


def split_conv(kernel: Tensor, bias: Tensor | None, images: Sequence[Tensor]) -> Tensor:
    """Convolution of images side by side, (B, C, H, W) each. Large ones are not joined but meet
    parts of the kernel."""
    if _join(kernel, images[0]):
        return F.conv2d(torch.cat(list(images), 1), kernel, bias, padding=_half(kernel))
    parts = kernel.split([image.shape[1] for image in images], 1)
    out = F.conv2d(images[0], parts[0], bias, padding=_half(kernel))
    for image, part in zip(images[1:], parts[1:]):
        out = out.add_(F.conv2d(image, part, padding=_half(kernel)))
    return out


def _join(kernel: Tensor, image: Tensor) -> bool:
    """Whether to copy images into one, rather than the kernel into parts: what has fewer
    numbers."""
    return image[:, 0].numel() < len(kernel) * kernel[0, 0].numel()


def _half(kernel: Tensor) -> int:
    return kernel.shape[-1] // 2


def compute_dtype(x: Tensor) -> torch.dtype:
    """What a convolution of x is computed in here: autocast's dtype, where it is on, spares float64
    alone."""
    kind = x.device.type
    on = torch.is_autocast_enabled(kind) and x.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if on else x.dtype


def _affine(x: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    shape = (1, -1, 1, 1)
    return torch.addcmul(shift.view(shape), x, factor.view(shape))


def _convolution_backward(gradient, x, kernel, stride, padding, wanted=(True, True, True)):
    """Gradients by input, kernel and bias, computed in the gradient's dtype, returned in those of x
    and kernel."""
    dtype = gradient.dtype
    by_x, by_kernel, by_bias = convolution_backward(
        gradient,
        x.to(dtype),
        kernel.to(dtype),
        stride=stride,
        padding=padding,
        wanted=wanted,
    )
    return (
        by_x.to(x.dtype),
        by_kernel.to(kernel.dtype),
        None if by_bias is None else by_bias.to(kernel.dtype),
    )
