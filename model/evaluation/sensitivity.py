"""How much a method's picture depends on the mask's shape: the same people with every style."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.data.dataset import TryOnDataset
from model.data.loading import Loader, in_batches
from model.evaluation.evaluate import ALL, people_of
from model.evaluation.methods import Method, Network
from model.evaluation.metrics import ssim_map, unit
from pipeline.base.errors import DataError
from pipeline.base.labels import Category


def mask_sensitivity(
    method: Method,
    shards: Sequence[Path],
    *,
    styles: Sequence[str] = (),
    limit: int | None = None,
    categories: Sequence[Category] | None = None,
    batch_size: int = 4,
    progress: Callable[[int], None] = lambda count: None,
    begin: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """L1 and SSIM of paired people with each style, on the region that all styles hide.

    Args:
        styles: which; all that the shards hold by default, at least two.

    Returns:
        Group (``all`` and the categories) -> {"count", "styles": {style: {"l1", "ssim"}},
        "l1_spread", "ssim_spread"}. A spread is (largest - smallest) / mean over the styles: 0
        where the mask's shape does not matter.

    Raises:
        DataError: fewer than two styles, or no paired people.
    """
    probe = TryOnDataset(shards, categories=categories, limit=limit)
    chosen = tuple(styles) or tuple(probe.folders[0].styles)
    if len(chosen) < 2:
        raise DataError(
            ", ".join(map(str, shards)),
            f"masks of the style {chosen[0]} alone",
            "two styles or more",
            "Preprocess again with --mask-style for each",
        )
    device = method.predictor.device if isinstance(method, Network) else torch.device("cpu")
    loaders = [
        Loader(data, in_batches(range(len(data)), batch_size), device)
        for data in (
            TryOnDataset(shards, mask_style=s, categories=categories, limit=limit) for s in chosen
        )
    ]
    begin(len(probe))
    rows: list[tuple[str, dict[str, tuple[float, float]]]] = []
    for batches in zip(*loaders):
        everyone = [people_of(probe, batch) for batch in batches]
        drawn = [method.draw(batch, people) for batch, people in zip(batches, everyone)]
        for people, pictures in zip(zip(*everyone), zip(*drawn)):
            region = np.logical_and.reduce([shown.mask for shown in people])
            if people[0].paired and region.any() and all(p is not None for p in pictures):
                found = {
                    style: _figures(picture, people[0].photo, region)
                    for style, picture in zip(chosen, pictures)
                }
                rows.append((str(people[0].row.category), found))
        progress(len(everyone[0]))
    if not rows:
        raise DataError(", ".join(map(str, shards)), "no paired people", "shards of test_paired")
    groups: dict[str, list[Any]] = defaultdict(list[Any])
    for category, found in rows:
        groups[ALL].append(found)
        groups[category].append(found)
    return {group: _summary(members, chosen) for group, members in groups.items()}


def _figures(picture: np.ndarray, photo: np.ndarray, region: np.ndarray) -> tuple[float, float]:
    off = np.abs(unit(picture) - unit(photo)).mean(2)[region].mean()
    return float(off), float(ssim_map(picture, photo)[region].mean())


def _summary(
    members: list[dict[str, tuple[float, float]]], styles: Sequence[str]
) -> dict[str, Any]:
    means = {style: np.mean([found[style] for found in members], axis=0) for style in styles}
    values = np.array(list(means.values()))
    spread = np.ptp(values, axis=0) / np.maximum(np.abs(values.mean(0)), 1e-9)
    return {
        "count": len(members),
        "styles": {s: {"l1": float(m[0]), "ssim": float(m[1])} for s, m in means.items()},
        "l1_spread": float(spread[0]),
        "ssim_spread": float(spread[1]),
    }
