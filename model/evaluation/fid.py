"""Distances between two sets of pictures: FID and KID over features of a TorchScript Inception
network.

The network is a file of the user's, ``inception-2015-12-05.pt`` as StyleGAN, clean-fid and others
use it. It is called as ``network(images, return_features=True)`` with (B, 3, H, W) uint8 RGB,
resizes to 299 x 299 by itself (bilinear, as TensorFlow 1 did) and returns (B, 2048) features. A
file with other manners may take (images) alone.
Sources: Heusel et al., 2017 (FID); Bińkowski et al., 2018 (KID).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from model.evaluation.protocols import clean_299
from model.tryon.torchscript import TorchScript
from pipeline.base.errors import DataError
from pipeline.base.files import brief

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
"""As clean-fid has them; subsets are smaller where there are fewer pictures."""
KID_POOL = 10_000
"""Pictures of a set that subsets are drawn from."""
RESIZE = "inside the network's file (299 x 299, bilinear)"


class Inception:
    """Features of pictures, from a TorchScript file: the known one runs here, any other in a
    process without rights to the disc (``model.tryon.torchscript``).

    Raises:
        DataError: no TorchScript file, or one that cannot be run on this system.
    """

    def __init__(self, path: Path | str, device: torch.device | str = "cpu"):
        self.path = Path(path)
        self.network = TorchScript(path, device)
        self._named = True
        try:
            self._call(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
        except RuntimeError:
            self._named = False

    def __call__(self, images: Tensor) -> np.ndarray:
        """(B, D) float64 features of (B, 3, H, W) uint8 RGB pictures. Raises DataError where the
        network gives none."""
        try:
            found = self._call(images)
        except RuntimeError as error:
            told = f"does not take uint8 pictures (B, 3, H, W) ({brief(error)[:100]})"
            raise self._refusal(told) from None
        return self._rows(found, len(images))

    def clean(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(B, D) float64 features of (H, W, 3) uint8 pictures of any size, brought to 299 x 299
        outside of the network as clean-fid does it.

        Raises:
            DataError: the file has no part ``layers`` that takes them.
        """
        small = np.stack([clean_299(image) for image in images])
        try:
            found = self.network((small - 128) / np.float32(128), part="layers")
        except RuntimeError as error:
            told = f"has no part 'layers' for clean-fid's resize ({brief(error)[:100]})"
            raise self._refusal(told) from None
        return self._rows([array.reshape(len(images), -1) for array in found], len(images))

    def _call(self, images: Tensor) -> list[np.ndarray]:
        pictures = images.cpu().numpy()
        if self._named:
            return self.network(pictures, return_features=True)
        return self.network(pictures)

    def _rows(self, found: list[np.ndarray], count: int) -> np.ndarray:
        if len(found) != 1 or found[0].ndim != 2 or len(found[0]) != count:
            raise self._refusal("does not return one row of features for each picture")
        return found[0].astype(np.float64)

    def _refusal(self, found: str) -> DataError:
        return DataError(
            self.path,
            found,
            "TorchScript Inception such as inception-2015-12-05.pt",
            "Give that file, or leave --inception out",
        )


def frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """FID of two Gaussians: |m_a - m_b|² + trace(A + B - 2 (A B)^(1/2)).

    The trace of the root is the sum of the roots of A B's eigenvalues, taken from the symmetric
    A^(1/2) B A^(1/2), which stays real where covariances are singular (fewer pictures than
    features).
    """
    values, vectors = linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    middle = linalg.eigvalsh(root @ covariance_b @ root)
    difference = mean_a - mean_b
    return float(
        max(
            0.0,
            difference @ difference
            + np.trace(covariance_a)
            + np.trace(covariance_b)
            - 2 * np.sqrt(middle.clip(0)).sum(),
        )
    )


class FeatureSet:
    """Features of a set of pictures, in memory that stops growing: moments of all, and up to
    ``KID_POOL`` rows."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._products = np.zeros(1)
        self.rows: list[np.ndarray] = []

    def add(self, features: np.ndarray) -> None:
        """Takes (B, D) more."""
        self._sum, self._products = (
            self._sum + features.sum(0),
            self._products + features.T @ features,
        )
        self.rows.extend(features[: max(0, KID_POOL - self.count)].astype(np.float32))
        self.count += len(features)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D) with N - 1, of at least two pictures."""
        mean = self._sum / self.count
        return mean, (self._products - self.count * np.outer(mean, mean)) / (self.count - 1)

    def __add__(self, other: FeatureSet) -> FeatureSet:
        both = FeatureSet()
        both.count = self.count + other.count
        both._sum, both._products = self._sum + other._sum, self._products + other._products
        both.rows = (self.rows + other.rows)[:KID_POOL]
        return both


def fid(set_a: FeatureSet, set_b: FeatureSet) -> float:
    """Fréchet distance of two sets. NaN below two pictures a set."""
    if min(set_a.count, set_b.count) < 2:
        return float("nan")
    return frechet_distance(*set_a.moments(), *set_b.moments())


def polynomial_mmd(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of two sets of one size, kernel (x·y / D + 1)³."""
    count, dimension = features_a.shape
    aa, bb, ab = (
        (x @ y.T / dimension + 1) ** 3
        for x, y in ((features_a, features_a), (features_b, features_b), (features_a, features_b))
    )
    pairs = count * (count - 1)
    return float(
        (aa.sum() - np.trace(aa)) / pairs + (bb.sum() - np.trace(bb)) / pairs - 2 * ab.mean()
    )


def kid(
    features_a: Sequence[np.ndarray],
    features_b: Sequence[np.ndarray],
    subsets: int = KID_SUBSETS,
    size: int = KID_SUBSET_SIZE,
    seed: int = 0,
) -> float:
    """Kernel Inception distance: mean of ``polynomial_mmd`` over random subsets; may be slightly
    below 0.

    Not multiplied by 1,000, as some papers do. NaN below two pictures a set.
    """
    sets = [np.asarray(features, np.float64) for features in (features_a, features_b)]
    size = min(size, *map(len, sets))
    if size < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    chosen = lambda features: features[rng.choice(len(features), size, replace=False)]
    return float(np.mean([polynomial_mmd(*map(chosen, sets)) for _ in range(subsets)]))
