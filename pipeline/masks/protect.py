"""Face, hands and bare feet: skin that stays visible although a garment of the category covers the
skin next to it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.base.labels import Atr, Joint
from pipeline.masks.body import LIMBS, Body, bounded, draw_polygon
from pipeline.masks.rules import HAND_PARTS, label_table

HEAD_LINE = 0.30
"""Height over the shoulders, in body units, where the face begins; neck and chest below it may be
covered."""
HEM_RING = 1.75
"""Cells of the canvas around a garment where bare feet are hidden with it."""
HAND_START = 0.10
"""How far before the wrist's joint a hand may begin, in body units: wrists of hands that are half
hidden lie in it."""
_HALF_TURN = np.linspace(-np.pi / 2, np.pi / 2, 13)


def protect(
    target: np.ndarray,
    value: int,
    labels: np.ndarray,
    dense: np.ndarray | None,
    body: Body,
    size: float,
    keep_skin: tuple[str, ...],
    garment: tuple[int, ...],
    hands: tuple[slice, ...] | None = None,
) -> None:
    """Sets ``target`` to ``value`` at face, hands and feet that a rule keeps.

    Args:
        target: (H, W) uint8, changed.
        value: what to write.
        labels: (H, W) uint8 ATR classes.
        dense: (H, W) uint8 DensePose parts, or None.
        body: joints on the canvas.
        size: pixels of ``target`` for one of the canvas.
        keep_skin: which of "face", "hands" and "feet".
        garment: labels that hide the skin at their hem.
        hands: rows and columns that hold DensePose's hands, if known.
    """
    if "face" in keep_skin:
        _protect_face(target, value, labels, body, size)
    if "hands" in keep_skin and dense is not None:
        _protect_hands(target, value, labels, dense, hands or (slice(None), slice(None)))
    elif "hands" in keep_skin:
        for limb, label in zip(LIMBS[:2], (Atr.RIGHT_ARM, Atr.LEFT_ARM)):
            past = _past_wrist(labels.shape, body, limb, size)
            _write(
                target, value, cv2.bitwise_and(cv2.compare(labels, int(label), cv2.CMP_EQ), past)
            )
    if "feet" in keep_skin:
        _protect_feet(target, value, labels, body, size, garment)


def _write(target: np.ndarray, value: int, where: np.ndarray) -> None:
    if value:
        np.bitwise_or(target, where, out=target)
    else:
        np.bitwise_and(target, np.invert(where), out=target)


def head_rows(height: int, width: int, body: Body, size: float) -> tuple[np.ndarray, int]:
    """(rows, W) uint8, 255 above the line where the face begins, and how many rows of the picture
    that takes."""
    x, y = (body.shoulders + body.up * HEAD_LINE * body.unit) * size
    slope = min(max(body.side[1] / body.side[0], -2.0), 2.0) if abs(body.side[0]) > 1e-3 else 0.0
    ends = y - slope * x, y + slope * (width - x)
    rows = bounded(np.ceil(max(ends)), 0, height)
    above = np.zeros((rows, width), np.uint8)
    if rows:
        draw_polygon(above, [(0, ends[0] - 0.5), (0, -1), (width, -1), (width, ends[1] - 0.5)])
    return above, rows


def _protect_face(
    target: np.ndarray, value: int, labels: np.ndarray, body: Body, size: float
) -> None:
    height, width = labels.shape
    above, rows = head_rows(height, width, body, size)
    if rows:
        _write(
            target[:rows],
            value,
            cv2.bitwise_and(cv2.compare(labels[:rows], int(Atr.HEAD), cv2.CMP_EQ), above),
        )


def _protect_hands(
    target: np.ndarray, value: int, labels: np.ndarray, dense: np.ndarray, box: tuple[slice, ...]
) -> None:
    hands = cv2.inRange(dense[box], HAND_PARTS[0], HAND_PARTS[1])
    arms = cv2.inRange(labels[box], int(Atr.LEFT_ARM), int(Atr.RIGHT_ARM))
    _write(target[box], value, cv2.bitwise_and(arms, hands))


def _past_wrist(
    shape: tuple[int, int], body: Body, limb: tuple[Any, ...], size: float
) -> np.ndarray:
    """(H, W) uint8: half a disc from just before the wrist, as large as a hand."""
    elbow, wrist = body.joints[limb[1]], body.joints[limb[2]]
    forearm = wrist - elbow
    length, start = float(np.hypot(*forearm)), HAND_START * body.unit
    angles = np.arctan2(forearm[1], forearm[0]) + _HALF_TURN
    radius = 0.8 * max(length, 0.6 * body.unit) + start
    wrist = wrist - forearm * (start / max(length, 1e-6)) if length > start else elbow
    half = np.zeros(shape, np.uint8)
    draw_polygon(half, (wrist + radius * np.stack([np.cos(angles), np.sin(angles)], 1)) * size)
    return half


def _protect_feet(
    target: np.ndarray,
    value: int,
    labels: np.ndarray,
    body: Body,
    size: float,
    garment: tuple[Any, ...],
) -> None:
    """Bare skin from just above the ankle that is nearest from left to right; not where a hem
    touches it."""
    first, second = sorted(tuple(body.joints[j] * size) for j in (Joint.R_ANKLE, Joint.L_ANKLE))
    height, width = labels.shape
    lift, reach = 0.05 * body.unit * size, round(HEM_RING * size)
    middle = bounded((first[0] + second[0]) / 2, 0, width)
    top = bounded(min(first[1], second[1]) - lift - reach, 0, height)
    if top >= height:
        return
    feet = cv2.inRange(labels[top:], int(Atr.LEFT_LEG), int(Atr.RIGHT_LEG))
    for columns, ankle in ((slice(0, middle), first), (slice(middle, width), second)):
        feet[: bounded(ankle[1] - lift, top, height) - top, columns] = 0
    x, _, across, _ = cv2.boundingRect(feet)
    if not across:
        return
    columns = slice(max(x - reach, 0), x + across + reach)
    hem = cv2.LUT(labels[top:, columns], label_table(garment))
    hem = cv2.dilate(hem, np.ones((2 * reach + 1,) * 2, np.uint8))
    _write(target[top:, columns], value, cv2.subtract(feet[:, columns], hem))
