"""What arrays from a caller's own program have to be: told by name, before anything is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.base.labels import Joint


def check_picture(image: Any, name: str) -> None:
    """ValueError unless this is (H, W, 3) uint8."""
    if not (_is_uint8(image) and image.ndim == 3 and image.shape[2] == 3 and image.size):
        raise ValueError(f"{name}: {_told(image)}, expected (H, W, 3) uint8 RGB.")


def check_map(map_: Any, name: str) -> None:
    """ValueError unless this is (H, W) uint8."""
    if not (_is_uint8(map_) and map_.ndim == 2 and map_.size):
        raise ValueError(f"{name}: {_told(map_)}, expected (H, W) uint8.")


def check_keypoints(keypoints: Any) -> None:
    """ValueError unless this is (18, >= 2) numbers: OpenPose's joints."""
    shape = np.shape(keypoints)
    if len(shape) != 2 or shape[0] != len(Joint) or shape[1] < 2:
        order = f"({len(Joint)}, 2 or more), OpenPose's joints in the order of Joint"
        raise ValueError(f"keypoints: of shape {shape}, expected {order}.")


def _is_uint8(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.uint8


def _told(array: Any) -> str:
    if not isinstance(array, np.ndarray):
        return f"a {type(array).__name__}"
    return f"{array.shape} {array.dtype}"
