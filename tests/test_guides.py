"""Terms that tell the flows themselves what is right; and which of them a run has."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from model.loss.guides import GUIDES, GuideWeights, guide_backward, guide_terms, nearest_skin
from model.loss.losses import LossWeights, TryOnLoss
from model.network.checkpoint import save_official
from model.network.config import NetworkConfig
from model.network.daflow import DAFlow, Flows
from model.network.warp import absolute_grids
from model.training.banner import _loss
from model.training.config import TrainConfig
from model.training.setup import GUIDED, build_loss, depth_at, resolved
from tests.tiny import tiny_network

HEIGHT, WIDTH, K = 32, 24, 2
CLOTH = (slice(None), slice(None), slice(8, 24), slice(6, 18))


def identity() -> torch.Tensor:
    return absolute_grids(torch.zeros(1, 1, 2, HEIGHT, WIDTH, dtype=torch.float64), True)


def scene() -> tuple[Flows, dict]:
    """A garment worn two pixels to the right of where its picture has it, and flows that know."""
    made = torch.Generator().manual_seed(4)
    garment = torch.rand(1, 3, HEIGHT, WIDTH, generator=made).double() * 2 - 1
    person = garment.roll(2, -1)
    cloth = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.float64)
    cloth[CLOTH] = 1
    mask = torch.zeros_like(cloth)
    mask[..., 4:28, 3:21] = 1
    own = identity()
    columns, rows = torch.meshgrid(torch.arange(WIDTH), torch.arange(HEIGHT), indexing="xy")
    flow = torch.stack([columns - 2, rows])[None].double()
    skin = torch.zeros(1, 3, HEIGHT, WIDTH)
    skin[:, 1, 4:28, [0, 3]] = 1  # an arm: hidden in column 3, seen in the leftmost
    batch = {"garment": garment, "person": person, "mask": mask, "cloth": cloth, "skin": skin}
    batch |= {"flow": flow * cloth, "flow_known": cloth}
    to_garment = own - torch.tensor([4 / WIDTH, 0]).double().view(2, 1, 1)
    beside = own.clone()
    beside[:, :, 0] = -1 + 1 / WIDTH  # the leftmost column, which is visible
    grids = torch.cat([to_garment.expand(1, K, -1, -1, -1), beside.expand(1, K, -1, -1, -1)], 1)
    weights = torch.cat([cloth.expand(-1, K, -1, -1), (1 - cloth).expand(-1, K, -1, -1)], 1) / K
    return Flows(grids.clone(), weights), batch


ALL = GuideWeights(*(1.0 for _ in GUIDES))


def test_flows_that_are_right_cost_nothing():
    flows, batch = scene()
    terms = guide_terms([flows], batch, ALL)
    assert set(terms) == set(GUIDES)
    for name, value in terms.items():
        assert float(value) == pytest.approx(0, abs=2e-4), name


@pytest.mark.parametrize(
    "name, spoil",
    [
        ("share", lambda f: Flows(f.grids, f.weights.roll(K, 1))),
        ("cloth", lambda f: Flows(f.grids + 0.2, f.weights)),
        ("flow", lambda f: Flows(f.grids + 0.2, f.weights)),
        ("together", lambda f: Flows(apart(f.grids), f.weights)),
        ("smooth", lambda f: Flows(f.grids + 0.1 * (torch.arange(WIDTH) % 2), f.weights)),
        ("black", lambda f: Flows(identity().expand_as(f.grids), f.weights)),
        ("skin", lambda f: Flows(f.grids + 0.2, f.weights)),
    ],
)
def test_each_term_sees_its_own_fault(name, spoil):
    flows, batch = scene()
    good = guide_terms([flows], batch, ALL)[name]
    assert guide_terms([spoil(flows)], batch, ALL)[name] > good + 0.02


def apart(grids: torch.Tensor) -> torch.Tensor:
    """The K flows of either image drawn away from their mean, which stays."""
    return grids + torch.tensor([0.1, -0.1, 0.1, -0.1]).view(1, 2 * K, 1, 1, 1)


def test_the_distance_of_flows_is_told_in_widths():
    flows, batch = scene()
    moved = flows.grids.clone()
    moved[:, :K, 1] += 2 * 3 / HEIGHT  # three pixels down
    term = guide_terms([Flows(moved, flows.weights)], batch, GuideWeights(flow=1))["flow"]
    assert float(term) == pytest.approx(3 / WIDTH, rel=1e-3)


def test_stretched_and_turned_flows_are_smooth_and_bent_ones_are_not():
    flows, batch = scene()
    turned = flows.grids @ torch.eye(WIDTH).double() * 0.7 + flows.grids.flip(2) * 0.3
    bent = flows.grids + 0.5 * flows.grids.square()
    for grids, smooth in ((turned, True), (bent, False)):
        term = guide_terms([Flows(grids, flows.weights)], batch, GuideWeights(smooth=1))["smooth"]
        assert (float(term) < 1e-9) == smooth


def test_terms_without_their_data_are_silent():
    flows, batch = scene()
    spoilt = Flows(flows.grids.roll(3, -1), flows.weights.roll(K, 1))
    unknown = batch | {
        "cloth": torch.full_like(batch["cloth"], -1),
        "flow_known": torch.zeros_like(batch["cloth"]),
        "skin": torch.zeros_like(batch["skin"]),
    }
    for less in (unknown, {name: batch[name] for name in ("garment", "person", "mask")}):
        terms = guide_terms([spoilt], less, ALL)
        assert all(float(terms.get(n, 0)) == 0 for n in GUIDES if n not in ("smooth", "black"))


def test_hidden_skin_looks_for_the_nearest_skin_of_its_kind_that_can_be_seen():
    def found(*seen: tuple[int, int, int]) -> tuple[list[float], float]:
        skin, mask = torch.zeros(1, 3, 96, 72), torch.zeros(1, 1, 96, 72)
        mask[..., 30:60, :] = 1
        skin[:, 2, 42:48, 33:39] = 1  # a leg; cells are 3 x 3 pixels
        for kind, top, left in seen:
            skin[:, kind, top : top + 3, left : left + 3] = 1
        places, known = nearest_skin({"skin": skin, "mask": mask})
        x, y = (places[0, :, 14, 11] + 1) / 2 * torch.tensor([72, 96]) - 0.5
        return [float(x), float(y)], float(known[0, 0, 14, 11])

    assert found((2, 75, 33), (1, 66, 33)) == ([34, 76], 1)  # a leg, although an arm is nearer
    assert found((1, 66, 33), (0, 3, 3)) == ([34, 67], 1)  # an arm, where no leg is to be seen
    assert found((2, 60, 33), (2, 75, 33)) == ([34, 61], 1)
    assert found((2, 33, 33)) == ([35.5, 47.5], 0)  # hidden itself: nothing is known


def test_a_term_with_factor_0_is_not_computed():
    flows, batch = scene()
    for name in GUIDES:
        assert set(guide_terms([flows], batch, GuideWeights(**{name: 0.5}))) == {name}
    assert not GuideWeights() and GuideWeights(flow=1)


def test_gradients_are_those_of_the_weighted_sum():
    flows, batch = scene()
    made = torch.Generator().manual_seed(1)
    grids = flows.grids + 0.05 * torch.randn(flows.grids.shape, generator=made)
    weights = torch.randn(flows.weights.shape, generator=made).double().softmax(1)
    factors = GuideWeights(share=1, cloth=2, flow=3, together=4, smooth=0.5, black=0.3)
    leaves = [x.double().requires_grad_() for x in (grids, weights)]
    found = guide_terms([Flows(*leaves)], batch, factors)
    sum(getattr(factors, name) * value for name, value in found.items()).backward()
    added, gradients = guide_backward([Flows(grids, weights)], batch, factors, 2.0)
    for name, value in found.items():
        assert float(added[name]) == pytest.approx(getattr(factors, name) * float(value))
    for leaf, gradient in zip(leaves, gradients):
        torch.testing.assert_close(gradient, 2 * leaf.grad)


def test_the_whole_loss_reaches_the_network_in_one_backward_pass():
    torch.manual_seed(0)
    network = DAFlow(tiny_network(exact_grids=True, flows=K)).double().train()
    network.dafnet.lean = False
    images = [torch.rand(1, c, 64, 64).double() * 2 - 1 for c in (6, 3, 3)]
    batch = {"garment": images[1], "person": images[2]}
    batch |= {"mask": torch.ones(1, 1, 64, 64).double(), "cloth": torch.ones(1, 1, 64, 64).double()}
    loss = TryOnLoss(None, LossWeights(edges=0.5), 10.0, GuideWeights(share=1, together=2, black=1))
    _, levels, flows = network(*images, return_levels=True, return_flows=True)
    terms = loss.backward_through(levels, batch["person"], 1.0, batch, flows)
    ours = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    _, levels, flows = network(*images, return_levels=True, return_flows=True)
    guides = guide_terms(flows, batch, loss.guides)
    whole = loss(levels, batch["person"], batch)["total"]
    whole = whole + sum(getattr(loss.guides, name) * value for name, value in guides.items())
    whole.backward()
    assert float(terms["total"]) == pytest.approx(float(whole))
    for mine, p in zip(ours, network.parameters()):
        torch.testing.assert_close(mine, p.grad)


@pytest.mark.parametrize("edges", [0.0, 1.0])
def test_what_the_composite_discards_counts_less(edges):
    target = torch.zeros(1, 3, 16, 12)
    mask = torch.zeros(1, 1, 16, 12)
    mask[..., 4:12, 3:9] = 1
    hidden, visible = (target + 0.5 * region for region in (mask, 1 - mask))
    loss = TryOnLoss(None, LossWeights(edges=edges), inside=10.0)
    plain = TryOnLoss(None, LossWeights(edges=edges))
    costs = [float(loss([x], target, {"mask": mask})["total"]) for x in (hidden, visible)]
    official = [float(plain([x], target, {"mask": mask})["total"]) for x in (hidden, visible)]
    assert costs[0] / costs[1] > 3 * official[0] / official[1]


def test_fresh_small_networks_get_the_terms_and_published_weights_the_official_loss(tmp_path):
    small, full = NetworkConfig.preset("small"), NetworkConfig()
    fresh = resolved(TrainConfig(), None, None, small)
    assert {name: getattr(fresh, name) for name in GUIDED} == GUIDED
    for network in (None, full):
        plain = resolved(TrainConfig(), None, None, network)
        assert not any(getattr(plain, name) for name in GUIDED)
        assert build_loss(plain, None).describe() == TryOnLoss().describe()
    for exact in (True, False):
        path = tmp_path / f"{exact}.safetensors"
        save_official(DAFlow(tiny_network(exact_grids=exact)), path)
        assert bool(resolved(TrainConfig(), path).loss_share) == exact


def test_a_named_factor_wins_and_a_resumed_run_keeps_its_own():
    small = NetworkConfig.preset("small")
    named = resolved(TrainConfig(loss_flow=3.0, loss_share=0.0), None, None, small)
    assert (named.loss_flow, named.loss_share) == (3.0, 0.0)
    state = {"config": {"train": named.to_json()}}
    assert resolved(TrainConfig(), None, state, small) == replace(named)


def test_every_factor_has_an_option():
    options = {item.name for item in fields(TrainConfig)}
    assert set(GUIDED) <= options and {f"loss_{name}" for name in GUIDES} <= options


def test_a_run_says_every_term_of_its_loss_and_what_is_missing_for_others():
    loss = TryOnLoss(weights=LossWeights(edges=0.5), inside=10.0, guides=GuideWeights(1, 0, 20, 2))
    told = _loss(loss.describe(), flows=True)
    assert told == (
        "1 l1 + 0.5 edges + 1 share + 20 flow + 2 together, hidden pixels 11-fold "
        "(without the perceptual terms)"
    )
    told = _loss(loss.describe(), flows=False)
    assert "flow +" not in told and told.endswith(
        "(without the perceptual terms and true flows, which these shards do not hold)"
    )
    assert _loss(TryOnLoss().describe() | {"perceptual": True}, flows=False) == (
        "1 l1 + 1 lpips + 100 style + 0.1 content"
    )


def test_coarse_levels_learn_first():
    depths = [depth_at(0.6, step / 10) for step in range(10)]
    assert depths == [3, 3, 3, 4, 4, 4, 5, 5, 5, 5]
    assert depth_at(0.0, 0.0) == depth_at(None, 0.0) == 5
