"""``--compile``: the compiled network gives the pictures and gradients of the plain one."""

from __future__ import annotations

import torch

from model.network.daflow import DAFlow
from tests.tiny import tiny_network


def test_the_traced_network_equals_the_plain_one_and_breaks_at_the_warp_alone():
    torch.manual_seed(0)
    network = DAFlow(tiny_network())
    network.dafnet.lean = False
    inputs = [torch.rand(1, channels, 32, 32) * 2 - 1 for channels in (6, 3, 3)]

    def step(called) -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.zero_grad()
        picture = called(*inputs)
        picture.square().mean().backward()
        return picture.detach(), [p.grad.clone() for p in network.parameters()]

    network.eval()
    picture, gradients = step(network)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    traced, others = step(torch.compile(network, backend="eager"))
    torch.testing.assert_close(traced, picture, rtol=1e-4, atol=1e-5)
    for one, other in zip(others, gradients):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    breaks = torch._dynamo.utils.counters["graph_break"]
    assert all("_sparse_with_gradient" in reason for reason in breaks), list(breaks)
    torch._dynamo.reset()
