"""The frozen feature stacks and LPIPS against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.loss.losses import CONTENT_TAPS, STYLE_TAPS
from model.loss.vgg import (
    LPIPS_TAPS,
    WIDTHS,
    Lpips,
    VggFeatures,
    _WeightedDistance,
    unit_features,
    weighted_distance,
)
from pipeline.base.errors import DataError

PLANS = {
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512",
}


def torchvision_like(depth: int) -> nn.Sequential:
    """The whole stack as torchvision lays it out, in float64, with small random weights."""
    torch.manual_seed(depth)
    layers: list[nn.Module] = []
    channels = 3
    for part in PLANS[depth].split():
        if part == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, int(part), 3, padding=1), nn.ReLU()]
            channels = int(part)
    return nn.Sequential(*layers).double()


def plain_taps(stack: nn.Sequential, image: torch.Tensor) -> dict[str, torch.Tensor]:
    found, block, number = {}, 1, 0
    for layer in stack:
        image = layer(image)
        if isinstance(layer, nn.MaxPool2d):
            block, number = block + 1, 0
        elif isinstance(layer, nn.ReLU):
            number += 1
            found[f"relu{block}_{number}"] = image
    return found


def official_state(depth: int) -> dict[str, torch.Tensor]:
    return {f"features.{key}": value for key, value in torchvision_like(depth).state_dict().items()}


@pytest.fixture(params=[(16, LPIPS_TAPS), (19, CONTENT_TAPS + STYLE_TAPS)], ids=["vgg16", "vgg19"])
def pair(request):
    depth, taps = request.param
    ours = VggFeatures(depth, taps).double()
    ours.load_official(official_state(depth) | {"classifier.0.weight": torch.zeros(1)}, "file")
    return ours, torchvision_like(depth), taps


@pytest.mark.parametrize("size", [(32, 24), (37, 23)], ids=["even", "odd"])
def test_features_and_gradients_equal_those_of_the_plain_stack(pair, size):
    ours, plain, taps = pair
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    one, two = image.clone().requires_grad_(), image.clone().requires_grad_()
    found, expected = ours(one), plain_taps(plain, two)
    assert set(found) == set(taps)
    for name in taps:
        torch.testing.assert_close(found[name], expected[name])
    sum(found[name].square().mean() for name in taps).backward()
    sum(expected[name].square().mean() for name in taps).backward()
    assert two.grad.abs().max() > 0
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-14)


def test_layers_behind_the_last_wanted_one_are_not_built():
    vgg19 = VggFeatures(19, CONTENT_TAPS + STYLE_TAPS)
    assert "features.30.weight" in vgg19.state_dict()
    assert not any(key.startswith(("features.32", "features.34")) for key in vgg19.state_dict())
    assert not any(weight.requires_grad for weight in vgg19.parameters())


def test_weights_of_another_network_are_refused_by_name():
    vgg19 = VggFeatures(19, STYLE_TAPS)
    with pytest.raises(DataError, match="features.14.weight.*vgg16.pth|vgg16.pth.*features"):
        vgg19.load_official(official_state(16), "vgg16.pth")
    with pytest.raises(DataError, match="no entry features.0.weight"):
        vgg19.load_official({"weight": torch.zeros(1)}, "other.pth")


def linear_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(WIDTHS)}


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    network = Lpips().double()
    network.load_official(official_state(16), linear_state())
    return network


def test_lpips_equals_its_definition_written_out(lpips):
    torch.manual_seed(3)
    a, b = (torch.rand(2, 3, 32, 48, dtype=torch.float64) * 2 - 1 for _ in range(2))
    shift, scale = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1)
        for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450])
    )
    stack = torchvision_like(16)
    expected = torch.zeros(2, dtype=torch.float64)
    features = [plain_taps(stack, (image - shift) / scale) for image in (a, b)]
    for name, weight in zip(LPIPS_TAPS, linear_state().values()):
        one, two = (
            f[name] / (f[name].pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for f in features
        )
        expected += F.conv2d((one - two) ** 2, weight.double()).mean((1, 2, 3))
    torch.testing.assert_close(lpips(a, b), expected, rtol=1e-9, atol=0)
    assert (expected > 0).all()


def test_lpips_of_equal_images_is_zero_and_it_is_symmetric(lpips):
    a, b = (torch.rand(1, 3, 32, 32, dtype=torch.float64) * 2 - 1 for _ in range(2))
    assert float(lpips(a, a)) == 0
    torch.testing.assert_close(lpips(a, b), lpips(b, a))


def test_gradient_of_a_layers_distance_is_the_derivative_of_its_formula():
    torch.manual_seed(2)
    features, others = (torch.rand(2, 5, 3, 4, dtype=torch.float64) for _ in range(2))
    features[:, :, 0, 0] = 0  # a pixel where every channel is dead
    weight = torch.rand(1, 5, 1, 1, dtype=torch.float64)
    one, two = features.clone().requires_grad_(), features.clone().requires_grad_()
    found, expected = (
        _WeightedDistance.apply(one, others, weight),
        weighted_distance(two, others, weight),
    )
    torch.testing.assert_close(found, expected)
    factor = torch.tensor([1.0, -3.0], dtype=torch.float64)
    (found * factor).sum().backward()
    (expected * factor).sum().backward()
    assert torch.isfinite(two.grad[:, :, 1:]).all()
    torch.testing.assert_close(one.grad[:, :, 1:], two.grad[:, :, 1:])
    assert one.grad[:, :, 0, 0].abs().max() == 0


def test_unit_features_have_length_one_or_zero():
    features = torch.rand(1, 8, 2, 2)
    features[:, :, 0, 0] = 0
    lengths = unit_features(features).norm(dim=1)[0]
    assert float(lengths[0, 0]) == 0 and lengths[1, 1] == pytest.approx(1, abs=1e-6)


def test_linear_layers_of_another_shape_or_sign_are_refused():
    network = Lpips()
    for key, value, reason in (
        ("lin2.model.1.weight", torch.rand(1, 64, 1, 1), "shape"),
        ("lin0.model.1.weight", -torch.rand(1, 64, 1, 1), "negative"),
    ):
        with pytest.raises(DataError, match=reason):
            network.load_official(
                official_state(16), linear_state() | {key: value}, linear_path="alex.pth"
            )
