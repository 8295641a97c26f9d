"""How good a result is: SSIM, PSNR, L1 and detail of a pair, whole, inside the mask and outside.

One definition each, for ``evaluate``, for the log of a training run and for benchmarks; sets of
pictures are compared in ``fid``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import cv2
import numpy as np

PAIR_METRICS = (
    "ssim",
    "psnr",
    "l1",
    "ssim_inside",
    "psnr_inside",
    "l1_inside",
    "ssim_outside",
    "l1_outside",
    "detail",
    "gradient_correlation",
    "likeness_inside",
)
LARGER_IS_BETTER = ("ssim", "psnr", "gradient_correlation", "likeness")
"""How the names of such figures begin; of the others smaller values are better, but for
``detail``, which is best at 1."""
LARGEST_PSNR = 100.0
"""PSNR of equal pictures, in dB: means over pairs stay finite."""
WINDOW_PX, SIGMA = 11, 1.5
"""Of SSIM's Gaussian window."""
PLAIN = 1.0 / 255
"""Root mean square of the truth's gradient, a pixel, below which it has no detail to compare."""
COARSE_ROWS = 16
"""Rows of the pictures whose shapes and colours ``likeness`` compares."""
SPREAD = 1.0 / 32
"""Sigma of the window that detail is counted in by ``likeness``, as a part of the picture's height:
detail that is off by less counts as there."""
GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. 601's shares of red, green and blue."""


def unit(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] of an (H, W, 3) picture, uint8 or float in [0, 1]."""
    if image.dtype == np.uint8:
        return image * np.float32(1 / 255)
    return np.asarray(image, np.float32)


def ssim_map(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) float32: structural similarity at every pixel, mean over R, G and B.

    Wang et al., 2004, as torchmetrics has it by default: Gaussian window of sigma 1.5 cut to 11 x
    11, biased covariance, K1 = 0.01, K2 = 0.03, range 1. Borders are mirrored without repeating the
    outermost pixel, and no border is left out of a mean.

    Args:
        result, truth: (H, W, 3) RGB, uint8 or float in [0, 1], at least 6 x 6.
    """
    ours, theirs = unit(result), unit(truth)
    mean_a, mean_b = _windowed(ours), _windowed(theirs)
    variance = _windowed(ours * ours) - mean_a * mean_a
    variance += _windowed(theirs * theirs) - mean_b * mean_b
    product = mean_a * mean_b
    covariance = _windowed(ours * theirs) - product
    values = (2 * product + 1e-4) * (2 * covariance + 9e-4)
    values /= (mean_a * mean_a + mean_b * mean_b + 1e-4) * (variance + 9e-4)
    return values.mean(2)


