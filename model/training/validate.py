"""Figures of a network on held-out pairs, the gap between its two modes, and signs that its output
has collapsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.data.dataset import to_image
from model.evaluation.metrics import PAIR_METRICS, mean_figures, pair_metrics, unit
from model.network.explain import FLOW_FIGURES, flow_figures
from model.training.processes import Processes
from model.training.schedule import statistics_kept
from pipeline.base.labels import Category

THREADS = 4  # figures are computed beside the network, by OpenCV and numpy without Python's lock
GAP_PAIRS = 32  # pairs on which the two modes are compared
BLANK_STD, SAME_STD = 0.03, 0.05


@torch.no_grad()
def measure(
    network: nn.Module,
    batches: Iterable[dict[str, Any]],
    loss: Callable[..., Any] | None,
    device: torch.device,
    extra: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> list[dict[str, Any]]:
    """One row of figures for each pair, in evaluation mode: those of ``evaluate``, computed in
    threads beside the network.

    Args:
        loss: ``loss(levels, person) -> {"total": ...}``; its value is the batch's, given to each of
            its pairs.
        extra: LPIPS of (results, persons) in [-1, 1] -> (B,), where its weights are there.
    """
    network.eval()
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[dict[str, Any], Future[Any]]] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in batches:
            person = batch["person"].to(device)
            result, levels, flows = network(
                *inputs_of(batch, device), return_levels=True, return_flows=True
            )
            told = _told(batch, result, levels, person, loss, extra)
            of_flows = flow_figures(flows[-1], batch["mask"].to(device))
            told = [row | figures for row, figures in zip(told, of_flows)]
            rows += _collected(waiting)  # the batch before: its figures ran beside the network
            waiting = [
                (row, pool.submit(_figures, *pictures))
                for row, *pictures in zip(told, result.float(), person, batch["mask"])
            ]
        return rows + _collected(waiting)


def _told(
    batch: dict[str, Any], result: Tensor, levels, person: Tensor, loss, extra
) -> list[dict[str, Any]]:
    """What the device says of each pair: loss, LPIPS, and whether the result is finite."""
    total = math.nan
    if loss:
        total = float(loss([level.float() for level in levels], person)["total"])
    count = len(person)
    lpips = extra(result.float(), person).flatten().tolist() if extra else [math.nan] * count
    finite = torch.isfinite(result.float()).flatten(1).all(1).tolist()
    return [
        {
            "index": int(batch["index"][i]),
            "category": int(batch["category"][i]),
            "loss": total,
            "lpips": lpips[i],
            "finite": finite[i],
        }
        for i in range(count)
    ]


def _figures(result: Tensor, person: Tensor, mask: Tensor) -> dict[str, Any]:
    """Figures of one pair from the bytes that a user would get, and what tells a collapse."""
    ours, truth = to_image(result), to_image(person)
    return pair_metrics(ours, truth, mask[0].cpu().numpy() > 0.5) | {
        "std": float(unit(ours).std()),
        "small": _small(unit(ours)),
        "small_truth": _small(unit(truth)),
    }


def _collected(waiting: list[tuple[dict[str, Any], Future[Any]]]) -> list[dict[str, Any]]:
    return [row | task.result() for row, task in waiting]


def inputs_of(batch: dict[str, Any], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
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


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the pairs, and by category; each pair counts once, LPIPS is left out where it was
    not measured.

    Returns:
        {"loss", "l1", ..., "flow_spread", ..., "count", "categories": {name: the same}}.
    """
    rows = sorted({row["index"]: row for row in rows}.values(), key=lambda row: row["index"])
    groups = {str(c): [row for row in rows if row["category"] == c.index] for c in Category}
    return _means(rows) | {
        "categories": {name: _means(group) for name, group in groups.items() if group}
    }


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {"count": len(rows)} | mean_figures(
        rows, ("loss", *PAIR_METRICS, "lpips", *FLOW_FIGURES)
    )


def collapse(rows: list[dict[str, Any]]) -> list[str]:
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
def mode_gap(
    network: nn.Module, batches: Iterable[dict[str, Any]], device: torch.device
) -> dict[str, float]:
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


def gathered(rows: list[dict[str, Any]], processes: Processes) -> list[dict[str, Any]]:
    """The rows of all processes, in the order of the dataset."""
    return sorted(processes.gather(rows), key=lambda row: row["index"])
