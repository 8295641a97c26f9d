"""A sample as ten bytes a pixel, the way it travels, and as float tensors, the way it is used.

The bytes are a sixth of the float tensors' size. The agnostic picture is not among them: it is the
photo with the mask black. Pictures lie as they are decoded and drawn, straight to where they
travel; their colours are parted and widened to floats where the network runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache, lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from pipeline.base.labels import Atr
from pipeline.dataset.flows import LARGEST

PIXEL = 10
"""Bytes a pixel of a packed sample: three pictures and the mask."""

FLOW = 4
"""Bytes a pixel more where the sample has a flow: its codes, x and y as uint16."""

CLOTH = 1
"""Bytes a pixel more, the last ones, where the sample says what the photo shows of the garment."""

UNKNOWN = 2
"""In place of 1 (garment) and 0 (anything else): the person has no label map."""

SKIN = ((Atr.HEAD,), (Atr.LEFT_ARM, Atr.RIGHT_ARM), (Atr.LEFT_LEG, Atr.RIGHT_LEG))
"""Kinds of bare skin; one is stored as ``UNKNOWN`` + 1 + its place here."""

BLOCK = 49152
"""Pixels that are widened at a time: their floats, half a megabyte, stay in the cache until parted
into planes. Parting writes whole cache lines at once; so with batches larger than the cache it
beats widening planes of bytes."""

LEVELS = (torch.arange(256).float() / 127.5 - 1).numpy()
"""(256,) float32: what each pixel value becomes."""


def _pairs() -> np.ndarray | None:
    """(65536,) float64, each the memory of two ``LEVELS``: what two neighbouring bytes, read as one
    number, become.

    None where OpenCV is older than such tables. They take a quarter less time than one byte after
    the other.
    """
    table = LEVELS[np.arange(1 << 16, dtype=np.uint16).view(np.uint8)].view(np.float64)
    try:
        cv2.LUT(np.zeros((1, 1), np.uint16), table)
    except cv2.error:
        return None
    return table


PAIRS = _pairs()


class Packed(NamedTuple):
    """Packed samples by parts, views of their memory; arrays of numpy or tensors, uint8."""

    pose: Any  # (..., H, W, 3): red, green, blue
    garment: Any
    person: Any
    mask: Any  # (..., H, W): 1 = hidden, 0 = visible


def parts(packed: Any, size_hw: tuple[int, int]) -> Packed:
    """The parts of ``packed``, (..., 10 * H * W) uint8 or more: one after the other."""
    height, width = size_hw
    ahead, area = packed.shape[:-1], height * width
    pose, garment, person = (
        packed[..., at * area : (at + 3) * area].reshape(*ahead, height, width, 3)
        for at in (0, 3, 6)
    )
    mask = packed[..., 9 * area : PIXEL * area].reshape(*ahead, height, width)
    return Packed(pose, garment, person, mask)


def flow_part(packed: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 2) uint16, a view of the codes (``pipeline.dataset.flows``) in a sample of 14 bytes a
    pixel."""
    height, width = size_hw
    area = height * width
    return packed[PIXEL * area : (PIXEL + FLOW) * area].view(np.uint16).reshape(height, width, 2)


