"""A 3x3 convolution of (1x1 convolution of x) + (coarser map, enlarged), without making that sum.

Each term goes through a convolution of its own. The two convolutions of x are one with a 3x3 kernel
for x's channels.
An enlarged map repeats each pixel, so that a 3x3 kernel meets only 2x2 different ones: that is a
    transposed
convolution of the small map with a 4x4 kernel and stride 2, four products per channel and output
pixel in place of nine. Equal up to rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.recompute import compute_dtype
from model.network.torch_internals import convolution_backward

WORTH = 0.8
"""Share of the multiplications that may be left for folding to pay for its additions."""


def folding_pays(adaptive: nn.Conv2d, smooth: nn.Conv2d) -> bool:
    """Whether fewer multiplications are left, from 1x1 and 3x3 convolutions of those widths."""
    inputs, width = adaptive.in_channels, adaptive.out_channels
    plain, folded = inputs * width + 9 * width * width, 9 * inputs * width + 4 * width * width
    return smooth.kernel_size == (3, 3) and folded < WORTH * plain


def folded_conv(x: Tensor, coarser: Tensor, adaptive: nn.Conv2d, smooth: nn.Conv2d) -> Tensor:
    """smooth(adaptive(x) + coarser enlarged twice by repeating pixels): (B, O, h, w).

    Args:
        x: (B, C, h, w).
        coarser: (B, W, h / 2, w / 2).
        adaptive: 1x1 convolution from C to W channels, with a bias.
        smooth: 3x3 convolution from W to O channels, padded by 1, with a bias.
    """
    tensors = (x, coarser, adaptive.weight, adaptive.bias, smooth.weight, smooth.bias)
    return FoldedConv.apply(*tensors) if torch.is_grad_enabled() else _forward(*tensors)


class FoldedConv(torch.autograd.Function):
    """`folded_conv` that keeps x and the coarser map alone."""

    @staticmethod
    def forward(ctx, *tensors):
        ctx.save_for_backward(*tensors[:5])
        return _forward(*tensors)

    @staticmethod
    def backward(ctx, gradient):
        x, coarser, adaptive, bias, smooth = ctx.saved_tensors
        dtype = gradient.dtype
        with torch.autocast(x.device.type, enabled=False):
            small, large = folded_kernels(adaptive, smooth)
            lifted = _lifted(coarser, bias, dtype)
            by_x, by_small, by_bias = convolution_backward(
                gradient,
                x.to(dtype),
                small.to(dtype),
                stride=1,
                padding=1,
                wanted=(True, True, True),
            )
            assert by_bias is not None
            by_coarser, by_large, _ = convolution_backward(
                gradient,
                lifted,
                large.to(dtype),
                stride=2,
                padding=1,
                wanted=(True, True, False),
                transposed=True,
            )
            by_small, by_large = (
                by_small.to(smooth.dtype),
                by_large.to(smooth.dtype).transpose(0, 1),
            )
            by_adaptive = torch.einsum("ochv,owhv->wc", by_small, smooth)[..., None, None]
            by_smooth = torch.einsum("ochv,wc->owhv", by_small, adaptive.flatten(1))
            by_smooth = by_smooth + _three_taps(_three_taps(by_large, 2), 3)
            by_lift = by_coarser.sum((0, 2, 3), dtype=torch.promote_types(dtype, torch.float32)).to(
                bias.dtype
            )
        return (
            by_x.to(x.dtype),
            by_coarser.to(coarser.dtype),
            by_adaptive,
            by_lift,
            by_smooth,
            by_bias.to(smooth.dtype),
        )


def folded_kernels(adaptive: Tensor, smooth: Tensor) -> tuple[Tensor, Tensor]:
    """Kernels (O, C, 3, 3) for x and (W, O, 4, 4), transposed, for the coarser map, from (W, C, 1,
    1), (O, W, 3, 3)."""
    small = torch.einsum("owhv,wc->ochv", smooth, adaptive.flatten(1))
    return small, _four_taps(_four_taps(smooth, 2), 3).transpose(0, 1)


def _four_taps(kernel: Tensor, axis: int) -> Tensor:
    """Along one axis: what a transposed convolution needs in place of three taps over repeated
    pixels."""
    first, middle, last = kernel.unbind(axis)
    return torch.stack((last, middle + last, first + middle, first), axis)


def _three_taps(gradient: Tensor, axis: int) -> Tensor:
    """The gradient by what `_four_taps` was made of."""
    a, b, c, d = gradient.unbind(axis)
    return torch.stack((c + d, b + c, a + b), axis)


def _forward(x, coarser, adaptive, lift, smooth, bias):
    dtype = compute_dtype(x)
    with torch.autocast(x.device.type, enabled=False):
        small, large = folded_kernels(adaptive, smooth)
        out = F.conv2d(x.to(dtype), small.to(dtype), bias.to(dtype), padding=1)
        return out.add_(
            F.conv_transpose2d(_lifted(coarser, lift, dtype), large.to(dtype), stride=2, padding=1)
        )


def _lifted(coarser: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """The coarser map with the 1x1 convolution's bias, which is the same everywhere, so before
    enlarging too."""
    return coarser.to(dtype) + bias.to(dtype).view(1, -1, 1, 1)
