"""Measures a network on shards: pairs against their own originals, unpaired lists by the sets'
distance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from model.data.dataset import Row, TryOnDataset, to_image
from model.data.loading import Loader, in_batches
from model.evaluation.fid import RESIZE, FeatureSet, Inception, fid, kid
from model.evaluation.metrics import PAIR_METRICS, mean_figures, pair_metrics
from model.loss.vgg import Lpips
from model.tryon.figures import PAIRED, UNPAIRED
from model.tryon.predictor import TryOn
from model.tryon.step import composite
from pipeline import __version__
from pipeline.base.labels import Category
from pipeline.masks.render import MASK_VERSION

ALL = "all"
RANK_BY = "ssim_inside"
"""What best, median and worst are told by."""


@dataclass
class Evaluation:
    """Figures of one network.

    Attributes:
        result: plain values, as ``--json`` writes them.
        rows: one dict for each paired person: ``row`` of the dataset, category, ids and figures.
        dataset: what was measured on.
    """

    result: dict[str, Any]
    rows: list[dict]
    dataset: TryOnDataset
    predictor: TryOn
    composited: bool = False


def evaluate(
    predictor: TryOn,
    shards: Sequence[Path],
    *,
    mask_style: str = "standard",
    batch_size: int = 4,
    limit: int | None = None,
    categories: Sequence[Category] | None = None,
    inception: Inception | None = None,
    lpips: Lpips | None = None,
    composited: bool = False,
    workers: int = 0,
    threads: int = 2,
    progress: Callable[[int], None] = lambda count: None,
    begin: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Dresses everyone in the shards and measures.

    Rows whose garment is the person's own are paired: SSIM, PSNR, L1 and LPIPS against the photo in
    the shard. Other
    rows are unpaired: there is no truth, only FID and KID. Both kinds get FID and KID where
        ``inception`` is given,
    against the photos of the same rows. Memory does not grow with the number of people, but for a
    few numbers each.

    Args:
        shards: folders that ``preprocess`` wrote, of one size.
        limit: people per category and split at most.
        lpips: on the predictor's device; None leaves LPIPS out.
        composited: measure the result with the visible pixels of the photo put back, not the
            network's own picture.
        workers: processes that read shards; threads: for SSIM.
        begin, progress: told the number of people, and of those that are done.
    """
    dataset = TryOnDataset(shards, mask_style=mask_style, categories=categories)
    dataset.rows = _first(dataset, limit)
    begin(len(dataset))
    rows: list[dict] = []
    sets: dict[tuple[str, str, str], FeatureSet] = defaultdict(FeatureSet)
    loader = Loader(dataset, in_batches(range(len(dataset)), batch_size), predictor.device, workers)
    waiting: list[tuple[int, Future]] = []
    with ThreadPoolExecutor(threads) as pool:
        for batch in loader:
            results, truths, masks = _pictures(predictor, batch, composited)
            distances = _lpips(lpips, results, truths, predictor.device)
            _collect(waiting, rows)  # the batch before this one: its SSIM ran beside the network
            for at, index in enumerate(batch["index"].tolist()):
                row = dataset.rows[index]
                if row.person_id == row.garment_id:
                    rows.append(
                        {
                            "row": index,
                            "category": str(row.category),
                            "person": row.person_id,
                            **({"lpips": distances[at]} if lpips else {}),
                        }
                    )
                    task = pool.submit(pair_metrics, results[at], truths[at], masks[at])
                    waiting.append((len(rows) - 1, task))
            if inception:
                _add_features(inception, sets, dataset, batch["index"].tolist(), results, truths)
            progress(len(results))
        _collect(waiting, rows)
    metrics = {PAIRED: _means(rows), UNPAIRED: {}}
    _add_distances(metrics, sets)
    if not inception:
        _count_unpaired(metrics, dataset)
    result = describe(predictor, dataset, mask_style, composited, inception, lpips) | {
        "metrics": _plain(metrics)
    }
    return Evaluation(result, rows, dataset, predictor, composited)


def _first(dataset: TryOnDataset, limit: int | None) -> list[Row]:
    """The first rows of each category in each split, so that a limit leaves paired and unpaired
    people."""
    rows: dict[tuple, list[Row]] = defaultdict(list)
    for row in dataset.rows:
        rows[dataset.folders[row.folder].split, row.category].append(row)
    return [row for part in rows.values() for row in part[:limit]]


def describe(
    predictor: TryOn,
    dataset: TryOnDataset,
    mask_style: str,
    composited: bool,
    inception: Inception | None,
    lpips: Lpips | None,
) -> dict[str, Any]:
    """Everything that a figure depends on, as plain values."""
    from pipeline.base.storage import file_sha256

    height, width = dataset.size_hw
    settings = {
        "size": f"{height}x{width}",
        "mask_style": mask_style,
        "mask_version": MASK_VERSION,
        "picture": "visible pixels of the photo put back"
        if composited
        else "the network's own picture",
        "truth": "the shard's own photo at the same size, not resized",
        "precision": predictor.precision,
        "ssim": "Gaussian window of sigma 1.5, biased covariance, no border left out, as "
        f"torchmetrics; OpenCV {version('opencv-python')}",
        "torch": torch.__version__,
    }
    if lpips:
        settings["lpips"] = "version 0.1, VGG16, on the whole picture, not resized"
    if inception:
        settings["fid, kid"] = {
            "backbone": inception.path.name,
            "sha256": file_sha256(inception.path),
            "resize": RESIZE,
        }
    weights = {key: value for key, value in predictor.facts.items() if key != "config"}
    folders = [
        {
            "folder": path.name,
            "split": folder.split,
            "software": folder.configuration.get("software"),
            "images": folder.configuration.get("images"),
        }
        for path, folder in zip(dataset.paths, dataset.folders)
    ]
    return {
        "format": "fittingroom-evaluation",
        "version": 1,
        "software": f"fittingroom {__version__}",
        "weights": weights,
        "config": predictor.facts.get("config") or {},
        "shards": folders,
        "settings": settings,
    }


