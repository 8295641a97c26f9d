"""A sample as ten byte planes, the way it travels, and as float tensors, the way it is used.

Ten byte planes are a sixth of the float tensors' size. The agnostic picture is not among them: it is the photo with the
mask black. The widening to floats is one pass where the network runs.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

PLANES = 10
"""Pose picture, garment, photo (3 each: red, green, blue), mask (1 = hidden, 0 = visible)."""
POSE, GARMENT, PERSON, MASK = slice(0, 3), slice(3, 6), slice(6, 9), 9

LEVELS = (torch.arange(256).float() / 127.5 - 1).numpy()
"""(256,) float32: what each pixel value becomes."""


def pack(pose: np.ndarray, garment: np.ndarray, person: np.ndarray, mask: np.ndarray, planes: np.ndarray) -> None:
    """Writes pictures, (H, W, 3) uint8, and a mask, (H, W) uint8 of 0 and 1, into ``planes``, (10, H, W) uint8."""
    for part, picture in ((POSE, pose), (GARMENT, garment), (PERSON, person)):
        cv2.split(picture, list(planes[part]))
    planes[MASK] = mask


def to_levels(planes: np.ndarray, out: np.ndarray) -> None:
    """Writes the values of byte planes, (n, H, W), into ``out`` of the same shape as float32 in [-1, 1]."""
    width = planes.shape[-1]
    cv2.LUT(planes.reshape(-1, width), LEVELS, out.reshape(-1, width))


def widen(planes: torch.Tensor, device: torch.device | str = "cpu",
          lend: Callable[[tuple[int, ...]], np.ndarray] | None = None) -> dict[str, torch.Tensor]:
    """The pictures of a ``Batch`` on ``device``, the same values on any.

    Args:
        planes: (B, 10, H, W) uint8 on the CPU; may be overwritten once this returns.
        lend: shape -> float32 array for the result on a CPU; None takes new memory.

    Returns:
        reference (B, 6, H, W), garment, agnostic, person (B, 3, H, W), mask (B, 1, H, W): float32. On a CPU they are
        views of one array, and agnostic is a part of reference.
    """
    if torch.device(device).type != "cpu":
        return _widen_there(planes, torch.device(device))
    count, _, height, width = planes.shape
    out = (lend or (lambda shape: np.empty(shape, np.float32)))((count, 13, height, width))
    for narrow, wide in zip(planes.numpy(), out):
        to_levels(narrow[POSE], wide[0:3])
        to_levels(narrow[PERSON] & (narrow[MASK] - 1), wide[3:6])  # 0 - 1 has all bits: visible pixels stay
        to_levels(narrow[GARMENT.start:PERSON.stop], wide[6:12])
        wide[12] = narrow[MASK]
    tensor = torch.from_numpy(out)
    return {"reference": tensor[:, :6], "garment": tensor[:, 6:9], "agnostic": tensor[:, 3:6],
            "person": tensor[:, 9:12], "mask": tensor[:, 12:]}


def _widen_there(planes: torch.Tensor, device: torch.device) -> dict[str, torch.Tensor]:
    if device.type == "cuda":
        planes = planes.pin_memory()  # a copy: the way to the device need not end before this returns
    moved = planes.to(device, non_blocking=device.type == "cuda")
    pose, garment, person = (moved[:, part].float().div_(127.5).sub_(1) for part in (POSE, GARMENT, PERSON))
    hidden = moved[:, MASK:] != 0
    agnostic = person.masked_fill(hidden, -1)
    return {"reference": torch.cat([pose, agnostic], 1), "garment": garment, "agnostic": agnostic, "person": person,
            "mask": hidden.float()}
