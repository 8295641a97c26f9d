"""Models that users bring, opened by their descriptions (pipeline.annotate.models): TorchScript or
ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from model.tryon.torchscript import TorchScript
from pipeline.annotate.models import DOCS, Finder, Runner, open_onnx, read_description
from pipeline.base.errors import DataError


def open_torchscript(path: Path, device: torch.device | str = "cpu") -> Runner:
    """Runs a TorchScript file, whose code cannot reach the disc (model.tryon.torchscript).

    Raises:
        DataError: no TorchScript file, or this system cannot keep one from the disc.
    """
    return TorchScript(path, device)


def open_finder(path: Path, kind: str, device: torch.device | str = "cpu") -> Finder:
    """The model that a description tells of.

    Args:
        path: of the description.
        kind: "label_map" or "dense": what the caller needs.
        device: for TorchScript.

    Raises:
        DataError: the description or the model cannot be used, or is for another purpose.
    """
    about = read_description(path)
    if about.kind != kind:
        raise DataError(path, f"a model of kind {about.kind}", kind, DOCS)
    onnx = about.model.suffix.lower() == ".onnx"
    return Finder(about, open_onnx(about.model) if onnx else open_torchscript(about.model, device))