def cloth_part(packed: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, a view of the last byte of each pixel, as ``worn_codes`` gives it."""
    return packed[-size_hw[0] * size_hw[1] :].reshape(size_hw)


def worn_codes(labels: np.ndarray | None, garment: Collection[int]) -> np.ndarray | int:
    """(H, W) uint8: 1 where a label map shows the garment, from ``UNKNOWN`` + 1 on the kinds of
    ``SKIN``, 0 elsewhere; without a map ``UNKNOWN``.

    Args:
        garment: its ATR labels.
    """
    if labels is None:
        return UNKNOWN
    table = np.zeros(256, np.uint8)
    for kind, classes in enumerate(SKIN):
        table[list(classes)] = UNKNOWN + 1 + kind
    table[list(garment)] = 1
    return cv2.LUT(labels, table)


def has_flow(packed: torch.Tensor, size_hw: tuple[int, int]) -> bool:
    return packed.shape[-1] // (size_hw[0] * size_hw[1]) >= PIXEL + FLOW


def widen_cloth(
    packed: torch.Tensor, size_hw: tuple[int, int], device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """What a ``Batch`` says of the photo's garment; an empty dict where ``packed`` does not.

    Returns:
        cloth (B, 1, H, W) float32: 1 = the label map shows the garment, 0 = anything else, -1 = the
        person has no label map. skin (B, 3, H, W) float32: 1 = it shows bare skin of that kind.
    """
    area = size_hw[0] * size_hw[1]
    if packed.shape[-1] not in ((PIXEL + CLOTH) * area, (PIXEL + FLOW + CLOTH) * area):
        return {}
    stored = packed[:, -area:].contiguous().to(device).view(len(packed), 1, *size_hw)
    cloth = (stored == 1).float().masked_fill(stored == UNKNOWN, -1)
    kinds = [stored == UNKNOWN + 1 + kind for kind in range(len(SKIN))]
    return {"cloth": cloth, "skin": torch.cat(kinds, 1).float()}


def widen_flow(
    packed: torch.Tensor, size_hw: tuple[int, int], device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """The flows of a ``Batch``; an empty dict where ``packed`` has none.

    Returns:
        flow (B, 2, H, W) float32: x, y in pixels of the garment picture, the middle of the first
        pixel at 0; 0 where nothing is known. flow_known (B, 1, H, W) float32: 1 where it is.
    """
    height, width = size_hw
    if not has_flow(packed, size_hw):
        return {}
    area = height * width
    stored = packed[:, PIXEL * area : (PIXEL + FLOW) * area].contiguous().to(device)
    codes = stored.view(torch.int16).int() & LARGEST  # they are unsigned
    codes = codes.view(len(packed), height, width, 2).permute(0, 3, 1, 2)
    known = (codes > 0).all(1, keepdim=True)
    step = torch.tensor((width, height), device=codes.device).view(2, 1, 1) / (LARGEST - 1)
    pixels = (codes.float() - 1) * step - 0.5
    return {"flow": pixels.masked_fill(~known, 0).contiguous(), "flow_known": known.float()}


def to_levels(planes: np.ndarray, out: np.ndarray) -> None:
    """Writes the values of byte planes, (n, H, W), into ``out`` of the same shape as float32 in
    [-1, 1]."""
    width = planes.shape[-1]
    _look_up(planes.reshape(-1, width), out.reshape(-1, width))


def _look_up(narrow: np.ndarray, wide: np.ndarray) -> None:
    """The levels of (rows, n) uint8 into ``wide``, float32 of the same shape."""
    if PAIRS is None or narrow.shape[1] % 2:
        cv2.LUT(narrow, LEVELS, wide)
    else:
        cv2.LUT(narrow.view(np.uint16), PAIRS, wide.view(np.float64))


def widen(
    packed: torch.Tensor,
    size_hw: tuple[int, int],
    device: torch.device | str = "cpu",
    lend: Callable[[tuple[int, ...]], np.ndarray] | None = None,
) -> dict[str, torch.Tensor]:
    """The pictures of a ``Batch`` on ``device``, the same values on any.

    Args:
        packed: (B, 10 * H * W) uint8 on the CPU, 4 a pixel more with flows, 1 with cloth; may be
            overwritten once this returns.
        lend: shape -> float32 array for the result on a CPU; None takes new memory.

    Returns:
        reference (B, 6, H, W), garment, agnostic, person (B, 3, H, W), mask (B, 1, H, W): float32;
        and what ``widen_flow`` and ``widen_cloth`` return. On a CPU the pictures are views of one
        array, and agnostic is a part of reference.
    """
    more = widen_flow(packed, size_hw, device) | widen_cloth(packed, size_hw, device)
    packed = packed[:, : PIXEL * size_hw[0] * size_hw[1]]
    if torch.device(device).type != "cpu":
        return _widen_there(packed, size_hw, torch.device(device)) | more
    return _widen_here(packed, size_hw, lend) | more


def _widen_here(
    packed: torch.Tensor,
    size_hw: tuple[int, int],
    lend: Callable[[tuple[int, ...]], np.ndarray] | None,
) -> dict[str, torch.Tensor]:
    out = (lend or (lambda shape: np.empty(shape, np.float32)))((len(packed), 13, *size_hw))
    block = np.empty_like(_black_block(size_hw[1]))
    for narrow, wide in zip(packed.numpy(), out):
        _widen_one(parts(narrow, size_hw), wide, block)
    tensor = torch.from_numpy(out)
    return {
        "reference": tensor[:, :6],
        "garment": tensor[:, 6:9],
        "agnostic": tensor[:, 3:6],
        "person": tensor[:, 9:12],
        "mask": tensor[:, 12:],
    }


@lru_cache(maxsize=1)
def _black_block(width: int) -> np.ndarray:
    """(rows, width, 3) float32 of -1, about ``BLOCK`` pixels."""
    black = np.full((max(1, BLOCK // width), width, 3), -1, np.float32)
    black.setflags(write=False)
    return black


def _widen_one(sample: Packed, wide: np.ndarray, block: np.ndarray) -> None:
    """Writes the 13 planes of one sample, some rows at a time by way of ``block``, (rows, W, 3)
    float32."""
    black = _black_block(block.shape[1])
    for top in range(0, len(sample.mask), len(block)):
        rows = slice(top, top + len(block))
        for picture, at in (
            (sample.pose[rows], 0),
            (sample.garment[rows], 6),
            (sample.person[rows], 9),
        ):
            floats = block[: len(picture)]
            _look_up(picture.reshape(len(picture), -1), floats.reshape(len(picture), -1))
            cv2.split(floats, list(wide[at : at + 3, rows]))
        cv2.copyTo(
            black[: len(floats)], sample.mask[rows], floats
        )  # the person is still there: now the agnostic one
        cv2.split(floats, list(wide[3:6, rows]))
    wide[12] = sample.mask


@cache
def _levels_there(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(LEVELS).to(device)


def _widen_there(
    packed: torch.Tensor, size_hw: tuple[int, int], device: torch.device
) -> dict[str, torch.Tensor]:
    if device.type == "cuda":
        packed = (
            packed.pin_memory()
        )  # a copy: the way to the device need not end before this returns
    moved = parts(packed.to(device, non_blocking=device.type == "cuda"), size_hw)
    # Looked up, as on the CPU: a GPU divides by a number as a product with its reciprocal, which is
    # off in the last place for 111 of the 256 values.
    table = _levels_there(device)
    pose, garment, person = (
        table[picture.permute(0, 3, 1, 2).contiguous().int()]
        for picture in (moved.pose, moved.garment, moved.person)
    )
    hidden = moved.mask[:, None] != 0
    agnostic = person.masked_fill(hidden, -1)
    return {
        "reference": torch.cat([pose, agnostic], 1),
        "garment": garment,
        "agnostic": agnostic,
        "person": person,
        "mask": hidden.float(),
    }
