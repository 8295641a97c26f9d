"""The warp: its convention, and that every fast form equals the formula."""

from __future__ import annotations

import pytest
import torch

from model.network.warp import absolute_grids, compose, features_gradient, warp, warp_plain

torch.set_num_threads(1)


def case(sources=1, batch=2, flows=3, channels=4, size=(5, 6), out=(4, 3), dtype=torch.float64):
    """Features, grids that also leave the image, and weights; all with gradients."""
    torch.manual_seed(0)
    features = torch.randn(sources * batch, channels, *size, dtype=dtype)
    grids = torch.rand(batch, sources * flows, 2, *out, dtype=dtype) * 2.8 - 1.4
    weights = torch.rand(batch, sources * flows, *out, dtype=dtype)
    return [x.requires_grad_() for x in (features, grids, weights)]


CASES = [
    {},
    {"sources": 2, "batch": 3, "flows": 2, "out": (6, 7)},
    {"batch": 1, "flows": 6, "channels": 1, "size": (1, 1)},
    {"sources": 2, "batch": 4, "flows": 1, "channels": 33, "size": (2, 9), "out": (1, 1)},
    # more channels than the kernels take at once, and no multiple of that
    {"batch": 1, "flows": 2, "channels": 70, "size": (3, 4), "out": (5, 4)},
]


@pytest.mark.parametrize("shape", CASES)
def test_sparse_product_equals_the_formula_with_its_gradients(shape):
    inputs = case(**shape)
    expected, found = warp_plain(*inputs), warp(*inputs, "sparse")
    toward = torch.randn_like(expected)
    assert torch.allclose(found, expected, atol=1e-12)
    for a, b in zip(
        torch.autograd.grad(found, inputs, toward), torch.autograd.grad(expected, inputs, toward)
    ):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("shape", CASES[:2])
def test_gradients_agree_with_finite_differences(shape):
    assert torch.autograd.gradcheck(warp, case(**shape))


def test_memory_layout_of_the_features_does_not_matter():
    features, grids, weights = case(channels=8)
    other = features.detach().contiguous(memory_format=torch.channels_last)
    assert torch.equal(warp(features, grids, weights), warp(other, grids, weights))


def test_one_source_may_go_without_gradient():
    features, grids, weights = case()
    warp(features, grids.detach(), weights).sum().backward()
    assert features.grad is not None and weights.grad is not None and grids.grad is None


def test_gradient_of_the_features_alone_is_the_same():
    inputs = case(sources=2)
    out = warp(*inputs)
    toward = torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, inputs[:1], toward)
    assert torch.equal(features_gradient(toward, *[x.detach() for x in inputs]), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_stay_close_and_keep_their_dtype(dtype):
    features, grids, weights = (x.detach() for x in case(dtype=torch.float32, channels=16))
    found = warp(features.to(dtype), grids, weights)
    assert found.dtype == dtype
    assert torch.allclose(found.float(), warp(features, grids, weights), atol=0.05)


def test_outside_the_image_the_border_pixel_is_taken():
    features = torch.arange(6.0).view(1, 1, 2, 3)
    grids = torch.tensor([[-5.0, -5.0], [5.0, 5.0]]).view(1, 2, 2, 1, 1)
    each = [warp(features, grids[:, [k]], torch.ones(1, 1, 1, 1)).item() for k in range(2)]
    assert each == [0.0, 5.0]


def test_a_flow_of_one_pixel_looks_one_pixel_to_the_right_and_zero_flow_zooms_about_the_centre():
    x = torch.arange(9.0).expand(1, 1, 9, 9).contiguous()
    flow = torch.zeros(1, 1, 2, 9, 9)
    still = warp(x, absolute_grids(flow), torch.ones(1, 1, 9, 9))[0, 0, 4]
    flow[:, :, 0] = 1
    moved = warp(x, absolute_grids(flow), torch.ones(1, 1, 9, 9))[0, 0, 4]
    # the kept mismatch: position p looks at p * 9 / 8 - 0.5
    assert torch.allclose(still[1:8], torch.arange(1.0, 8) * 9 / 8 - 0.5, atol=1e-5)
    assert torch.allclose(moved[1:7] - still[1:7], torch.full((6,), 9 / 8), atol=1e-5)


def test_composed_grids_are_the_grids_seen_through_the_flow():
    torch.manual_seed(1)
    first, flow = torch.randn(2, 3, 2, 6, 5), torch.randn(2, 3, 2, 6, 5)
    found = compose(absolute_grids(first), flow)
    for k in range(3):
        one = torch.ones(2, 1, 6, 5)
        expected = warp_plain(absolute_grids(first)[:, k], absolute_grids(flow)[:, [k]], one)
        assert torch.allclose(found[:, k], expected, atol=1e-6)


def test_places_that_are_no_numbers_do_not_read_outside_the_features():
    features, grids, weights = (x.detach() for x in case())
    grids[0, 0, 0] = float("nan")
    grids[1, 1, 1] = float("inf")
    assert warp(features, grids, weights).shape == (2, 4, 4, 3)
