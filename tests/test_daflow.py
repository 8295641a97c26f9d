"""The network: reference values, and that its economies change nothing.

With the reference weights the cascade is chaotic: changing one weight in its last bit of float64
    moves the two finest
results by 0.001 and by more than 1. Those two, and the gradients, hold no digit that another order
of summation would repeat. So the reference values are compared where float64 determines them, in
the coarser levels; the finer ones and the gradients are compared with the plain form of the
network, with flow heads scaled down until they are calm.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.plain_daflow import PlainDAFlow
from model.network.config import NetworkConfig
from model.network.daflow import DAFlow
from pipeline.base.errors import DataError

torch.set_num_threads(1)
GOLDEN = Path(__file__).parent / "data" / "golden"
_spec = importlib.util.spec_from_file_location("golden_fill", GOLDEN / "fill.py")
fill = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fill)

SMALL = replace(NetworkConfig.preset("small"), places=False, work_rows=0, crisp=False)
"""What the plain form knows; ``test_own_size`` is about the rest."""


def filled(network):
    """The network in float64 with weights that depend on their names alone."""
    network.double()
    state = {
        k: torch.from_numpy(fill.weight(k, tuple(v.shape))) for k, v in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network


def images(size=(128, 96), batch=2):
    """Reference, garment and agnostic image, and the person."""
    pose, agnostic, garment, person = (
        torch.from_numpy(fill.image(f"a.{name}", 3, *size, batch))
        for name in ("pose", "agnostic", "garment", "person")
    )
    return (torch.cat((pose, agnostic), 1), garment, agnostic), person


def total_loss(levels, target):
    """The reference loss: mean absolute difference per level, weighted by level + 1."""
    terms = []
    for i, level in enumerate(levels):
        scaled = F.interpolate(target, size=level.shape[-2:], mode="bilinear", align_corners=False)
        terms.append((i + 1) * (level - scaled).abs().mean())
    return sum(terms)


def run(network, size=(64, 96), batch=2, training=True):
    """Levels, gradients by name and buffers by name after one backward pass."""
    inputs, person = images(size, batch)
    result, levels = network.train(training)(*inputs, return_levels=True)
    total_loss(levels, person).backward()
    gradients = {k: p.grad for k, p in network.named_parameters()}
    return [x.detach() for x in (result, *levels)], gradients, dict(network.named_buffers())


def assert_same(found, expected, atol=1e-6):
    for a, b in zip(found[0], expected[0], strict=True):
        assert torch.allclose(a, b, rtol=0, atol=atol)
    assert found[1].keys() == expected[1].keys()
    for name, b in expected[1].items():
        assert (found[1][name] - b).norm() <= 1e-6 * b.norm() + 1e-12, name
    for name, b in expected[2].items():
        assert torch.allclose(found[2][name].double(), b.double(), rtol=0, atol=1e-12), name


def test_names_shapes_and_order_of_the_weights_are_the_published_ones():
    keys = json.loads((GOLDEN / "daflow_keys.json").read_text())
    network = DAFlow()
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == keys["state_dict"]
    assert [k for k, _ in network.named_parameters()] == keys["parameters"]
    assert sum(p.numel() for p in network.parameters()) == 37_651_485


@pytest.fixture(scope="module")
def reference():
    return np.load(GOLDEN / "daflow_128x96.npz")


STORED, TOTAL, TERM, NORM = 1e-7, 1e-12, 1e-11, 1e-7
"""Relative differences that are allowed: arrays are stored as float32, the rest as float64."""
VARIANTS = [(True, "sparse"), (False, "sparse"), (True, "plain"), (False, "plain")]
"""(lean, warp): what can be chosen on a CPU."""


def assert_stored(found, expected):
    """Equal to an array of the file, as far as its float32 tells."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= STORED * max(1.0, np.abs(expected).max())


def variant(lean, method):
    network = filled(DAFlow())
    network.dafnet.lean, network.dafnet.warp_method = lean, method
    return network


@pytest.mark.parametrize("lean, method", VARIANTS)
def test_every_variant_gives_the_reference_values(reference, lean, method):
    inputs, _ = images()
    with torch.no_grad():
        result, found = variant(lean, method).eval()(*inputs, return_levels=True)
    assert_stored(result.numpy(), reference["eval/result"])
    for i, level in enumerate(found):
        assert_stored(level.numpy(), reference[f"eval/level{i}"])


