"""Operators of torch that its documentation does not promise, in one place.

They are what autograd itself calls in a backward pass, so they are as old and as steady as it; all
the same another torch may change them. ``tests/test_torch_internals.py`` holds each to autograd and
names the one that broke.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
    biases = [gradient.shape[1]] if wanted[2] else None
    return torch.ops.aten.convolution_backward(
        gradient,
        x,
        kernel,
        biases,
        [stride] * 2,
        [padding] * 2,
        [1, 1],
        transposed,
        [0, 0],
        1,
        wanted,
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
