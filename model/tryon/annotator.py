"""Models that users bring, opened by their descriptions (pipeline.annotate.models): TorchScript or
ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.annotate.models import DOCS, Finder, Runner, open_onnx, read_description
from pipeline.base.errors import DataError


def open_torchscript(path: Path, device: torch.device | str = "cpu") -> Runner:
    """Runs a TorchScript file.

    Its code is run by torch's own interpreter, which knows tensors and no files; all the same, open
    only models whose maker you trust.

    Raises:
        DataError: no TorchScript file.
    """
    try:
        network = torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise DataError(
            path, f"cannot be opened as TorchScript ({line})", "a file of torch.jit.save", DOCS
        ) from None

    @torch.inference_mode()
    def run(values: np.ndarray) -> list[np.ndarray]:
        outputs = network(torch.from_numpy(values).to(device))
        if isinstance(outputs, dict):
            outputs = list(outputs.values())
        outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        return [o.float().cpu().numpy() for o in outputs if isinstance(o, torch.Tensor)]

    return run


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
