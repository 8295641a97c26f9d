"""Figures of a network on held-out pairs, the gap between its two modes, and signs that its output
has collapsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from model.training.processes import Processes
from model.training.schedule import statistics_kept
from pipeline.base.labels import Category

MEASURES = ("l1", "l1_inside", "l1_outside", "ssim", "ssim_inside", "ssim_outside")
GAP_PAIRS = 32  # pairs on which the two modes are compared
BLANK_STD, SAME_STD = 0.03, 0.05


def pair_figures(result: np.ndarray, person: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """L1 and SSIM of one picture, whole, inside the mask and outside.

    Args:
        result, person: (H, W, 3) float in [0, 1].
        mask: (H, W) bool, True = hidden.

    Returns:
        The names of ``MEASURES``. L1 is the mean absolute difference in [0, 1]; SSIM is Wang et
        al.'s (2004) with a Gaussian window of sigma 1.5, its map averaged over the region. NaN
        where the region is empty.
    """
    difference = np.abs(result - person).mean(2)
    _, similarity = structural_similarity(
        result,
        person,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    similarity = similarity.mean(2)
    regions = {"": np.ones_like(mask), "_inside": mask, "_outside": ~mask}
    return {
        name + end: float(values[region].mean()) if region.any() else math.nan
        for name, values in (("l1", difference), ("ssim", similarity))
        for end, region in regions.items()
    }


def _pixels(images: Tensor) -> np.ndarray:
    """(B, H, W, 3) float64 in [0, 1]; NaN becomes 0."""
    return (
        images.float().nan_to_num(-1).clamp(-1, 1).permute(0, 2, 3, 1).cpu().double().numpy() + 1
    ) / 2


@torch.no_grad()
def measure(
    network: nn.Module,
    batches: Iterable[dict],
    loss: Callable | None,
    device: torch.device,
    extra: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> list[dict]:
    """One row of figures for each pair, in evaluation mode.

    Args:
        loss: ``loss(levels, person) -> {"total": ...}``; its value is the batch's, given to each of
            its pairs.
        extra: LPIPS of (results, persons) in [-1, 1] -> (B,), where its weights are there.
    """
    network.eval()
    rows = []
    for batch in batches:
        person = batch["person"].to(device)
        result, levels = network(*inputs_of(batch, device), return_levels=True)
        total = (
            float(loss([level.float() for level in levels], person)["total"]) if loss else math.nan
        )
        lpips = (
            extra(result.float(), person).flatten().tolist() if extra else [math.nan] * len(person)
        )
        finite = torch.isfinite(result.float()).flatten(1).all(1).tolist()
        for i, (ours, truth) in enumerate(zip(_pixels(result), _pixels(person))):
            figures = pair_figures(ours, truth, batch["mask"][i, 0].cpu().numpy() > 0.5)
            rows.append(
                figures
                | {
                    "index": int(batch["index"][i]),
                    "category": int(batch["category"][i]),
                    "loss": total,
                    "lpips": lpips[i],
                    "finite": finite[i],
                    "std": float(ours.std()),
                    "small": _small(ours),
                    "small_truth": _small(truth),
                }
            )
    return rows


def inputs_of(batch: dict, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What the network takes: reference, garment, agnostic."""
    return tuple(
        batch[name].to(device, non_blocking=True) for name in ("reference", "garment", "agnostic")
    )


def _small(image: np.ndarray) -> list[float]:
    """A few numbers that tell two pictures apart: means over a 4 x 4 grid."""
    height, width = (side // 4 * 4 for side in image.shape[:2])
    return (
        image[:height, :width]
        .reshape(4, height // 4, 4, width // 4, 3)
        .mean((1, 3))
        .ravel()
        .tolist()
    )


def summarise(rows: list[dict]) -> dict:
    """Means over the pairs, and by category; each pair counts once, LPIPS is left out where it was
    not measured.

    Returns:
        {"loss", "l1", ..., "count", "categories": {name: the same}}.
    """
    rows = sorted({row["index"]: row for row in rows}.values(), key=lambda row: row["index"])
    groups = {str(c): [row for row in rows if row["category"] == c.index] for c in Category}
    return _means(rows) | {
        "categories": {name: _means(group) for name, group in groups.items() if group}
    }


def _means(rows: list[dict]) -> dict[str, float]:
    figures: dict[str, float] = {"count": len(rows)}
    for name in ("loss", *MEASURES, "lpips"):
        values = [row[name] for row in rows if not math.isnan(row[name])]
        if values:
            figures[name] = math.fsum(values) / len(values)
    return figures


def collapse(rows: list[dict]) -> list[str]:
    """What is wrong with the outputs, in words; empty if they look alive."""
    signs = []
    broken = sum(not row["finite"] for row in rows)
    blank = sum(row["std"] < BLANK_STD for row in rows)
    if broken:
        signs.append(f"{broken} of {len(rows)} results hold NaN or infinite values")
    if blank:
        signs.append(f"{blank} of {len(rows)} results are blank (one colour all over)")
    if len(rows) > 2 and not broken and not blank:
        ours, truth = (
            np.array([row[name] for row in rows]).std(0).mean() for name in ("small", "small_truth")
        )
        if ours < SAME_STD * truth:
            signs.append(f"all {len(rows)} results are nearly the same picture")
    return signs


@torch.no_grad()
def mode_gap(network: nn.Module, batches: Iterable[dict], device: torch.device) -> dict[str, float]:
    """L1 in [0, 1] of the same pairs with the batch's statistics, as in training, and with the
    running ones.

    "Trains fine, tests blank" is a large gap: ``gap`` = evaluation - training mode. Statistics stay
    as they are.
    """
    sums, count = {"l1_training_mode": 0.0, "l1_evaluation_mode": 0.0}, 0
    with statistics_kept(network):
        for batch in batches:
            person, inputs = batch["person"].to(device), inputs_of(batch, device)
            for name, training in (("l1_training_mode", True), ("l1_evaluation_mode", False)):
                network.train(training)
                result = network(*inputs).float().nan_to_num(-1).clamp(-1, 1)
                sums[name] += float((result - person).abs().mean()) / 2 * len(person)
            count += len(person)
            if count >= GAP_PAIRS:
                break
    means = {name: value / max(count, 1) for name, value in sums.items()}
    return means | {"gap": means["l1_evaluation_mode"] - means["l1_training_mode"]}


def gathered(rows: list[dict], processes: Processes) -> list[dict]:
    """The rows of all processes, in the order of the dataset."""
    return sorted(processes.gather(rows), key=lambda row: row["index"])
