"""How much of a garment arrives on a person, without any truth: colours and pattern."""

from __future__ import annotations

import math

import cv2
import numpy as np

GROUND_LEVELS = 12
"""Difference from the border's colour that is the garment, in levels of 255."""
BINS = (8, 16, 16)
"""Of lightness and the two colour axes of Lab, over what sRGB reaches."""
BANDS = (1.0, 2.0, 4.0)
"""Sigmas of the pattern's bands, in pixels at 512 rows."""
LEAST_PIXELS = 64


def cut_out(garment: np.ndarray) -> np.ndarray:
    """(H, W) bool: the garment in its picture, told from the plain ground by difference from the
    border's colour; everything where that tells nothing."""
    edge = [garment[0], garment[-1], garment[:, 0], garment[:, -1]]
    ground = np.median(np.concatenate(edge), axis=0)
    found = np.abs(garment.astype(np.float32) - ground).max(2) > GROUND_LEVELS
    return found if found.any() else np.ones(found.shape, bool)


def colours_apart(garment: np.ndarray, result: np.ndarray, region: np.ndarray) -> float:
    """Share of the garment's colours that the region lacks, 0 to 1: what is left of the garment's
    histogram after the region's is taken away, both of sum 1, in Lab, smoothed by a bin.

    Args:
        garment: (h, w, 3) uint8 RGB on a plain ground.
        result: (H, W, 3) uint8 RGB; region: (H, W) bool, what was redrawn.

    Returns:
        NaN where the region holds fewer than 64 pixels. Redrawn skin and background count too, so
        that the truth itself is not at 0: compare methods on the same people.
    """
    if region.sum() < LEAST_PIXELS:
        return math.nan
    wanted, found = _colours(garment[cut_out(garment)]), _colours(result[region])
    return float(np.clip(wanted - found, 0, None).sum())


def _colours(pixels: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(pixels.reshape(-1, 1, 3), cv2.COLOR_RGB2LAB).reshape(-1, 3)
    counts, _ = np.histogramdd(lab, bins=BINS, range=[(0, 256)] * 3)
    for axis in range(3):
        counts = _smoothed(counts, axis)
    return counts / counts.sum()


def _smoothed(counts: np.ndarray, axis: int) -> np.ndarray:
    padded = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)], "edge")
    take = lambda start: np.take(padded, np.arange(start, start + counts.shape[axis]), axis)
    return 0.25 * take(0) + 0.5 * take(1) + 0.25 * take(2)


def pattern_apart(garment: np.ndarray, result: np.ndarray, region: np.ndarray) -> float:
    """How far the pattern's strength lies from the garment's: mean over three bands of
    |log2(result / garment)| of the root mean square of the band, 0 where they are alike, 1 where
    they differ by a factor of two.

    Returns:
        NaN where too little of the region is left.
    """
    inner = cv2.erode(region.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    cloth = cv2.erode(cut_out(garment).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    if inner.sum() < LEAST_PIXELS or cloth.sum() < LEAST_PIXELS:
        return math.nan
    ours, wanted = _bands(result, inner), _bands(garment, cloth)
    return float(np.mean(np.abs(np.log2(ours / wanted))))


def _bands(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = picture.shape[0] / 512
    blurred = [grey, *(cv2.GaussianBlur(grey, (0, 0), max(0.4, s * scale)) for s in BANDS)]
    energy = [np.square(a - b)[where].mean() for a, b in zip(blurred, blurred[1:])]
    return np.sqrt(np.array(energy) + 0.25)  # half a level: what no eye tells from plain
