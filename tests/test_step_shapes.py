"""The whole step of training on tensors without values: shapes, number formats and devices in every
precision, and that nothing in it asks for a value, which on a GPU would wait for it."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from model.loss.guides import GUIDES, GuideWeights
from model.loss.losses import LossWeights, PerceptualNetworks, TryOnLoss
from model.network.daflow import LEVELS, DAFlow
from tests.tiny import tiny_network

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH, HEIGHT, WIDTH = 2, 64, 64
CHANNELS = {
    "reference": 6,
    "garment": 3,
    "agnostic": 3,
    "person": 3,
    "mask": 1,
    "cloth": 1,
    "skin": 3,
    "flow": 2,
    "flow_known": 1,
}
WARPS = [
    "plain",
    pytest.param(
        "triton",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("triton") is None, reason="triton is not installed"
        ),
    ),
]


def without_values(module: nn.Module) -> nn.Module:
    """The module with tensors that have everything but values; inside of a FakeTensorMode."""

    def fake(tensor):
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")

    for part in module.modules():
        for name, value in list(part._parameters.items()):
            if value is not None:
                part._parameters[name] = nn.Parameter(fake(value), value.requires_grad)
        for name, value in list(part._buffers.items()):
            if value is not None:
                part._buffers[name] = fake(value)
    return module


def step(warp: str, kind: torch.dtype | None):
    guides = GuideWeights(*(1.0 for _ in GUIDES))
    with torch.device("meta"):  # no values are drawn that nobody needs
        network = DAFlow(tiny_network())
        loss = TryOnLoss(PerceptualNetworks(), LossWeights(edges=1.0), 10.0, guides)
    network.dafnet.warp_method = warp
    with FakeTensorMode():
        without_values(network), without_values(loss)
        batch = {name: torch.empty(BATCH, c, HEIGHT, WIDTH) for name, c in CHANNELS.items()}
        factor = torch.empty(())
        inputs = [batch[name] for name in ("reference", "garment", "agnostic")]
        with torch.autocast("cpu", kind, enabled=kind is not None):
            _, levels, flows = network(*inputs, return_levels=True, return_flows=True)
            terms = loss.backward_through(levels, batch["person"], factor, batch, flows)
        gradients = {name: p.grad for name, p in network.named_parameters()}
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    return network, levels, flows, terms, gradients, norm


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("warp", WARPS)
def test_a_step_keeps_its_formats_and_asks_for_no_value(warp, precision):
    kind = PRECISIONS[precision]
    network, levels, flows, terms, gradients, norm = step(warp, kind)
    sizes = [HEIGHT >> n for n in range(LEVELS - 1, -1, -1)]
    assert [tuple(level.shape) for level in levels] == [(BATCH, 3, s, s) for s in sizes]
    assert {level.dtype for level in levels} == {kind or torch.float32}
    assert {x.dtype for level in flows for x in level} == {torch.float32}
    assert {value.dtype for value in terms.values()} == {torch.float32}
    assert {"l1", "lpips", "style", "content", "edges", "total", *GUIDES} <= set(terms)
    for name, value in network.named_parameters():
        found = gradients[name]
        assert found is not None and found.shape == value.shape and found.dtype == torch.float32
    assert norm.dtype == torch.float32


def test_a_step_that_asks_for_a_value_would_be_found():
    with pytest.raises(DataDependentOutputException):
        step("sparse", None)  # the way of a CPU, which looks at the largest place
