"""One layer as a file's bytes, in the formats that other projects' readers expect."""

from __future__ import annotations

import io
import json
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pipeline.base.labels import N_DENSE, Atr, DensePart, Joint, is_in

CIHP_COLOURS = bytes.fromhex(
    "000000 800000 fe0000 005500 a90033 fe5500 000055 0077dc 555500 005555 "
    "553300 345680 008000 0000fe 33a9dc 00fefe 55fea9 a9fe55 fefe00 fea900"
)
"""Palette of VITON-HD's image-parse-v3, classes 0 to 19."""

CIHP = {
    Atr.HAT: 1,
    Atr.HAIR: 2,
    Atr.SUNGLASSES: 4,
    Atr.UPPER_CLOTHES: 5,
    Atr.DRESS: 6,
    Atr.PANTS: 9,
    Atr.SKIRT: 12,
    Atr.BELT: 9,
    Atr.SCARF: 11,
    Atr.HEAD: 13,
    Atr.LEFT_ARM: 14,
    Atr.RIGHT_ARM: 15,
    Atr.LEFT_LEG: 16,
    Atr.RIGHT_LEG: 17,
    Atr.LEFT_SHOE: 18,
    Atr.RIGHT_SHOE: 19,
}
"""ATR class -> CIHP class. CIHP knows no bag (it becomes background, 0) and no belt (trousers)."""
CIHP_TORSO_SKIN = 10
"""Neck and chest, which Dress Code's maps count to the head."""

BODY_25_ROWS = {**{j: j for j in range(8)}, **{j: j + 1 for j in range(8, 18)}}
"""COCO-18 row -> BODY_25 row. BODY_25 has the middle of the hips as row 8 and six feet points."""
OOTD_FRAME_HW = (512, 384)


def jpeg(image: np.ndarray) -> bytes:
    """A JPEG file of quality 95 with full chroma, (H, W, 3) RGB or (H, W) grey uint8."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def png(image: np.ndarray) -> bytes:
    """A PNG file, (H, W, 3) RGB or (H, W) grey uint8."""
    coded = image if image.ndim == 2 else image[..., ::-1]
    return cv2.imencode(".png", coded)[1].tobytes()


def palette_png(classes: np.ndarray, colours: bytes) -> bytes:
    """A PNG file of mode P whose palette index is the class, (H, W) uint8."""
    picture = Image.frombytes("P", classes.shape[::-1], np.ascontiguousarray(classes).tobytes())
    picture.putpalette(colours)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def grey_mask(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 255 = hide, 0 = keep, of an (H, W) bool mask."""
    return mask.astype(np.uint8) * 255


def colour_parts(dense_i: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB: detectron2's ``dp_segm`` picture on black, as VITON-HD ships it.

    Part ``p`` has OpenCV's PARULA colour at int(p x 255 / 24), background is black.
    """
    level = (np.arange(N_DENSE) * 255 // (N_DENSE - 1)).astype(np.uint8)
    colours = cv2.applyColorMap(level[:, None], cv2.COLORMAP_PARULA)[:, 0, ::-1].copy()
    colours[0] = 0
    return colours[np.minimum(dense_i, N_DENSE - 1)]


def to_cihp(label_map: np.ndarray, dense_i: np.ndarray | None) -> np.ndarray:
    """(H, W) uint8 of CIHP's classes 0 to 19, from an ATR label map.

    Args:
        label_map: (H, W) uint8, ATR classes.
        dense_i: (H, W) uint8 DensePose parts, or None. Where it is there, the head's skin off the
            DensePose head becomes CIHP's neck and chest.
    """
    table = np.zeros(256, np.uint8)
    for atr, cihp in CIHP.items():
        table[atr] = cihp
    classes = table[label_map]
    if dense_i is not None:
        head = is_in(dense_i, (DensePart.HEAD_RIGHT, DensePart.HEAD_LEFT))
        classes[(label_map == Atr.HEAD) & ~head] = CIHP_TORSO_SKIN
    return classes


def body_25(keypoints: np.ndarray) -> bytes:
    """OpenPose's JSON of one person in BODY_25 order, from (18, 3) joints; missing ones 0, 0, 0."""
    rows = np.zeros((25, 3))
    for coco, row in BODY_25_ROWS.items():
        rows[row] = np.nan_to_num(keypoints[coco])
    hips = keypoints[[Joint.R_HIP, Joint.L_HIP]]
    if np.isfinite(hips[:, :2]).all():
        rows[8] = hips.mean(0)
    person = {"pose_keypoints_2d": rows.round(3).ravel().tolist()}
    empty: dict[str, list[Any]] = {
        "face_keypoints_2d": [],
        "hand_left_keypoints_2d": [],
        "hand_right_keypoints_2d": [],
    }
    return json.dumps({"version": 1.3, "people": [{**person, **empty}]}).encode()


def ootd_joints(keypoints: np.ndarray, size_hw: tuple[int, int]) -> bytes:
    """OOTDiffusion's dict: 18 pairs in a frame of 384 x 512, missing ones 0, 0."""
    scale = np.array(OOTD_FRAME_HW[::-1]) / np.array(size_hw[::-1])
    pairs = np.nan_to_num(keypoints[:, :2] * scale)
    return json.dumps({"pose_keypoints_2d": pairs.round(2).tolist()}).encode()


def garment_region(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: the garment of an in-shop picture on plain ground; all on cluttered ground.

    What differs from the colour of the picture's edge, with its holes filled.
    """
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(np.int16)
    ground = np.median(edge, 0)
    differs = np.abs(image.astype(np.int16) - ground).max(2) > 12
    small = np.ones((5, 5), np.uint8)
    thing = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, small)
    outlines, _ = cv2.findContours(thing, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(thing)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled > 0 if filled.any() else np.ones(filled.shape, bool)
