"""How published tables measure: frames, truth, backbones and resizing of LaDI-VTON's and CatVTON's
scripts.

Under such a protocol ``ssim``, ``lpips``, ``fid`` and ``kid`` are that script's; all other figures
stay ours. Sources: the scripts' behaviour as their users describe it, torchmetrics (SSIM), LPIPS
0.1, clean-fid.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.base.errors import DataError
from pipeline.base.manifest import load_manifest
from pipeline.dataset.identity import Identity
from pipeline.dataset.readers import read_image

OURS = "ours"
LADI_HW = (512, 384)
CATVTON_QUALITY = 75


@dataclass(frozen=True)
class Protocol:
    """One script's way.

    Attributes:
        backbone: of LPIPS, a name of ``lpips_backbones.BACKBONES``.
        frame: (result, truth) -> both as SSIM and LPIPS see them, uint8 of one size.
        gathered: (truth, result's height) -> the truth's picture in the set of FID and KID.
        kid_factor: that KID is told with.
        facts: what the card says, in sentences.
    """

    name: str
    backbone: str
    frame: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    gathered: Callable[[np.ndarray, int], np.ndarray]
    kid_factor: float
    facts: dict[str, str]


def resized(image: np.ndarray, size_hw: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """(H, W, 3) uint8 by Pillow, antialiased where it shrinks."""
    if image.shape[:2] == tuple(size_hw):
        return image
    return np.asarray(Image.fromarray(image).resize(size_hw[::-1], how))


def _ladi_frame(result: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    how = Image.Resampling.BILINEAR
    return resized(result, LADI_HW, how), resized(truth, LADI_HW, how)


def _catvton_frame(result: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return result, resized(truth, result.shape[:2], Image.Resampling.LANCZOS)


def _as_it_is(truth: np.ndarray, height: int) -> np.ndarray:
    return truth


def _copied_at(truth: np.ndarray, height: int) -> np.ndarray:
    """The truth at the results' height, through a JPEG of Pillow's default quality."""
    if truth.shape[0] == height:
        return truth
    width = round(truth.shape[1] * height / truth.shape[0])
    stream = io.BytesIO()
    small = resized(truth, (height, width), Image.Resampling.LANCZOS)
    Image.fromarray(small).save(stream, "JPEG", quality=CATVTON_QUALITY)
    return np.asarray(Image.open(stream).convert("RGB"))


PROTOCOLS = {
    "ladi": Protocol(
        "ladi",
        "alexnet",
        _ladi_frame,
        _as_it_is,
        1.0,
        {
            "frame": "result and truth at 512x384, Pillow, bilinear",
            "lpips": "version 0.1, AlexNet",
            "fid, kid": "clean-fid's clean resize; originals as they are; KID not times 1,000",
        },
    ),
    "catvton": Protocol(
        "catvton",
        "squeezenet",
        _catvton_frame,
        _copied_at,
        1000.0,
        {
            "frame": "truth at the result's size, Pillow, Lanczos",
            "lpips": "version 0.1, SqueezeNet 1.1",
            "fid, kid": "clean-fid's clean resize; originals brought to the results' height as "
            "JPEG of quality 75 where it differs; KID times 1,000",
        },
    ),
}
SSIM_TOLD = "torchmetrics' defaults: Gaussian 11 px, sigma 1.5, range 1, no border left out"


@dataclass
class Truths:
    """The photos that results are measured against: the dataset's originals, or the shards'.

    Attributes:
        root: the dataset; None takes what the shards hold.
    """

    root: Path | None = None

    def __post_init__(self) -> None:
        if self.root is not None and not self.root.is_dir():
            raise DataError(self.root, "no such folder", "the dataset that the shards were made of")

    def photo(self, who: Identity, stored: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB; raises DataError where the original is missing."""
        if self.root is None:
            return stored
        path = load_manifest().path(self.root, "image", who.category, who.person_id)
        return read_image(path)

    def told(self) -> str:
        if self.root is None:
            return "the shards' own photos, already small JPEGs: give --dataset for the originals"
        return "the dataset's original photos, resized once"


def card(protocol: Protocol, truths: Truths) -> dict[str, Any]:
    """What the JSON's protocol card says beside counts and lists."""
    return {
        "name": protocol.name,
        "truth": truths.told(),
        "ssim": SSIM_TOLD,
        "other figures": "ours, against the shards' photos",
        **protocol.facts,
    }


def clean_299(image: np.ndarray) -> np.ndarray:
    """(3, 299, 299) float32 in [0, 255]: clean-fid's resize, each channel in floats by Pillow's
    antialiased bicubic, clipped, not rounded."""
    planes = [
        Image.fromarray(image[..., channel].astype(np.float32)).resize(
            (299, 299), Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes]).clip(0, 255)
