"""A trained network ready for use: weights chosen, device and number format settled, pictures in
and out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from model.data.dataset import to_image, to_tensor
from model.network.checkpoint import _check_fit, load_network, read_checkpoint
from model.network.devices import check_device
from pipeline.base.errors import DataError
from pipeline.base.storage import file_sha256
from pipeline.dataset.pose import render_pose
from pipeline.masks.render import apply_mask

WEIGHT_CHOICES = ("auto", "ema", "raw")
SEAM_ROWS = 64
"""The seam is a 64th of the picture's height wide."""
SHADING = 24.0
"""Levels of 255: up to this a difference across the seam is shading, to be evened out; from twice
this it is another thing beside the mask (a hand before a shirt), which must not tint the result."""


@dataclass
class Dresser:
    """A network on its device.

    Attributes:
        facts: which weights these are: file, sha256, choice, and the configuration that the file
            carries.
    """

    network: Any  # a DAFlow, or anything that is called like one
    device: torch.device = torch.device("cpu")
    autocast: torch.dtype | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str, device: str | None = None, choice: str = "auto") -> Dresser:
        """The network of a file, in evaluation mode.

        Args:
            path: any file that ``model.checkpoint`` reads.
            device: "cpu" or "cuda"; None takes CUDA where there is one. On CUDA it runs in bf16 or
                fp16 autocast.
            choice: "ema", the moving average; "raw", the weights as trained; "auto", what the run
                itself used.

        Raises:
            DataError: the file does not fit, or has no moving average; or CUDA is asked for and not
                there.
        """
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_device(target)
        network = load_network(path, target)
        rest = read_checkpoint(path)[1]
        chosen = _choose(network, rest, path, choice)
        autocast = None
        if target.type == "cuda":
            autocast = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        facts = {
            "file": Path(path).name,
            "sha256": file_sha256(Path(path)),
            "choice": chosen,
            "config": rest.get("config") or {},
        }
        return cls(network.eval(), target, autocast, facts)

    @property
    def precision(self) -> str:
        return str(self.autocast or torch.float32).removeprefix("torch.")

    @torch.inference_mode()
    def __call__(self, reference: Tensor, garment: Tensor, agnostic: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in about [-1, 1]; the arguments as the network takes them, on any
        device."""
        inputs = [
            values.to(self.device, non_blocking=True) for values in (reference, garment, agnostic)
        ]
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return self.network(*inputs).float()

    def dress(
        self, photo: np.ndarray, garment: np.ndarray, mask: np.ndarray, keypoints: np.ndarray
    ) -> np.ndarray:
        """The network's picture of one person: (H, W, 3) uint8 RGB; see ``network_inputs``."""
        inputs = network_inputs(photo, garment, mask, keypoints)
        return to_image(self(*(values[None] for values in inputs))[0])


def _choose(network: torch.nn.Module, rest: dict, path: Path | str, choice: str) -> str:
    """Puts the chosen weights into the network; "ema" or "raw" says which they are."""
    trained = rest.get("trained")
    if not isinstance(trained, dict):
        if choice == "ema":
            raise DataError(
                path,
                "holds no moving average of the weights",
                "",
                "Leave --weights out, or train with --ema 0.999",
            )
        return "raw"
    if choice == "raw":
        _check_fit(network, trained, path)
        network.load_state_dict(trained, strict=False)
        return "raw"
    return "ema"


def network_inputs(
    photo: np.ndarray, garment: np.ndarray, mask: np.ndarray, keypoints: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network takes: reference (6, H, W), garment and agnostic (3, H, W), float32 in [-1,
    1].

    Args:
        photo, garment: (H, W, 3) uint8 RGB, H and W multiples of 32.
        mask: (H, W) bool, True = hidden.
        keypoints: (18, 3) in pixels of the photo; NaN, NaN, 0 where missing.
    """
    agnostic = to_tensor(apply_mask(photo, mask))
    return (
        torch.cat([to_tensor(render_pose(keypoints, photo.shape[:2])), agnostic]),
        to_tensor(garment),
        agnostic,
    )


def composite(
    photo: np.ndarray, result: np.ndarray, mask: np.ndarray, seam_px: int | None = None
) -> np.ndarray:
    """The photo with the hidden region redrawn; every visible pixel is the photo's own, to the bit.

    At the seam the result's colours are shifted towards the photo's by what the two differ by on
    the visible side, fading out over ``seam_px`` into the hidden region. Nothing of the hidden
    photo is used: it shows the old garment.

    Args:
        photo, result: (H, W, 3) uint8 RGB of one size.
        mask: (H, W) bool, True = hidden.
        seam_px: width of the seam; None for a 64th of the height.
    """
    seam = max(1, photo.shape[0] // SEAM_ROWS) if seam_px is None else seam_px
    out = photo.copy()
    if not mask.any():
        return out
    if mask.all() or seam < 1:
        out[mask] = result[mask]
        return out
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5)
    top, left, bottom, right = _bounds(mask, 3 * seam)
    box = np.s_[top:bottom, left:right]
    visible = (~mask[box]).astype(np.float32)
    difference = (photo[box].astype(np.float32) - result[box]) * visible[..., None]
    spread = lambda values: cv2.GaussianBlur(
        values, (0, 0), seam / 2, borderType=cv2.BORDER_REPLICATE
    )
    near = (
        spread(difference) / np.maximum(spread(visible), 1e-4)[..., None]
    )  # mean over the visible pixels around
    fade = np.clip(1 - depth[box] / (seam + 1), 0, 1)[..., None]
    alike = np.clip(2 - np.abs(near).max(2, keepdims=True) / SHADING, 0, 1)
    shifted = result[box] + near * alike * fade
    out[box][mask[box]] = shifted[mask[box]].round().clip(0, 255).astype(np.uint8)
    return out


def _bounds(mask: np.ndarray, margin: int) -> tuple[int, int, int, int]:
    """top, left, bottom, right of the hidden region, with a margin, inside of the picture."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        max(0, rows[0] - margin),
        max(0, columns[0] - margin),
        min(mask.shape[0], rows[-1] + margin + 1),
        min(mask.shape[1], columns[-1] + margin + 1),
    )
