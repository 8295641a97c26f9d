"""Whether joints lie on the person, and in which other frame they would."""

from __future__ import annotations

import cv2
import numpy as np

FRAMES_HW = ((256, 192), (512, 384), (1024, 768))
"""Frames that poses are passed on in, beside fractions of the picture's own size."""
LEAST_JOINTS = 8
REACH = 0.015
"""How far beside the silhouette a joint may lie, as a share of the picture's height."""


class Silhouette:
    """A person's region, slightly grown, to hold joints against.

    Args:
        person: (H, W) bool.
    """

    def __init__(self, person: np.ndarray):
        side = 2 * round(REACH * person.shape[0]) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        self.grown = cv2.dilate(person.astype(np.uint8), disc) > 0
        rows = np.flatnonzero(person.any(axis=1))
        self.height = int(rows[-1] - rows[0] + 1) if len(rows) else 0

    def share_on(self, points_xy: np.ndarray) -> float:
        """Share of (n, 2) points, in pixels of the silhouette, that lie on the person."""
        height, width = self.grown.shape
        x, y = np.rint(points_xy).astype(int).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        on = self.grown[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        return float((inside & on).mean())


def frame_that_fits(
    points_xy: np.ndarray, frame_hw: tuple[int, int], silhouette: Silhouette
) -> tuple[int, int] | None:
    """The frame in which joints that seem to be of ``frame_hw`` would lie on the person.

    Args:
        points_xy: (n, 2) joints below the head, as they are stored.
        frame_hw: height and width of the frame that they are taken to be of.
        silhouette: the person, at any size.

    Returns:
        Height and width of the other frame, (1, 1) for shares of the picture; None where the joints
        fit as they are, or nowhere better.
    """
    if len(points_xy) < LEAST_JOINTS or silhouette.height == 0:
        return None
    height, width = silhouette.grown.shape
    as_stored = silhouette.share_on(points_xy * (width / frame_hw[1], height / frame_hw[0]))
    span = np.ptp(points_xy[:, 1]) / frame_hw[0] / (silhouette.height / height)
    if span >= 0.5 and as_stored >= 0.5:  # half the size still lies partly on the person
        return None
    own = [(round(frame_hw[0] * s), round(frame_hw[1] * s)) for s in (0.25, 0.5, 0.75, 1.5, 2)]
    best, share = None, max(0.9, as_stored)
    for other in ((1, 1), *FRAMES_HW, *own):
        here = silhouette.share_on(points_xy * (width / other[1], height / other[0]))
        tall = np.ptp(points_xy[:, 1]) / other[0] / (silhouette.height / height)
        if other != frame_hw and here > share and 0.5 < tall < 1.1:
            best, share = other, here
    return best
