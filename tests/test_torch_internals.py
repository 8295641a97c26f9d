"""A canary: each undocumented operator of torch that the network calls equals what autograd does.
One that fails here, and not its neighbours, tells which one another torch has changed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.network import torch_internals as internals


def rand(*shape: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=made, dtype=torch.float64).requires_grad_()


def test_convolution_backward():
    x, kernel, bias = rand(2, 3, 9, 8), rand(4, 3, 3, 3), rand(4)
    out = F.conv2d(x, kernel, bias, stride=2, padding=1)
    gradient = rand(*out.shape).detach()
    wanted = torch.autograd.grad(out, (x, kernel, bias), gradient)
    found = internals.convolution_backward(
        gradient, x.detach(), kernel.detach(), stride=2, padding=1, wanted=(True, True, True)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("processor", ["AVX2", "AVX512"])
def test_convolution_backward_is_the_same_on_every_processor(monkeypatch, processor):
    """Without AVX-512 the kernel's gradient is made in another layout, with the same values."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    calls = []
    operator = torch.ops.aten.convolution_backward
    counted = lambda *arguments: calls.append(arguments[-1]) or operator(*arguments)
    monkeypatch.setattr(torch.ops.aten, "convolution_backward", counted)
    outer, inner = torch.contiguous_format, torch.channels_last
    x, kernel = (rand(*shape).detach().float() for shape in ((2, 6, 9, 8), (4, 6, 3, 3)))
    gradient = rand(2, 4, 9, 8).detach().float()
    last = [t.contiguous(memory_format=inner) for t in (gradient, x, kernel)]
    first = [t.contiguous(memory_format=outer) for t in (gradient, x, kernel)]
    options = {"stride": 1, "padding": 1, "wanted": (True, True, True)}
    found = internals.convolution_backward(*last, **options)
    assert len(calls) == (2 if processor == "AVX2" else 1)
    torch.testing.assert_close(found, internals.convolution_backward(*first, **options))


def test_transposed_convolution_backward():
    x, kernel = rand(2, 3, 5, 4), rand(3, 4, 4, 4)
    out = F.conv_transpose2d(x, kernel, stride=2, padding=1)
    gradient = rand(*out.shape).detach()
    wanted = torch.autograd.grad(out, (x, kernel), gradient)
    by_x, by_kernel, by_bias = internals.convolution_backward(
        gradient,
        x.detach(),
        kernel.detach(),
        stride=2,
        padding=1,
        wanted=(True, True, False),
        transposed=True,
    )
    torch.testing.assert_close((by_x, by_kernel), wanted)
    assert by_bias is None


def test_relu_backward():
    x = rand(3, 5)
    (wanted,) = torch.autograd.grad(x.relu().sum(), x)
    torch.testing.assert_close(
        internals.relu_backward(torch.ones(3, 5).double(), x.detach().relu()), wanted
    )


def test_batch_norm_backward():
    x, scale, shift = rand(4, 3, 5, 6), rand(3), rand(3)
    mean, variance = torch.zeros(3).double(), torch.rand(3).double() + 0.5
    for training in (True, False):
        out = F.batch_norm(x, mean.clone(), variance.clone(), scale, shift, training, 0.1, 1e-5)
        gradient = rand(*out.shape).detach()
        wanted = torch.autograd.grad(out, (x, scale, shift), gradient)
        batch = x.detach().transpose(0, 1).flatten(1)
        own = (None, None, batch.mean(1), (batch.var(1, unbiased=False) + 1e-5).rsqrt())
        statistics = own if training else (mean, variance, None, None)
        found = internals.batch_norm_backward(
            gradient, x.detach(), scale.detach(), statistics, training, 1e-5
        )
        torch.testing.assert_close(found, wanted)


def test_bag_weights_backward():
    table, weights = rand(7, 4), rand(6)
    rows = torch.tensor([0, 3, 6, 2, 2, 5], dtype=torch.int32)
    starts = torch.tensor([0, 3], dtype=torch.int32)
    bags = torch.tensor([0, 0, 0, 1, 1, 1], dtype=torch.int32)
    out = F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)
    gradient = rand(*out.shape).detach()
    (wanted,) = torch.autograd.grad(out, weights, gradient)
    found = internals.bag_weights_backward(gradient, table.detach(), rows, starts, bags)
    torch.testing.assert_close(found, wanted)


def test_copy_all():
    into, values = [torch.zeros(2), torch.zeros(3)], [torch.ones(2), torch.ones(3)]
    internals.copy_all(into, values)
    assert all(torch.equal(a, b) for a, b in zip(into, values))
