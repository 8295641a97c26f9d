"""One array -> the bytes of one file as the dataset has it: what the readers read, written."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Iterable

import cv2
import numpy as np
from PIL import Image

from pipeline.base.manifest import load_manifest


def encode_jpeg(image: np.ndarray) -> bytes:
    """A JPEG file of quality 95, as the dataset's, of (H, W, 3) uint8 RGB."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def encode_dense(parts: np.ndarray) -> bytes:
    """A grey PNG file of DensePose parts, (H, W) uint8."""
    return cv2.imencode(".png", parts, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def encode_label_map(labels: np.ndarray) -> bytes:
    """A palette PNG file whose index is the class, (H, W) uint8; its colours mean nothing."""
    image, stream = Image.fromarray(labels), io.BytesIO()
    image.putpalette(_palette())
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


@functools.cache
def _palette() -> list[int]:
    """768 values: RGB of 256 classes in the customary colours of segmentation maps (Pascal VOC)."""
    numbers = np.arange(256)
    rgb = np.zeros((256, 3), int)
    for bit in range(8):
        for channel in range(3):
            rgb[:, channel] |= ((numbers >> (3 * bit + channel)) & 1) << (7 - bit)
    return rgb.ravel().tolist()


def encode_uv(uv: np.ndarray) -> bytes:
    """A .npz with the key ``uv``. The same bytes each time: the archive carries no date."""
    array, stream = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(array, uv, allow_pickle=False)
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("uv.npy", (1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, array.getbuffer(), compresslevel=1)
    return stream.getvalue()


def encode_keypoints(keypoints: np.ndarray, size_hw: tuple[int, int]) -> bytes:
    """The dataset's JSON: coordinates in its frame of 384 x 512, missing joints as -1, -1, 0, -1.

    Args:
        keypoints: (18, 3) in pixels of a picture of ``size_hw``.
    """
    frame_h, frame_w = load_manifest().keypoint_hw
    rows, number = [], 0
    for x, y, score in keypoints.astype(float):
        if np.isfinite(x) and np.isfinite(y) and score > 0:
            x, y = round(x * frame_w / size_hw[1], 2), round(y * frame_h / size_hw[0], 2)
            rows.append([x, y, round(score, 4), number])
            number += 1
        else:
            rows.append([-1.0, -1.0, 0.0, -1.0])
    return json.dumps({"keypoints": rows}).encode()


def encode_pairs(rows: Iterable[tuple[str, ...]]) -> bytes:
    """A pair list: a line of (person id, garment id, category's number at the root) each; more
    garments for the triplets."""
    lines = []
    for person, garment, *rest in rows:
        words = [f"{person}_0.jpg", f"{garment}_1.jpg", *rest]
        lines.append("\t".join(map(str, words)) + "\n")
    return "".join(lines).encode()
