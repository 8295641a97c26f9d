"""What lies behind a picture: the warped garment, its weight, and figures of the flows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tiny import tiny_network
from tiny_dresscode import write_dataset

from cli import main
from model.network.daflow import DAFlow, Flows
from model.network.explain import FLOW_FIGURES, flow_figures, layers_of
from model.network.warp import absolute_grids
from model.tryon.explain import flow_picture, weight_picture

HEIGHT, WIDTH = 16, 12


def still(count: int) -> torch.Tensor:
    """(1, count, 2, h, w): every pixel looks at its own place."""
    return absolute_grids(torch.zeros(1, count, 2, HEIGHT, WIDTH), exact=True)


def left_half() -> torch.Tensor:
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., : WIDTH // 2] = 1
    return mask


def flows(garment_weight: torch.Tensor, shift_px: float = 0.0) -> Flows:
    """Two garment flows ``shift_px`` to either side, two of the person at rest."""
    grids = still(4)
    grids[:, 0, 0] -= 2 * shift_px / WIDTH
    grids[:, 1, 0] += 2 * shift_px / WIDTH
    halves = garment_weight.expand(1, 2, HEIGHT, WIDTH) / 2
    return Flows(grids, torch.cat((halves, 0.5 - halves), 1))


def test_the_garment_alone_is_seen_also_where_it_has_no_weight():
    garment = torch.rand(1, 3, HEIGHT, WIDTH) * 2 - 1
    found = layers_of(flows(left_half()), garment)
    assert torch.allclose(found.warped, garment, atol=1e-5)
    assert torch.allclose(found.single[:, 1], garment, atol=1e-5)
    assert torch.allclose(found.weight, left_half(), atol=1e-6)


def test_spread_is_the_distance_of_the_flows_from_their_mean_in_widths():
    (found,) = flow_figures(flows(left_half(), shift_px=1.5), left_half())
    assert found["flow_spread_px"] == pytest.approx(1.5, rel=1e-4)
    assert found["flow_spread"] == pytest.approx(1.5 / WIDTH, rel=1e-4)
    (tall,) = flow_figures(flows(left_half()), left_half())
    assert tall["flow_spread"] == pytest.approx(0, abs=1e-6)


def test_a_flow_down_counts_in_widths_as_one_across():
    taken = flows(left_half())
    taken.grids[:, 0, 1] -= 2 * 1.5 / HEIGHT
    taken.grids[:, 1, 1] += 2 * 1.5 / HEIGHT
    (found,) = flow_figures(taken, left_half())
    assert found["flow_spread_px"] == pytest.approx(1.5, rel=1e-4)


def test_weight_is_told_inside_and_outside_and_black_is_what_the_person_fetches_hidden():
    (found,) = flow_figures(flows(left_half()), left_half())
    assert found["garment_inside"] == pytest.approx(1)
    assert found["garment_outside"] == pytest.approx(0, abs=1e-6)
    assert found["black_inside"] == pytest.approx(0, abs=1e-6)
    (none,) = flow_figures(flows(torch.zeros(1, 1, HEIGHT, WIDTH)), left_half())
    assert none["garment_inside"] == 0 and none["black_inside"] == pytest.approx(1)


def test_whoever_hides_nothing_has_no_figures_inside():
    (found,) = flow_figures(flows(left_half()), torch.zeros(1, 1, HEIGHT, WIDTH))
    assert math.isnan(found["flow_spread"]) and found["garment_outside"] == pytest.approx(0.5)


def test_no_flow_is_white_a_flow_has_its_directions_colour_and_no_weight_is_dark():
    places, weight = still(1)[0, 0].numpy(), np.ones((HEIGHT, WIDTH))
    assert (flow_picture(places, weight) == 255).all()
    right = places + np.array([1.0, 0.0])[:, None, None]
    down = places + np.array([0.0, 0.5])[:, None, None]
    one, other = (flow_picture(p, weight)[0, 0].astype(int) for p in (right, down))
    assert np.abs(one - other).max() > 100
    assert flow_picture(right, 0 * weight).max() < 60
    assert (weight_picture(weight)[0, 0] == 255).all() and not weight_picture(0 * weight).any()


def test_the_command_draws_and_tells_what_lies_behind(tmp_path):
    torch.manual_seed(0)
    network = DAFlow(tiny_network())
    path = tmp_path / "tiny.pt"
    config = {"network": network.config.to_dict(), "data": {"size": "128x96"}}
    torch.save({"config": config, "network": network.state_dict()}, path)
    root = write_dataset(tmp_path / "data")
    words = ["try-on", path, "--data", root, "--split", "test_paired", "--limit", "1"]
    words += [
        "--explain",
        "--device",
        "cpu",
        "--network-size",
        "64x64",
        "--stretch",
        "--out",
        tmp_path / "out",
    ]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0
    assert all(f"{name} " in result.output for name in FLOW_FIGURES)
    drawn = sorted((tmp_path / "out").glob("*-explain.png"))
    assert len(drawn) == 3
    with Image.open(drawn[0]) as picture:
        assert picture.width > 6 * picture.height * 3 / 4 * 0.7
