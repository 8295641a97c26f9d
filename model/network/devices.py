"""Devices: whether one is there, what it computes in, and what is said when its memory is full."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch

from pipeline.base.errors import DataError

TENSOR_CORES = (7, 0)
"""Compute capability from which on float16 is faster than float32."""
FULL: tuple[str, ...] = ("can't allocate memory", "not enough memory", "CUDNN_STATUS_ALLOC_FAILED")
FULL += ("CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""Of RuntimeErrors that mean full memory: the CPU's, cuDNN's, cuBLAS's and the driver's words."""


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


def half_type(device: torch.device) -> torch.dtype | None:
    """The number format for autocast: bfloat16 where the GPU computes in it, float16 where it has
    units for that alone (Volta, Turing), else None for float32; None on a CPU.

    torch also counts a bfloat16 that is emulated in float32, which saves nothing.
    """
    if device.type != "cuda":
        return None
    with torch.cuda.device(device):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
    return torch.float16 if torch.cuda.get_device_capability(device) >= TENSOR_CORES else None


@contextlib.contextmanager
def full_memory_told(what: str, remedy: str) -> Iterator[None]:
    """Inside, a device whose memory is full ends as a DataError: what was asked for, of how much.

    Args:
        what: what was being done, such as "training at 512x384, batch 4, bf16".
        remedy: what to change.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and not any(w in text for w in FULL):
            raise
        raise DataError(what, "out of memory" + _asked(text), "", remedy) from None


def _asked(text: str) -> str:
    """What an allocator's message says of the amount: CUDA's or the CPU's words."""
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ (?:[KMG]iB|bytes))", text)
    total = re.search(r"total capacity of ([\d.]+ [KMG]iB)", text)
    amount = f": {asked[1]} more were asked for" if asked else ""
    return amount + (f", and the card has {total[1]} in all" if total else "")
