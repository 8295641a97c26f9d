"""What fresh networks may have beyond the published one: places, one working size, crisp seams."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.network.config import LEVELS, NetworkConfig
from model.network.daflow import DAFlow, Flows
from model.network.initial import start_copying
from model.network.warp import absolute_grids
from pipeline.base.errors import DataError
from tests.tiny import tiny_network


def pictures(rows: int, columns: int, batch: int = 2, seed: int = 0):
    made = torch.Generator().manual_seed(seed)
    smooth = torch.rand(batch, 12, 8, 6, generator=made) * 2 - 1
    image = F.interpolate(smooth, size=(rows, columns), mode="bicubic").clamp(-1, 1)
    return image[:, :6], image[:, 6:9], image[:, 9:]


def built(**changes) -> DAFlow:
    torch.manual_seed(3)
    return DAFlow(tiny_network(exact_grids=True, **changes)).eval()


def test_the_published_network_has_none_of_it():
    published = NetworkConfig()
    assert not (published.places or published.crisp or published.work_rows)


@pytest.mark.parametrize("places", [False, True])
def test_flow_blocks_are_wider_only_where_they_see_places(places):
    block = built(places=places).dafnet.Cross_MFEs[0].layers[0]
    assert block.in_channels == 2 * tiny_network().fpn + 6 * places


@torch.no_grad()
def test_a_network_with_places_tells_a_picture_from_the_same_one_elsewhere():
    """Constant pictures: without places only the borders' zeros tell pixels apart."""
    flat = torch.full((1, 3, 256, 256), 0.3)
    inner = (slice(None), slice(None), slice(None), slice(56, 72), slice(56, 72))
    spread = {}
    for places in (False, True):
        flows = built(places=places)(torch.cat([flat, flat], 1), flat, flat, return_flows=True)[1]
        moved = flows[-1].grids - absolute_grids(torch.zeros_like(flows[-1].grids), True)
        spread[places] = float(moved[inner].std((3, 4)).mean())
    assert spread[True] > 2 * spread[False]


@torch.no_grad()
def test_flows_are_those_of_the_working_size_whatever_the_pictures_size():
    network = built(work_rows=64)
    large = pictures(256, 192)
    small = [F.interpolate(image, size=(64, 64), mode="area") for image in large]
    result, flows = network(*large, return_flows=True)
    _, wanted = network(*small, return_flows=True)
    assert result.shape == (2, 3, 256, 192)
    for ours, theirs in zip(flows, wanted):
        torch.testing.assert_close(ours.grids, theirs.grids)
        torch.testing.assert_close(ours.weights, theirs.weights)


@torch.no_grad()
def test_a_larger_picture_is_painted_with_its_own_detail():
    network = DAFlow(tiny_network(exact_grids=True, work_rows=64, light=(16, 24))).eval()
    start_copying(network)
    fine = torch.rand(1, 3, 256, 192) * 2 - 1
    result = network(torch.zeros(1, 6, 256, 192), fine, fine)
    assert (result - result.roll(1, 3)).abs().mean() > 0.2


@torch.no_grad()
def test_pictures_as_large_as_the_working_size_are_left_as_they_are():
    one, other = built(work_rows=64), built()
    images = pictures(64, 64)
    torch.testing.assert_close(one(*images), other(*images))


@torch.no_grad()
def test_crisp_weights_cross_over_where_the_linear_ones_do_and_faster():
    weights = torch.tensor([0.99, 0.99, 0.01, 0.01]).expand(1, 1, 2, 4)
    flows = Flows(torch.zeros(1, 2, 2, 2, 4), torch.cat([weights, 1 - weights], 1))
    soft, crisp = (flows.enlarged((16, 32), crisp).weights for crisp in (False, True))
    torch.testing.assert_close(crisp.sum(1), torch.ones(1, 16, 32))
    assert torch.equal(soft[0, 0] > 0.5, crisp[0, 0] > 0.5)

    def between(found: torch.Tensor) -> int:
        return int(((found > 0.1) & (found < 0.9)).sum())

    assert between(crisp[0, 0]) < between(soft[0, 0])


def test_fewer_levels_are_the_first_of_all_and_cost_no_others():
    network = built()
    images = pictures(64, 64)
    _, levels, flows = network(*images, return_levels=True, return_flows=True)
    result, some, few = network(*images, return_levels=True, return_flows=True, depth=3)
    assert (len(levels), len(some), len(few)) == (LEVELS, 3, 3)
    assert result is some[-1] and result.shape[-2:] == (16, 16)
    for ours, theirs in zip(some, levels):
        torch.testing.assert_close(ours, theirs)
    for mine, other in zip(few, flows):
        torch.testing.assert_close(mine.grids, other.grids)
    result.sum().backward()
    fine = network.dafnet.Refine_MFEs
    assert fine[2].layers[0].weight.grad is not None and fine[3].layers[0].weight.grad is None


@pytest.mark.parametrize("changes", [{"work_rows": 100}, {"work_rows": -32}, {"places": 1}])
def test_values_that_make_no_network_are_refused(changes):
    with pytest.raises(DataError):
        NetworkConfig(**changes)


def test_all_of_it_can_be_trained_and_survives_json():
    config = tiny_network(places=True, crisp=True, work_rows=64, exact_grids=True)
    assert NetworkConfig.from_json(config.to_json()) == config
    network = DAFlow(config)
    network(*pictures(128, 96)).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
