"""``--compile``: the compiled network gives the pictures and gradients of the plain one."""

from __future__ import annotations

import torch

from model.network.daflow import DAFlow, Flows
from tests.tiny import tiny_network


def test_the_traced_network_equals_the_plain_one_and_breaks_at_the_warp_alone():
    torch.manual_seed(0)
    network = DAFlow(tiny_network())
    network.dafnet.lean = False
    inputs = [torch.rand(1, channels, 32, 32) * 2 - 1 for channels in (6, 3, 3)]

    def step(called) -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.zero_grad()
        picture = called(*inputs, depth=2)  # what the other levels do, too
        picture.square().mean().backward()
        return picture.detach(), [
            p.grad.clone() for p in network.parameters() if p.grad is not None
        ]

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


def test_pictures_that_are_made_again_can_be_traced_at_every_level(monkeypatch):
    torch.manual_seed(0)
    cascade = DAFlow(tiny_network()).dafnet
    assert cascade.lean
    levels = [torch.zeros(1, 8, 2**i, 2**i) for i in range(5)]
    found = [(torch.rand(1, 4, 2, *level.shape[-2:]) * 2 - 1) for level in levels]
    flows = [Flows(x.requires_grad_(), torch.full_like(x[:, :, 0], 0.25)) for x in found]
    monkeypatch.setattr(
        cascade, "step", torch.compiler.disable(lambda level, *rest: flows[level])
    )  # the sparse warp in it breaks the graph, too
    images = torch.rand(2, 3, 32, 32)

    def painted(called) -> list[torch.Tensor]:
        pictures, _ = called(levels, levels, images, True)
        total = sum(picture.square().mean() for picture in pictures)
        return [*pictures, *torch.autograd.grad(total, found)]

    torch._dynamo.reset()
    for one, plain in zip(painted(torch.compile(cascade, backend="eager")), painted(cascade)):
        torch.testing.assert_close(one, plain)
    torch._dynamo.reset()
