"""The fused kernels, run by Triton's interpreter in a process of its own, against the formula."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

PROGRAM = """
import sys, torch
from test_warp import CASES, case
from model.network.warp import warp, warp_plain
torch.set_num_threads(1)
dtype, deterministic = getattr(torch, sys.argv[1]), sys.argv[2] == "ordered"
torch.use_deterministic_algorithms(deterministic)
atol = {"float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}[sys.argv[1]]
for shape in CASES:
    features, grids, weights = (x.detach() for x in case(**shape, dtype=torch.float32))
    features = features.to(dtype)  # rounded once, so that both forms read the same numbers
    exact = [x.double().requires_grad_() for x in (features, grids, weights)]
    inputs = [x.requires_grad_() for x in (features, grids, weights)]
    found, expected = warp(*inputs, "triton"), warp_plain(*exact)
    assert found.dtype == dtype and torch.allclose(found.double(), expected, atol=atol), shape
    toward = torch.randn_like(expected).to(dtype)
    a = torch.autograd.grad(found, inputs, toward)
    b = torch.autograd.grad(expected, exact, toward.double())
    for x, y, of in zip(a, b, inputs):
        assert x.dtype == of.dtype, shape
        assert torch.allclose(x.double(), y, atol=atol, rtol=1e-2), (shape, (x - y).abs().max())
    out = warp(features, grids.detach(), weights, "triton")
    detached = torch.autograd.grad(out, (features, weights), toward)
    assert torch.equal(detached[1], a[2])
print("equal", warp_plain(*exact).abs().max().item() > 0)
"""


@pytest.mark.parametrize(
    "dtype, order",
    [("float32", "atomic"), ("float32", "ordered"), ("bfloat16", "atomic"), ("float16", "ordered")],
)
def test_kernels_equal_the_formula_with_their_gradients(dtype, order):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here)])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, dtype, order],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["equal", "True"]