def _windowed(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(
        values, (WINDOW_PX, WINDOW_PX), SIGMA, borderType=cv2.BORDER_REFLECT_101
    )


def psnr_of(squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; at most ``LARGEST_PSNR``."""
    return min(LARGEST_PSNR, -10 * math.log10(squared_error)) if squared_error > 0 else LARGEST_PSNR


def detail(result: np.ndarray, truth: np.ndarray, region: np.ndarray) -> tuple[float, float]:
    """How much of the truth's detail there is in a region, and whether it is the same detail.

    Gradients are central differences of the grey picture, at the pixels whose eight neighbours lie
    in the region too, so that the region's edge is no detail.

    Args:
        result, truth: (H, W, 3) RGB, uint8 or float in [0, 1].
        region: (H, W) bool.

    Returns:
        The energy of the result's gradients over that of the truth's (0 for a flat result, 1 for
        the truth; noise may exceed it), and the correlation of the two gradient fields in [-1, 1]:
        sum(g · t) / sqrt(sum(g · g) sum(t · t)), 0 for noise and for a flat result. NaN, NaN where
        the truth is plain (``PLAIN``) or nothing of the region is left.
    """
    inner = cv2.erode(
        region.astype(np.uint8),
        np.ones((3, 3), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).view(bool)
    if not inner.any():
        return math.nan, math.nan
    ours, theirs = (_gradients(unit(picture))[:, inner] for picture in (result, truth))
    energy, wanted = (float(np.vdot(g, g)) for g in (ours, theirs))
    if wanted < PLAIN**2 * ours.shape[1]:
        return math.nan, math.nan
    together = float(np.vdot(ours, theirs))
    return energy / wanted, together / math.sqrt(energy * wanted) if energy > 0 else 0.0


def likeness(result: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """How like the truth a region looks, in [0, 1]; 1 for the truth.

    L1 and SSIM prefer fog to a print that is off by a pixel, and so does every figure that compares
    fine detail place by place. This one is a product of two that do not (``benchmarks/fog.py``):
    SSIM of both pictures at ``COARSE_ROWS`` rows, for shapes and colours; and the root mean squares
    of the gradient within a Gaussian window of ``SPREAD``, a and b, compared as SSIM compares
    contrasts: (2 a b + c) / (a a + b b + c) with c = ``PLAIN`` ** 2.

    Args:
        result, truth: (H, W, 3) RGB, uint8 or float in [0, 1], at least 6 x 6.
        region: (H, W) bool; the means run over it.

    Returns:
        NaN where nothing of the region is left.
    """
    if not region.any():
        return math.nan
    ours, theirs = unit(result), unit(truth)
    share = region.astype(np.float32)
    shape = _over(ssim_map(_coarse(ours), _coarse(theirs)), _coarse(share))
    a, b = _energy(ours), _energy(theirs)
    alike = (2 * np.sqrt(a * b) + PLAIN**2) / (a + b + PLAIN**2)
    return max(shape, 0.0) * _over(alike, _pooled(share))


def _over(values: np.ndarray, share: np.ndarray) -> float:
    """The mean of ``values``, weighted by each pixel's share of a region."""
    return float((values * share).sum(dtype=np.float64) / share.sum(dtype=np.float64))


def _coarse(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    rows = min(height, COARSE_ROWS)
    columns = max(6, round(width * rows / height))
    return cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)


def _energy(picture: np.ndarray) -> np.ndarray:
    """(h, w) float32, as large as ``_pooled`` has it: the mean square of the gradient around each
    pixel, over R, G and B."""
    right = cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    squared = _pooled((right * right + down * down).mean(2))
    sigma = SPREAD * len(squared)
    return cv2.GaussianBlur(squared, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _pooled(values: np.ndarray) -> np.ndarray:
    """Means over squares of a quarter of the window's sigma, which is as good and quicker."""
    side = max(1, int(SPREAD * len(values) / 4))
    height, width = (max(1, n // side) for n in values.shape)
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)


def _gradients(picture: np.ndarray) -> np.ndarray:
    """(2, H, W) float32: change of grey for each pixel to the right and down."""
    grey = picture @ GREY
    right = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.stack([right, down])


def pair_metrics(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """All figures of one pair.

    Args:
        result, truth: (H, W, 3) RGB of one size, uint8 or float in [0, 1], at least 6 x 6.
        mask: (H, W) bool, True = hidden from the network.

    Returns:
        The names of ``PAIR_METRICS``. ``ssim`` is the mean of ``ssim_map``, ``l1`` the mean
        absolute difference in [0, 1], ``psnr`` comes from the mean squared one; inside and outside,
        the means run over the mask's pixels and over the others. ``detail`` and
        ``gradient_correlation`` are ``detail``'s inside the mask, ``likeness_inside`` is
        ``likeness`` there. NaN where a region is empty.
    """
    ours, theirs = unit(result), unit(truth)
    similarity, difference = ssim_map(ours, theirs), ours - theirs
    absolute, squared = np.abs(difference).mean(2), np.square(difference).mean(2)
    ratio, correlation = detail(ours, theirs, mask)
    inside = bool(mask.any())
    return {
        "ssim": _mean(similarity),
        "psnr": psnr_of(_mean(squared)),
        "l1": _mean(absolute),
        "ssim_inside": _mean(similarity[mask]),
        "psnr_inside": psnr_of(_mean(squared[mask])) if inside else math.nan,
        "l1_inside": _mean(absolute[mask]),
        "ssim_outside": _mean(similarity[~mask]),
        "l1_outside": _mean(absolute[~mask]),
        "detail": ratio,
        "gradient_correlation": correlation,
        "likeness_inside": likeness(ours, theirs, mask),
    }


def mean_figures(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float]:
    """Means over people of the figures that they have; each person counts once, NaN does not.

    ``detail`` is the median: a ratio is far above 1 for somebody whose truth is nearly plain.
    """
    found = {}
    for name in names:
        values = [row[name] for row in rows if name in row and not math.isnan(row[name])]
        if values:
            found[name] = median(values) if name == "detail" else math.fsum(values) / len(values)
    return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else math.nan
