"""What a run shows: fixed people after each epoch, the same from left to right over time, and the
curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from model.data.dataset import TryOnDataset, to_image
from model.network.daflow import DAFlow
from model.network.explain import layers_of
from model.training.validate import inputs_of
from model.tryon.explain import weight_picture
from pipeline.base.labels import Category
from pipeline.base.storage import whole
from pipeline.inspect.overlays import grid, write_picture

FOLDER = "pictures"
SHEET_HEADS = ["garment", "masked", "warped garment", "its weight", "result", "photo"]
MOST_EPOCHS = 9  # columns over time; more are thinned out evenly, first and last stay
CELL_ROWS = 256


class FixedPeople:
    """The same pairs after each epoch.

    Args:
        paired: (dataset, rows): people whose true picture is known.
        unpaired: (dataset, rows) of an unpaired list; None without one.
    """

    def __init__(
        self,
        paired: tuple[TryOnDataset, list[int]],
        unpaired: tuple[TryOnDataset, list[int]] | None = None,
    ):
        self.people = [
            (dataset, row, kind)
            for kind, chosen in (("", paired), ("unpaired-", unpaired))
            if chosen
            for dataset, rows in [chosen]
            for row in rows
        ]

    def __len__(self) -> int:
        return len(self.people)

    @staticmethod
    def choose(dataset: TryOnDataset, per_category: int) -> list[int]:
        """The first rows of each category."""
        rows: list[int] = []
        for category in np.unique(dataset.categories):
            rows += np.flatnonzero(dataset.categories == category)[:per_category].tolist()
        return rows

    @torch.no_grad()
    def draw(self, network: DAFlow, device: torch.device, folder: Path, epoch: float) -> Path:
        """Dresses everyone with the network as it is (evaluation mode) and draws ``epoch``'s sheet
        and progress.

        Returns:
            The sheet of this epoch: a row for each person, columns garment, masked, the warped
            garment alone, its weight, result, photo.
        """
        network.eval()
        store = folder / FOLDER / f"epoch-{epoch:06.2f}"
        store.mkdir(parents=True, exist_ok=True)
        rows = []
        for dataset, row, kind in self.people:
            sample = dataset[row]
            batch = {name: sample[name][None] for name in ("reference", "garment", "agnostic")}
            inputs = inputs_of(batch, device)
            drawn, flows = network(*inputs, return_flows=True)
            result, garment = to_image(drawn[0]), inputs[1]
            layers = layers_of(flows[-1], garment, network.config.crisp)
            write_picture(store / f"{kind}{dataset.rows[row].name}.png", result)
            rows.append(
                [to_image(sample[name]) for name in ("garment", "agnostic")]
                + [
                    to_image(layers.warped[0].cpu()),
                    weight_picture(layers.weight[0, 0].cpu().numpy()),
                ]
                + [result, to_image(sample["person"])]
            )
        sheet = store.with_suffix(".jpg").with_name(f"sheet-{epoch:06.2f}.jpg")
        write_picture(sheet, table(rows, SHEET_HEADS))
        self.draw_progress(folder)
        return sheet

    def draw_progress(self, folder: Path) -> list[Path]:
        """Writes progress.png for each category: time from left to right, from what the epochs have
        left."""
        epochs = thinned(
            sorted(path for path in (folder / FOLDER).glob("epoch-*") if path.is_dir()), MOST_EPOCHS
        )
        heads = [
            "garment",
            "masked",
            *(f"epoch {float(path.name[6:]):g}" for path in epochs),
            "photo",
        ]
        written = []
        for category in Category:
            rows = []
            for dataset, row, kind in self.people:
                if dataset.rows[row].category != category:
                    continue
                sample, name = dataset[row], f"{kind}{dataset.rows[row].name}.png"
                over_time = [read_picture(path / name, dataset.size_hw) for path in epochs]
                rows.append(
                    [
                        to_image(sample["garment"]),
                        to_image(sample["agnostic"]),
                        *over_time,
                        to_image(sample["person"]),
                    ]
                )
            if rows:
                written.append(folder / f"progress_{category}.png")
                write_picture(written[-1], table(rows, heads))
        return written


def forget_after(folder: Path, epoch: int) -> None:
    """Removes the pictures of epochs that will come again after a resume."""
    for path in (folder / FOLDER).glob("epoch-*"):
        if path.is_dir() and float(path.name[6:]) > epoch:
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
            path.with_name(f"sheet-{path.name[6:]}.jpg").unlink(missing_ok=True)


def thinned(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of the items, evenly spaced, first and last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def table(rows: list[list[np.ndarray]], heads: list[str]) -> np.ndarray:
    """(H, W, 3) uint8: pictures in rows and columns, a head over each column."""
    return grid(rows, heads, height=min(CELL_ROWS, rows[0][0].shape[0]))


def read_picture(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB; white where an earlier epoch did not draw this person."""
    found = cv2.imread(str(path)) if path.exists() else None
    return np.full((*size_hw, 3), 255, np.uint8) if found is None else found[..., ::-1]


PANELS = (
    ("Loss", (("train_loss", "training"), ("loss", "validation"))),
    (
        "L1 inside the mask",
        (
            ("l1_inside", "all"),
            ("upper_body", "upper body"),
            ("lower_body", "lower body"),
            ("dresses", "dresses"),
        ),
    ),
    (
        "Likeness inside the mask",
        (
            ("likeness_inside", "all"),
            ("upper_body", "upper body"),
            ("lower_body", "lower body"),
            ("dresses", "dresses"),
        ),
    ),
    (
        "SSIM inside the mask",
        (
            ("ssim_inside", "all"),
            ("upper_body", "upper body"),
            ("lower_body", "lower body"),
            ("dresses", "dresses"),
        ),
    ),
    (
        "L1 by mode of the network",
        (("l1_training_mode", "as in training"), ("l1_evaluation_mode", "as in tests")),
    ),
)


def draw_curves(entries: list[dict[str, Any]], path: Path) -> None:
    """Writes curves.png from the log's entries: loss; likeness, L1 and SSIM inside the mask; gap
    between the modes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    epochs = [entry for entry in entries if entry["event"] == "epoch"]
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 7), layout="constrained")
    axes.flat[-1].set_axis_off()
    for axis, (title, lines) in zip(axes.flat, PANELS):
        main = lines[0][0]
        for name, label in lines:
            points = [(entry["epoch"], _value(entry, name, main)) for entry in epochs]
            points = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
            if points:
                axis.plot(
                    *zip(*points),
                    marker="o",
                    markersize=3,
                    label=label,
                    linewidth=1.0 if name in list(Category) else 2.0,
                )
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(frameon=False)
    if axes.flat[0].lines:
        axes.flat[0].set_yscale("log")
    with whole(path) as part:
        figure.savefig(part, format="png", dpi=110)
    pyplot.close(figure)


def _value(entry: dict[str, Any], name: str, main: str) -> float | None:
    if name in list(Category):
        return entry.get("categories", {}).get(name, {}).get(main)
    return entry.get(name)
