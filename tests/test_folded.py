"""The pyramid's sum that is never made: same values, same gradients, fewer numbers kept."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.network.folded_conv import folded_conv, folding_pays
from model.training.malloc import return_large_maps

torch.set_num_threads(1)


def plain(x, coarser, adaptive, smooth):
    return smooth(adaptive(x) + F.interpolate(coarser, scale_factor=2, mode="nearest"))


def made(inputs=3, width=5, outputs=4, size=(6, 8), batch=2, dtype=torch.float64):
    """x, the coarser map and both convolutions, with values by chance."""
    torch.manual_seed(0)
    height, width_px = size
    x = torch.randn(batch, inputs, height, width_px, dtype=dtype, requires_grad=True)
    coarser = torch.randn(batch, width, height // 2, width_px // 2, dtype=dtype, requires_grad=True)
    adaptive, smooth = nn.Conv2d(inputs, width, 1), nn.Conv2d(width, outputs, 3, padding=1)
    return x, coarser, adaptive.to(dtype), smooth.to(dtype)


@pytest.mark.parametrize("size", [(2, 2), (2, 6), (6, 8), (12, 4)])
@pytest.mark.parametrize("batch", [1, 3])
def test_folded_sum_equals_the_plain_one_with_all_gradients(size, batch):
    x, coarser, adaptive, smooth = made(size=size, batch=batch)
    sources = [x, coarser, *adaptive.parameters(), *smooth.parameters()]
    expected, found = plain(x, coarser, adaptive, smooth), folded_conv(x, coarser, adaptive, smooth)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(found, sources, weight), torch.autograd.grad(expected, sources, weight)
    ):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-11)
    with torch.inference_mode():
        assert torch.equal(folded_conv(x, coarser, adaptive, smooth), found)


def test_gradients_agree_with_finite_differences():
    x, coarser, adaptive, smooth = made(2, 2, 2, (2, 4), 1)
    names = [f"{n}.{p}" for n in ("adaptive", "smooth") for p in ("weight", "bias")]
    module = nn.ModuleDict({"adaptive": adaptive, "smooth": smooth})

    def function(x, coarser, *weights):
        own = dict(zip(names, weights))
        convs = [nn.Conv2d(2, 2, 1, dtype=x.dtype), nn.Conv2d(2, 2, 3, padding=1, dtype=x.dtype)]
        for name, conv in zip(("adaptive", "smooth"), convs):
            for part in ("weight", "bias"):
                delattr(conv, part)
                setattr(conv, part, own[f"{name}.{part}"])
        return folded_conv(x, coarser, *convs)

    assert torch.autograd.gradcheck(function, (x, coarser, *module.parameters()))


def test_nothing_but_its_own_inputs_is_kept():
    x, coarser, adaptive, smooth = made()
    kept = set()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.add(t.data_ptr()) or t, lambda t: t
    ):
        folded_conv(x, coarser, adaptive, smooth)
    assert kept <= {
        t.data_ptr() for t in (x, coarser, *adaptive.parameters(), *smooth.parameters())
    }


def test_half_precision_is_used_where_autocast_asks_for_it():
    x, coarser, adaptive, smooth = made(16, 16, 16, dtype=torch.float32)
    expected = plain(x, coarser, adaptive, smooth)
    with torch.autocast("cpu", torch.bfloat16):
        found = folded_conv(x, coarser, adaptive, smooth)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() < 0.05 * expected.abs().max()
    found.float().sum().backward()
    assert adaptive.weight.grad.dtype == x.grad.dtype == torch.float32


def test_folding_is_for_wide_sums_of_narrow_maps_alone():
    wide, smooth = nn.Conv2d(256, 256, 1), nn.Conv2d(256, 256, 3, padding=1)
    assert folding_pays(nn.Conv2d(64, 256, 1), smooth)
    assert not folding_pays(wide, smooth)


def test_process_takes_the_limit_for_large_maps_where_the_system_knows_it():
    import platform

    assert return_large_maps() == (platform.libc_ver()[0] == "glibc")
