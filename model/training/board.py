"""Curves and pictures for TensorBoard and Weights & Biases, where they were asked for."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from pipeline.base.errors import DataError


class Board(Protocol):
    """What shows a run while it goes on."""

    def step(self, step: int, loss: float, rate: float) -> None:
        """One line of the training curve."""

    def epoch(self, entry: dict[str, Any], run: Path) -> None:
        """The figures of a validation, and the pictures over time."""

    def close(self) -> None:
        """Nothing more will come."""


class TensorBoard:
    """Writes event files into ``folder``.

    Raises:
        DataError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path, step: int = 0):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _not_installed("--tensorboard", "tensorboard", "curves") from error
        self.writer = SummaryWriter(str(folder), purge_step=step or None)

    def step(self, step: int, loss: float, rate: float) -> None:
        self.writer.add_scalar("training/loss", loss, step)
        self.writer.add_scalar("training/rate", rate, step)

    def epoch(self, entry: dict[str, Any], run: Path) -> None:
        for name, value in _figures(entry):
            self.writer.add_scalar(name, value, entry["step"])
        for name, picture in _pictures(run):
            self.writer.add_image(name, picture, entry["step"], dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """Logs into ``folder``/wandb. Nothing leaves this machine, unless WANDB_MODE is set to online;
    ``wandb sync`` sends an offline run later. A resumed run has the id of the one it goes on with.

    Raises:
        DataError: the package wandb is not installed.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        try:
            import wandb
        except ImportError as error:
            raise _not_installed("--wandb", "wandb", "wandb") from error
        folder.mkdir(parents=True, exist_ok=True)
        self.wandb = wandb
        self.run = wandb.init(
            project="fittingroom",
            name=folder.name,
            id=_id_of(folder),
            resume="allow",
            dir=str(folder),
            config=config,
            mode=os.environ.get("WANDB_MODE", "offline"),
        )

    def step(self, step: int, loss: float, rate: float) -> None:
        self.run.log({"training/loss": loss, "training/rate": rate}, step=step)

    def epoch(self, entry: dict[str, Any], run: Path) -> None:
        pictures = {name: self.wandb.Image(picture) for name, picture in _pictures(run)}
        self.run.log(dict(_figures(entry)) | pictures, step=entry["step"])

    def close(self) -> None:
        self.run.finish()


def _id_of(folder: Path) -> str:
    """The same for a run folder each time."""
    path = folder / "wandb-id.txt"
    if not path.exists():
        path.write_text(hashlib.sha256(os.urandom(16)).hexdigest()[:12] + "\n")
    return path.read_text().strip()


def _figures(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if isinstance(value, float) and math.isfinite(value) and name not in ("epoch", "minutes"):
            yield f"validation/{name}", value


def _pictures(run: Path) -> Iterator[tuple[str, np.ndarray]]:
    for path in sorted(run.glob("progress_*.png")):
        picture = cv2.imread(str(path))
        if picture is not None:
            yield path.stem, picture[..., ::-1].copy()


def _not_installed(option: str, package: str, extra: str) -> DataError:
    return DataError(
        option,
        f"the package {package} is not installed",
        "",
        f"Install it with: pip install 'fittingroom[{extra}]'",
    )
