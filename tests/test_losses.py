"""The training loss: official values, and the lean way equal to the plain one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.loss import kept_mib
from model.loss.losses import (
    TERMS,
    LossWeights,
    PerceptualNetworks,
    TryOnLoss,
    enlargement,
    gram_matrix,
)
from model.loss.vgg import WIDTHS, without_autocast

GOLDEN = Path(__file__).parent / "data" / "golden"
sys.path.insert(0, str(GOLDEN))
from fill import image, weight  # noqa: E402


def filled(dtype: torch.dtype = torch.float64) -> PerceptualNetworks:
    """Perceptual networks whose weights are functions of their names."""
    networks = PerceptualNetworks().to(dtype)
    for name, vgg in (("vgg19", networks.vgg19), ("vgg16", networks.lpips.vgg)):
        vgg.load_state_dict(
            {
                key: torch.from_numpy(weight(f"{name}.{key}", tuple(value.shape)))
                for key, value in vgg.state_dict().items()
            }
        )
    for i, width in enumerate(WIDTHS):
        linear = np.abs(weight(f"lpips.lin{i}.model.1.weight", (1, width, 1, 1)))
        getattr(networks.lpips, f"linear{i}").copy_(torch.from_numpy(linear))
    return networks


def picture(
    name: str, height: int, width: int, batch: int = 1, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    return torch.from_numpy(image(name, 3, height, width, batch)).to(dtype)


def pyramid(
    batch: int = 1, dtype: torch.dtype = torch.float64, count: int = 3
) -> list[torch.Tensor]:
    """Predictions at 16 x 12 and its doubles, coarse to fine."""
    return [picture(f"loss.level{n}", 16 * 2**n, 12 * 2**n, batch, dtype) for n in range(count)]


@pytest.fixture(scope="module")
def networks() -> PerceptualNetworks:
    return filled()


def test_style_and_content_equal_the_official_values(networks):
    terms = TryOnLoss(networks).values([picture("c.a", 64, 48)] * 2, picture("c.b", 64, 48))
    style, content = terms["components"][1, 2:4].tolist()
    assert content == pytest.approx(0.8169443069941498, rel=1e-12)
    assert style == pytest.approx(0.00014585376523541522, rel=1e-12)


def test_terms_of_a_training_step_equal_the_official_values(networks):
    """The full network at 256 x 192 in training mode, then the loss."""
    from model.network.daflow import DAFlow

    with np.load(GOLDEN / "training_loss_256x192.npz") as stored:
        expected, total = stored["loss/components"], float(stored["loss/total"])
    network = DAFlow().double()
    network.load_state_dict(
        {
            key: torch.from_numpy(weight(key, tuple(value.shape)))
            for key, value in network.state_dict().items()
        }
    )
    person, pose, agnostic, garment = (
        picture(f"b.{n}", 256, 192) for n in ("person", "pose", "agnostic", "garment")
    )
    with torch.no_grad():
        _, levels = network.train()(
            torch.cat([pose, agnostic], 1), garment, agnostic, return_levels=True
        )
        terms = TryOnLoss(networks)(levels, person)
    np.testing.assert_allclose(terms["components"][:, :4].numpy(), expected, rtol=1e-11)
    assert float(terms["total"]) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("with_networks", [True, False])
def test_lean_backward_equals_the_plain_sum(networks, with_networks):
    loss = TryOnLoss(networks if with_networks else None)
    target = picture("loss.target", 64, 48, batch=2)
    plain, lean = ([level.requires_grad_() for level in pyramid(batch=2)] for _ in range(2))
    expected = loss(plain, target)
    expected["total"].backward()
    found = loss.backward_through(lean, target)
    assert set(found) == {"total", "components", *TERMS}
    for name, value in found.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, expected[name].detach(), rtol=1e-12, atol=0)
    for ours, theirs in zip(lean, plain):
        assert theirs.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-15)


def test_terms_are_shares_that_add_up_to_the_total(networks):
    terms = TryOnLoss(networks).values(pyramid(), picture("loss.target", 64, 48))
    assert float(sum(terms[name] for name in TERMS)) == pytest.approx(
        float(terms["total"]), rel=1e-12
    )
    by_hand = sum(
        (n + 1) * (row @ torch.tensor([1, 1, 100, 0.1, 0], dtype=row.dtype))
        for n, row in enumerate(terms["components"])
    )
    assert float(by_hand) == pytest.approx(float(terms["total"]), rel=1e-12)


def test_a_perfect_result_costs_nothing(networks):
    target = picture("loss.target", 64, 48)
    levels = [F.interpolate(target, scale_factor=0.5 ** (2 - n), mode="bilinear") for n in range(3)]
    terms = TryOnLoss(networks).values(levels, target)
    assert float(terms["total"]) == 0


def test_accumulated_steps_give_the_gradient_of_their_mean(networks):
    target = picture("loss.target", 64, 48, batch=2)
    whole, parts = ([level.requires_grad_() for level in pyramid(batch=2)] for _ in range(2))
    loss = TryOnLoss(networks)
    loss.backward_through(whole, target)
    for one in range(2):
        loss.backward_through(
            [level[one : one + 1] for level in parts], target[one : one + 1], scale=0.5
        )
    for ours, theirs in zip(parts, whole):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-14)


def test_half_precision_levels_get_gradients_of_their_own_type_close_to_the_exact_ones():
    loss = TryOnLoss(filled(torch.float32))
    target = picture("loss.target", 64, 48, dtype=torch.float32)
    exact = [level.requires_grad_() for level in pyramid(dtype=torch.float32)]
    half = [level.detach().bfloat16().requires_grad_() for level in exact]
    loss.backward_through(exact, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss.backward_through(half, target, scale=1024.0)
    assert terms["total"].dtype == torch.float32
    for ours, theirs in zip(half, exact):
        assert ours.grad.dtype == torch.bfloat16
        cosine = F.cosine_similarity(
            ours.grad.float().flatten() / 1024, theirs.grad.flatten(), dim=0
        )
        assert cosine > 0.95


def test_a_grad_scaler_takes_the_scaled_gradients_back_to_the_exact_ones(networks):
    weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    target, loss = picture("loss.target", 64, 48), TryOnLoss(networks)
    plain = torch.autograd.grad(
        loss([level * weight for level in pyramid()], target)["total"], weight
    )[0]
    scale = scaler.scale(torch.ones(()))
    loss.backward_through([level * weight for level in pyramid()], target, scale=scale.double())
    assert weight.grad == pytest.approx(1024 * float(plain), rel=1e-9)
    scaler.step(optimiser)
    assert weight.item() == pytest.approx(0.5 - float(plain), rel=1e-6)


def test_terms_that_weigh_nothing_are_not_computed(networks):
    terms = TryOnLoss(networks, LossWeights(lpips=0, content=0)).values(
        pyramid(), picture("loss.target", 64, 48)
    )
    assert terms["components"][:, 1].abs().max() == 0 and terms["components"][:, 3].abs().max() == 0
    assert float(terms["total"]) == pytest.approx(float(terms["l1"] + terms["style"]), rel=1e-12)


def test_memory_does_not_grow_with_the_number_of_levels():
    loss = TryOnLoss(filled(torch.float32))
    target = picture("loss.target", 64, 48, dtype=torch.float32)
    same_size = [
        picture(f"same{n}", 64, 48, dtype=torch.float32).requires_grad_() for n in range(5)
    ]
    one = kept_mib(loss, lambda: loss.backward_through(same_size[1:2] * 2, target))
    five = kept_mib(loss, lambda: loss.backward_through(same_size, target))
    plain = kept_mib(loss, lambda: loss(same_size, target)["total"].backward())
    assert five == one
    assert plain > 3 * five


def test_gram_matrices_survive_values_that_overflow_half_precision():
    features = torch.full((1, 4, 8, 8), 200.0, dtype=torch.float16)
    assert torch.isfinite(gram_matrix(features)).all()
    assert float(gram_matrix(features)[0, 0, 0]) == pytest.approx(200**2 / 4)


def test_only_the_coarsest_level_is_enlarged_at_official_sizes():
    for height, width in ((256, 192), (512, 384), (1024, 768)):
        assert [enlargement(n, (height >> 4 - n, width >> 4 - n)) for n in range(5)] == [
            2,
            1,
            1,
            1,
            1,
        ]
    assert (
        enlargement(0, (4, 3)) == 8
    )  # small training sizes are enlarged until VGG has something to look at


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_no_backward_pass_runs_under_autocast(dtype):
    # Gram matrices are multiplied in float32: autocast would halve their gradients' precision.
    target, under = torch.rand(1, 3, 32, 32), []
    start = torch.rand(1, 3, 32, 32, requires_grad=True)
    level = start * 1.0
    level.register_hook(lambda _: under.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", dtype):
        TryOnLoss().backward_through([level] * 5, target)
    assert under and not any(under) and start.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gram_matrices_and_their_gradients_keep_float32_under_autocast(dtype):
    features = torch.randn(1, 64, 24, 24, generator=torch.Generator().manual_seed(0))

    def gradient(enabled):
        leaf = features.clone().requires_grad_()
        with torch.autocast("cpu", dtype, enabled=enabled):
            value = gram_matrix(leaf).abs().mean()
            with without_autocast(leaf):
                value.backward()
        return leaf.grad

    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-6, atol=0)
