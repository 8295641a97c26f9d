"""Each metric against another implementation or a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from model.evaluation.fid import FeatureSet, Inception, fid, frechet_distance, kid, polynomial_mmd
from model.evaluation.metrics import (
    LARGEST_PSNR,
    detail,
    likeness,
    pair_metrics,
    ssim_map,
    unit,
)
from pipeline.base.errors import DataError
from tests.sandboxed import require_sandbox


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(rng.random((64, 48, 3)), (2, 2, 0))
    truth = ((truth - truth.min()) / np.ptp(truth) * 255).astype(np.uint8)
    result = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    mask = np.zeros((64, 48), bool)
    mask[20:50, 10:30] = True
    return result, truth, mask


def windowed_ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The formula of Wang et al. with an 11 x 11 Gaussian window, one channel."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    mean = lambda x: ndimage.correlate(x, window, mode="mirror")
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    return (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))


def test_ssim_equals_its_formula_written_out(pictures):
    result, truth, mask = pictures
    expected = np.mean(
        [windowed_ssim(unit(result)[..., c], unit(truth)[..., c]) for c in range(3)], axis=0
    )
    np.testing.assert_allclose(ssim_map(result, truth), expected, atol=1e-4)
    figures = pair_metrics(result, truth, mask)
    assert figures["ssim_inside"] == pytest.approx(expected[mask].mean(), abs=1e-5)
    assert figures["ssim"] == pytest.approx(expected.mean(), abs=1e-5)


def test_bytes_and_floats_of_a_picture_have_the_same_figures(pictures):
    result, truth, mask = pictures
    assert pair_metrics(result / 255, truth / 255, mask) == pytest.approx(
        pair_metrics(result, truth, mask), rel=1e-5
    )


def test_detail_tells_blur_from_noise(pictures):
    _, truth, mask = pictures
    blurred = ndimage.gaussian_filter(truth, (2, 2, 0))
    noise = np.random.default_rng(1).integers(0, 255, truth.shape).astype(np.uint8)
    assert detail(truth, truth, mask) == pytest.approx((1, 1))
    soft, alike = detail(blurred, truth, mask)
    assert soft < 0.7 and alike > 0.7
    loud, unlike = detail(noise, truth, mask)
    assert loud > 1 and abs(unlike) < 0.2
    assert detail(np.full_like(truth, 90), truth, mask) == (0, 0)
    assert all(map(math.isnan, detail(truth, np.full_like(truth, 90), mask)))


def printed(seed: int = 0) -> np.ndarray:
    """(256, 192, 3) float in [0, 1]: stripes and dots on a garment of one colour."""
    picture = np.full((256, 192, 3), (0.2, 0.3, 0.6))
    picture[60:200, 40:150][::12] = (0.9, 0.8, 0.2)
    rng = np.random.default_rng(seed)
    for y, x in zip(rng.integers(60, 190, 40), rng.integers(40, 140, 40)):
        picture[y : y + 8, x : x + 8] = rng.random(3)
    return ndimage.gaussian_filter(picture, (0.7, 0.7, 0))


def test_likeness_prefers_a_print_that_is_a_little_off_to_its_fog_and_l1_and_ssim_do_not():
    truth, mask = printed(), np.zeros((256, 192), bool)
    mask[50:210, 30:160] = True
    places = [np.roll(truth, (dy, dx), (0, 1)) for dy in (-3, 0, 3) for dx in (-3, 0, 3)]
    off, fog = (pair_metrics(x, truth, mask) for x in (places[0], np.mean(places, 0)))
    assert off["likeness_inside"] > fog["likeness_inside"]
    assert off["l1_inside"] > fog["l1_inside"] and off["ssim_inside"] < fog["ssim_inside"]


def test_likeness_is_1_for_the_truth_and_falls_with_blur_noise_colour_and_distance():
    truth, mask = printed(), np.zeros((256, 192), bool)
    mask[50:210, 30:160] = True
    noise, of = (
        np.random.default_rng(2).normal(0, 1, truth.shape),
        lambda x: likeness(x, truth, mask),
    )
    kinds = (
        [ndimage.gaussian_filter(truth, (s, s, 0)) for s in (1, 2, 4)],
        [truth + s * noise for s in (0.03, 0.1, 0.3)],
        [truth + s for s in (0.05, 0.1, 0.2)],
        [np.roll(truth, s, 1) for s in (2, 6, 18)],
        [printed(seed=5), np.broadcast_to(truth[mask].mean(0), truth.shape)],
    )
    assert of(truth) == pytest.approx(1, abs=1e-4)
    for pictures in kinds:
        values = [of(x.clip(0, 1).astype(np.float32)) for x in pictures]
        assert of(truth) > values[0] and values == sorted(values, reverse=True)
    assert math.isnan(likeness(truth, truth, np.zeros_like(mask)))
    assert 0 <= of(1 - truth) < 0.1


def test_an_edge_around_the_mask_is_no_detail_inside(pictures):
    _, truth, mask = pictures
    framed = truth.copy()
    framed[~mask] = 0
    assert detail(framed, truth, mask) == pytest.approx((1, 1))


def test_psnr_and_l1_equal_plain_numpy_and_scikit_image(pictures):
    result, truth, mask = pictures
    figures = pair_metrics(result, truth, mask)
    difference = (result.astype(float) - truth) / 255
    assert figures["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, result))
    assert figures["l1"] == pytest.approx(np.abs(difference).mean())
    assert figures["l1_inside"] == pytest.approx(np.abs(difference[mask]).mean())
    assert figures["psnr_inside"] == pytest.approx(-10 * math.log10((difference[mask] ** 2).mean()))


def test_an_error_outside_of_the_mask_is_not_counted_inside(pictures):
    _, truth, mask = pictures
    result = truth.copy()
    result[:6] = 255 - result[:6]
    figures = pair_metrics(result, truth, mask)
    assert (
        figures["l1_inside"] == 0
        and figures["ssim_inside"] == pytest.approx(1, abs=1e-5)
        and figures["l1"] > 0
    )
    assert figures["psnr_inside"] == LARGEST_PSNR


def test_an_empty_mask_gives_no_figure_inside(pictures):
    result, truth, mask = pictures
    figures = pair_metrics(result, truth, np.zeros_like(mask))
    assert math.isnan(figures["l1_inside"]) and not math.isnan(figures["l1"])


def test_frechet_distance_of_gaussians_with_diagonal_covariance_is_the_closed_form():
    mean_a, mean_b = np.array([0.0, 1, 2]), np.array([1.0, 1, -1])
    a, b = np.array([1.0, 4, 9]), np.array([4.0, 4, 1])
    expected = ((mean_a - mean_b) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(mean_a, np.diag(a), mean_b, np.diag(b)) == pytest.approx(expected)


def test_frechet_distance_equals_the_matrix_root_of_any_covariances():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a, b = (m @ m.T for m in rng.normal(size=(2, 6, 6)))
    expected = np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(np.zeros(6), a, np.zeros(6), b) == pytest.approx(expected)


def feature_set(*batches: np.ndarray) -> FeatureSet:
    found = FeatureSet()
    for batch in batches:
        found.add(batch)
    return found


def test_fid_of_few_pictures_is_finite_and_zero_for_the_same_set():
    features = np.random.default_rng(2).normal(size=(10, 40))
    one, same, moved = (
        feature_set(features),
        feature_set(features[:4], features[4:]),
        feature_set(features + 1),
    )
    assert fid(one, same) == pytest.approx(0, abs=1e-6)
    assert fid(one, moved) == pytest.approx(40, rel=1e-6)
    assert math.isnan(fid(feature_set(features[:1]), one))


def test_moments_of_batches_and_of_joined_sets_are_those_of_all_pictures():
    features = np.random.default_rng(5).normal(3, 2, size=(30, 7))
    for found in (
        feature_set(features[:9], features[9:]),
        feature_set(features[:9]) + feature_set(features[9:]),
    ):
        mean, covariance = found.moments()
        np.testing.assert_allclose(mean, features.mean(0))
        np.testing.assert_allclose(covariance, np.cov(features, rowvar=False))
        np.testing.assert_allclose(found.rows, features, rtol=1e-6)


def test_memory_of_a_set_stops_growing(monkeypatch):
    monkeypatch.setattr("model.evaluation.fid.KID_POOL", 12)
    found = feature_set(*np.ones((5, 10, 3)))
    assert found.count == 50 and len(found.rows) == 12


def test_kid_equals_the_sum_over_pairs_written_out():
    a, b = np.random.default_rng(3).normal(size=(2, 5, 4))
    kernel = lambda x, y: (x @ y / 4 + 1) ** 3
    same = lambda s: sum(kernel(s[i], s[j]) for i in range(5) for j in range(5) if i != j) / 20
    expected = same(a) + same(b) - 2 * sum(kernel(x, y) for x in a for y in b) / 25
    assert polynomial_mmd(a, b) == pytest.approx(expected)
    assert kid(a, b) == pytest.approx(expected)  # subsets of all: only the order is random


def test_kid_is_unbiased_and_grows_with_the_distance():
    rng = np.random.default_rng(4)
    a, b, c = rng.normal(size=(3, 400, 8))
    assert abs(kid(a, b, subsets=20, size=200)) < 0.02
    assert kid(a, c + 1, subsets=20, size=200) > 0.5


class TinyInception(torch.nn.Module):
    """Mean and spread of each channel instead of 2,048 learned features; called as the real file
    is."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        values = images.float().flatten(2) / 255
        out = torch.cat([values.mean(2), values.std(2)], 1)
        return out if return_features else out * 0


def test_inception_file_is_asked_for_features(tmp_path):
    require_sandbox()
    torch.jit.script(TinyInception()).save(str(tmp_path / "tiny.pt"))
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    found = Inception(tmp_path / "tiny.pt")(images)
    np.testing.assert_allclose(found[:, :3], images.float().mean((2, 3)).numpy() / 255, rtol=1e-5)


def test_a_file_that_is_no_inception_is_refused(tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no TorchScript"):
        Inception(tmp_path / "bad.pt")
    require_sandbox()
    torch.jit.script(torch.nn.Identity()).save(str(tmp_path / "identity.pt"))
    with pytest.raises(DataError, match="one row of features"):
        Inception(tmp_path / "identity.pt")(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
