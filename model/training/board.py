"""Curves and pictures for TensorBoard, where it was asked for."""

from __future__ import annotations

import math
from pathlib import Path

import cv2

from pipeline.base.errors import DataError


class Board:
    """Writes event files into ``folder``; with None it does nothing.

    Raises:
        DataError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path | None, step: int = 0):
        self.writer = None
        if folder is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise DataError(
                    "--tensorboard",
                    "the package tensorboard is not installed",
                    "",
                    "Install it with: pip install 'fittingroom[curves]'",
                ) from error
            self.writer = SummaryWriter(str(folder), purge_step=step or None)

    def step(self, step: int, loss: float, rate: float) -> None:
        """One line of the training curve."""
        if self.writer:
            self.writer.add_scalar("training/loss", loss, step)
            self.writer.add_scalar("training/rate", rate, step)

    def epoch(self, entry: dict, run: Path) -> None:
        """The figures of a validation, and the pictures over time."""
        if not self.writer:
            return
        for name, value in entry.items():
            if (
                isinstance(value, float)
                and math.isfinite(value)
                and name not in ("epoch", "minutes")
            ):
                self.writer.add_scalar(f"validation/{name}", value, entry["step"])
        for path in sorted(run.glob("progress_*.png")):
            picture = cv2.imread(str(path))
            if picture is not None:
                self.writer.add_image(
                    path.stem, picture[..., ::-1].copy(), entry["step"], dataformats="HWC"
                )
        self.writer.flush()

    def close(self) -> None:
        if self.writer:
            self.writer.close()
