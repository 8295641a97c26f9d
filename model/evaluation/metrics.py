"""How good a result is: SSIM, PSNR and L1 of a pair, whole and inside the mask. Sets of pictures:
``model.fid``."""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity

PAIR_METRICS = ("ssim", "psnr", "l1", "ssim_inside", "psnr_inside", "l1_inside")
LARGEST_PSNR = 100.0
"""PSNR of equal pictures, in dB: means over pairs stay finite."""


def unit(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float64 in [0, 1] of an (H, W, 3) uint8 picture."""
    return image.astype(np.float64) / 255


def ssim_map(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) float64: structural similarity at every pixel, mean over R, G and B.

    Wang et al., 2004: Gaussian window of sigma 1.5 cut to 11 x 11, biased covariance, K1 = 0.01, K2
    = 0.03; borders are mirrored. ``result`` and ``truth`` are (H, W, 3) float in [0, 1].
    """
    _, values = structural_similarity(
        truth,
        result,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return values.mean(2)


def psnr_of(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; at most ``LARGEST_PSNR``."""
    return min(LARGEST_PSNR, -10 * math.log10(squared_error)) if squared_error > 0 else LARGEST_PSNR


def pair_metrics(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """All figures of one pair.

    Args:
        result, truth: (H, W, 3) uint8 RGB of one size, at least 11 x 11.
        mask: (H, W) bool, True = hidden from the network.

    Returns:
        The names of ``PAIR_METRICS``. ``ssim`` is the mean of ``ssim_map`` without the window's 5
        pixels at the border, as scikit-image and the usual evaluations have it; ``ssim_inside`` its
        mean over the mask's pixels. ``l1`` is the mean absolute difference in [0, 1], ``psnr``
        comes from the mean squared one; inside, both means run over the mask's pixels. NaN inside
        an empty mask.
    """
    ours, theirs = unit(result), unit(truth)
    similarity, difference = ssim_map(ours, theirs), ours - theirs
    absolute, squared = np.abs(difference).mean(2), np.square(difference).mean(2)
    figures = {
        "ssim": float(similarity[5:-5, 5:-5].mean()),
        "psnr": psnr_of(float(squared.mean())),
        "l1": float(absolute.mean()),
    }
    if not mask.any():
        return figures | {f"{name}_inside": math.nan for name in ("ssim", "psnr", "l1")}
    return figures | {
        "ssim_inside": float(similarity[mask].mean()),
        "l1_inside": float(absolute[mask].mean()),
        "psnr_inside": psnr_of(float(squared[mask].mean())),
    }