def pick(evaluation: Evaluation) -> dict[str, list[tuple[str, dict]]]:
    """Category -> [("best", row), ("median", row), ("worst", row)] by ``RANK_BY``; fewer where
    there are fewer."""
    found = {}
    for category in Category:
        rows = sorted(
            (
                r
                for r in evaluation.rows
                if r["category"] == category and not math.isnan(r[RANK_BY])
            ),
            key=lambda r: -r[RANK_BY],
        )
        places = {0: "best", len(rows) - 1: "worst", len(rows) // 2: "median"} if rows else {}
        found[str(category)] = [(places[at], rows[at]) for at in sorted(places)]
    return {name: rows for name, rows in found.items() if rows}


def pictures_of(evaluation: Evaluation, row: dict) -> list[np.ndarray]:
    """Person, garment, agnostic and result of one row, dressed again: (H, W, 3) uint8 RGB."""
    batch = next(iter(DataLoader(Subset(evaluation.dataset, [row["row"]]))))
    results, truths, _ = _pictures(evaluation.predictor, batch, evaluation.composited)
    return [truths[0], to_image(batch["garment"][0]), to_image(batch["agnostic"][0]), results[0]]


def _pictures(predictor: TryOn, batch: dict, composited: bool) -> tuple[list, list, list]:
    """Results and truths as (H, W, 3) uint8, masks as (H, W) bool."""
    output = predictor(batch["reference"], batch["garment"], batch["agnostic"])
    results, truths = (
        [to_image(image) for image in output],
        [to_image(image) for image in batch["person"]],
    )
    masks = [mask[0].cpu().numpy() > 0.5 for mask in batch["mask"]]
    if composited:
        results = [composite(*parts) for parts in zip(truths, results, masks)]
    return results, truths, masks


def stacked(images: Sequence[np.ndarray]) -> torch.Tensor:
    """(B, 3, H, W) uint8 of (H, W, 3) pictures."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@torch.inference_mode()
def _lpips(network: Lpips | None, results: list, truths: list, device: torch.device) -> list[float]:
    if network is None:
        return []
    ours, theirs = (stacked(images).to(device).float() / 127.5 - 1 for images in (results, truths))
    return network(ours, theirs).tolist()


def _collect(waiting: list[tuple[int, Future]], rows: list[dict]) -> None:
    for at, task in waiting:
        rows[at].update(task.result())
    waiting.clear()


def _add_features(
    inception: Inception,
    sets: dict,
    dataset: TryOnDataset,
    indices: list[int],
    results: list,
    truths: list,
) -> None:
    for kind, images in (("result", results), ("truth", truths)):
        for index, features in zip(indices, inception(stacked(images))):
            row = dataset.rows[index]
            pairing = PAIRED if row.person_id == row.garment_id else UNPAIRED
            sets[pairing, str(row.category), kind].add(features[None])


def _means(rows: list[dict]) -> dict[str, dict]:
    """Group -> means over its people; each counts once; NaN (an empty mask) is left out."""
    groups = {ALL: rows} | {str(c): [r for r in rows if r["category"] == c] for c in Category}
    return {
        group: {"count": len(members)} | mean_figures(members, (*PAIR_METRICS, "lpips"))
        for group, members in groups.items()
        if members
    }


def _add_distances(metrics: dict, sets: dict) -> None:
    for pairing in (PAIRED, UNPAIRED):
        groups = {
            category: (sets[pairing, category, "result"], sets[pairing, category, "truth"])
            for p, category, kind in list(sets)
            if p == pairing and kind == "result"
        }
        if groups:
            joined = (sum((pair[i] for pair in groups.values()), FeatureSet()) for i in range(2))
            for group, (ours, theirs) in {ALL: tuple(joined), **groups}.items():
                figures = metrics[pairing].setdefault(group, {"count": ours.count})
                figures |= {"fid": fid(ours, theirs), "kid": kid(ours.rows, theirs.rows)}
                metrics[pairing][group] = figures


def _count_unpaired(metrics: dict, dataset: TryOnDataset) -> None:
    members = [row for row in dataset.rows if row.person_id != row.garment_id]
    if members:
        metrics[UNPAIRED] = {ALL: {"count": len(members)}} | {
            str(c): {"count": n}
            for c in Category
            if (n := sum(row.category == c for row in members))
        }


def _plain(metrics: dict) -> dict:
    """NaN, which JSON has not, as None."""
    return {
        p: {
            g: {
                n: None if isinstance(v, float) and math.isnan(v) else v for n, v in figures.items()
            }
            for g, figures in groups.items()
        }
        for p, groups in metrics.items()
    }
