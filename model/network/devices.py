"""Whether the device that was asked for is there."""

from __future__ import annotations

import torch

from pipeline.base.errors import DataError


def check_device(device: torch.device) -> None:
    """DataError where CUDA is asked for and there is none, or fewer GPUs."""
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"{count or 'no'} GPU{'s' * (count > 1)} that this torch can use"
        raise DataError(
            "--device",
            found,
            str(device),
            "Leave --device out for the CPU, or install torch with CUDA",
        )