@pytest.mark.parametrize("lean, method", VARIANTS)
def test_every_variant_trains_as_the_reference(reference, lean, method):
    network = variant(lean, method).train()
    inputs, person = images()
    result, found = network(*inputs, return_levels=True)
    assert_stored(result.detach().numpy(), reference["train/result"])
    for i, level in enumerate(found):
        assert_stored(level.detach().numpy(), reference[f"train/level{i}"])
        target = F.interpolate(
            person, scale_factor=0.5 ** (4 - i), mode="bilinear", align_corners=False
        )
        term = (level - target).abs().mean().item()
        assert term == pytest.approx(reference["loss/components"][i, 0], rel=TERM)
    total = total_loss(found, person)
    assert total.item() == pytest.approx(float(reference["loss/total"]), rel=TOTAL)
    total.backward()
    norms = np.array([p.grad.norm().item() for p in network.parameters()])
    np.testing.assert_allclose(norms, reference["grad/norms"], rtol=NORM)
    parameters = dict(network.named_parameters())
    for key in (k for k in reference.files if k.startswith("grad/") and k != "grad/norms"):
        corner = parameters[key.removeprefix("grad/")].grad[:8, :4].numpy()
        assert np.abs(corner - reference[key]).max() <= STORED * np.abs(reference[key]).max()
    for key in (k for k in reference.files if k.startswith("bn/")):
        assert_stored(network.get_buffer(key.removeprefix("bn/")).numpy(), reference[key])


def test_published_network_equals_its_plain_form_with_all_gradients():
    size = (96, 64)
    expected = run(filled(PlainDAFlow()), size, 1)
    assert_same(run(filled(DAFlow()), size, 1), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lean, method", VARIANTS)
def test_every_variant_equals_the_plain_form(lean, method, training):
    network = filled(DAFlow(SMALL))
    network.dafnet.lean, network.dafnet.warp_method = lean, method
    assert_same(run(network, training=training), run(filled(PlainDAFlow(SMALL)), training=training))


@pytest.mark.parametrize(
    "size, batch, flows, exact",
    [
        ((64, 64), 1, 6, False),
        ((128, 64), 3, 6, True),
        ((64, 96), 4, 2, False),
        ((64, 96), 2, 1, True),
    ],
)
def test_other_sizes_batches_and_numbers_of_flows(size, batch, flows, exact):
    config = NetworkConfig.from_dict({**SMALL.to_dict(), "flows": flows, "exact_grids": exact})
    assert_same(
        run(filled(DAFlow(config)), size, batch),
        run(filled(PlainDAFlow(config)), size, batch),
    )


def test_last_level_is_the_result_itself_and_inference_gives_the_same():
    network = filled(DAFlow(SMALL)).eval()
    inputs, _ = images((64, 96))
    result, levels = network(*inputs, return_levels=True)
    assert result is levels[-1]
    assert [tuple(x.shape[-2:]) for x in levels] == [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]
    with torch.no_grad():
        assert torch.allclose(network(*inputs), result, rtol=0, atol=1e-9)


def test_running_statistics_advance_once_per_step():
    network = DAFlow(SMALL).double()
    run(network)
    counts = [v for k, v in network.named_buffers() if k.endswith("num_batches_tracked")]
    assert counts and all(v == 1 for v in counts)


def test_lean_training_keeps_a_tenth_of_the_plain_form():
    from benchmarks.network import Bench

    kept = {form: Bench(form, (128, 96), 1, "cpu").kept() for form in ("plain", "lean")}
    assert kept["lean"] * 10 < kept["plain"]


def test_bf16_training_stays_close_with_flows_in_float32():
    torch.manual_seed(0)
    network = DAFlow(SMALL)
    inputs = [torch.rand(1, c, 64, 64) * 2 - 1 for c in (6, 3, 3)]
    exact = network(*inputs)
    seen = []
    split = network.dafnet.split
    network.dafnet.split = lambda *args: seen.append(split(*args)) or seen[-1]
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(*inputs)
    assert all(x.dtype == torch.float32 for pair in seen for x in pair)
    assert (rough.float() - exact).abs().max() < 0.1
    rough.float().abs().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in network.parameters())


def test_sides_that_are_no_multiples_of_32_are_refused():
    with pytest.raises(DataError, match="100 x 96.*multiples of 32"):
        DAFlow(SMALL)(
            torch.zeros(1, 6, 100, 96), torch.zeros(1, 3, 100, 96), torch.zeros(1, 3, 100, 96)
        )
    with pytest.raises(DataError, match="garment"):
        DAFlow(SMALL)(
            torch.zeros(1, 6, 64, 64), torch.zeros(1, 3, 64, 96), torch.zeros(1, 3, 64, 64)
        )


@pytest.mark.parametrize(
    "text, finding",
    [
        ('{"flows": 0}', "flows"),
        ('{"wings": 2}', "wings"),
        ("[]", "list"),
        ("{", "JSON"),
        ('{"head": [8]}', "head"),
    ],
)
def test_a_config_that_makes_no_network_is_refused(text, finding):
    with pytest.raises(DataError, match=finding):
        NetworkConfig.from_json(text)


def test_config_survives_json():
    assert NetworkConfig.from_json(SMALL.to_json()) == SMALL != NetworkConfig()
