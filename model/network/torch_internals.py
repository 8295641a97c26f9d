"""Operators of torch that its documentation does not promise, in one place.

They are what autograd itself calls in a backward pass, so they are as old and as steady as it; all
the same another torch may change them. ``tests/test_torch_internals.py`` holds each to autograd and
names the one that broke.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

WITHOUT_AVX512 = ("AVX2", "DEFAULT")


def convolution_backward(
    gradient: Tensor,
    x: Tensor,
    kernel: Tensor,
    *,
    stride: int,
    padding: int,
    wanted: tuple[bool, bool, bool],
    transposed: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of a convolution by input, kernel and bias; those that are not ``wanted`` are None.

    Args:
        gradient: (B, C', h, w), of the result. x: (B, C, H, W). kernel: (C', C, k, k), of a
            transposed one (C, C', k, k).
    """

    def by(gradient: Tensor, x: Tensor, kernel: Tensor, wanted: Sequence[bool]):
        biases = [gradient.shape[1]] if wanted[2] else None
        shape = ([stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], 1)
        return torch.ops.aten.convolution_backward(gradient, x, kernel, biases, *shape, wanted)

    if not (wanted[0] and wanted[1] and _in_two_layouts(x)):
        return by(gradient, x, kernel, wanted)
    by_x, _, _ = by(gradient, x, kernel, (True, False, False))
    outer = (gradient.contiguous(), x.contiguous(), kernel.contiguous())
    _, by_kernel, by_bias = by(*outer, (False, *wanted[1:]))
    return by_x, by_kernel, by_bias


def _in_two_layouts(x: Tensor) -> bool:
    """Whether the gradient by the kernel is better made of copies with the channels outermost.

    On processors without AVX-512 oneDNN makes it three times as fast so (256 channels of 128 x 96,
    3 x 3: 83 ms, with the channels innermost 246), and that by the input faster the other way.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()
        and torch.backends.cpu.get_cpu_capability() in WITHOUT_AVX512
    )


def relu_backward(gradient: Tensor, result: Tensor) -> Tensor:
    """The gradient where ``result``, a ReLU's, is above 0."""
    return torch.ops.aten.threshold_backward(gradient, result, 0)


def batch_norm_backward(
    gradient: Tensor,
    x: Tensor,
    scale: Tensor,
    statistics: Sequence[Tensor | None],
    training: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a batch normalisation by input, scale and shift.

    Args:
        statistics: running mean and variance, or None; then the batch's mean and 1 / deviation, or
            None.
    """
    wanted = (True, True, True)
    return torch.ops.aten.native_batch_norm_backward(
        gradient, x, scale, *statistics, training, eps, wanted
    )


def bag_weights_backward(
    gradient: Tensor, table: Tensor, rows: Tensor, starts: Tensor, bags: Tensor
) -> Tensor:
    """(n,) inner product of each looked-up row with the gradient of its bag.

    Args:
        gradient: (bags, C). table: (N, C). rows: (n,) int32 of the table. starts: (bags,) int32,
            the first entry of each bag. bags: (n,) int32, the bag of each entry.
    """
    product = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return product(gradient, table, rows, starts, bags, 0)


def copy_all(into: list[Tensor], values: list[Tensor]) -> None:
    """Copies each tensor onto its partner, in as few launches as there can be."""
    torch._foreach_copy_(into, values)
