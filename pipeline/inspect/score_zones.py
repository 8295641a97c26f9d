"""What the mask scores measure with: the worn garment, what must stay, what another garment may
cover.

Everything follows from the annotations of one person; nothing here depends on how masks are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from pipeline.base.labels import GARMENT_LABELS, Atr, Category
from pipeline.masks.body import Body, draw_limb, draw_polygon, find_body
from pipeline.masks.rules import ARMS, BOTTOMS, HAND_PARTS, LEGS, SHOES, label_table

TINY = 150
"""Parts and zones of fewer pixels, in a picture of 1024 rows, are not scored."""
FACE_LINE, NECK_LINE = 0.30, 0.20
"""Body units over the shoulders: the face begins above the first; skin below the second is neck and
chest."""
_OTHER = {
    Category.UPPER_BODY: BOTTOMS,
    Category.LOWER_BODY: (Atr.UPPER_CLOTHES,),
    Category.DRESSES: (),
}
_SIDES = ((8, 9, 10), (11, 12, 13))


def within(labels: np.ndarray, ids) -> np.ndarray:
    """(H, W) bool: where ``labels`` holds one of ``ids``."""
    if not labels.size:
        return np.zeros(labels.shape, bool)  # OpenCV returns nothing for nothing
    return cv2.LUT(labels, label_table(ids, 1)).view(bool)


@dataclass(frozen=True)
class Zones:
    """One person's annotations and the regions in them.

    Missing shoulders, neck and hips are estimated; the zones of limbs need their joints and are
    left out without.
    """

    category: Category
    keypoints: np.ndarray
    dense: np.ndarray | None
    labels: np.ndarray
    body: Body
    known: np.ndarray

    @property
    def scale(self) -> float:
        """Pixels for each pixel of a picture of 1024 rows."""
        return self.labels.shape[0] / 1024

    @cached_property
    def garment(self) -> np.ndarray:
        """(H, W) bool; an upper garment that the label map calls a dress counts where nothing else
        is there."""
        found = within(self.labels, GARMENT_LABELS[self.category])
        if self.category is Category.UPPER_BODY and not found.any():
            return self.labels == Atr.DRESS
        return found

    @cached_property
    def above(self) -> np.ndarray:
        """(H, W) float64: height over the line of the shoulders, in body units."""
        body, (height, width) = self.body, self.labels.shape
        up, middle = body.up / body.unit, body.shoulders
        x = (np.arange(width) - middle[0]) * up[0]
        y = (np.arange(height) - middle[1]) * up[1]
        return x + y[:, None]

    @cached_property
    def arms(self) -> np.ndarray:
        return within(self.labels, ARMS)

    @cached_property
    def hands(self) -> np.ndarray:
        """(H, W) bool: arm labels on DensePose's hands; without DensePose those just beyond the
        wrists."""
        if self.dense is not None:
            return self.arms & within(self.dense, HAND_PARTS)
        hands = np.zeros_like(self.arms)
        for elbow, wrist, label in ((3, 4, Atr.RIGHT_ARM), (6, 7, Atr.LEFT_ARM)):
            if self.known[elbow] and self.known[wrist]:
                hands |= (self.labels == label) & self._past(elbow, wrist)
        return hands

    def _past(self, elbow: int, wrist: int) -> np.ndarray:
        end = self.body.joints[wrist]
        forearm = end - self.body.joints[elbow]
        length = np.hypot(*forearm) + 1e-6
        x, y = (
            np.arange(self.labels.shape[1]) - end[0],
            (np.arange(self.labels.shape[0]) - end[1])[:, None],
        )
        reach = 0.8 * max(length, 0.6 * self.body.unit)
        return (x * forearm[0] + y * forearm[1] > 0) & (x**2 + y**2 < reach**2)

    @cached_property
    def parts(self) -> dict[str, np.ndarray]:
        """Name -> (H, W) bool: what identifies the person, and must stay visible."""
        labels, lower = self.labels, self.category is Category.LOWER_BODY
        face = labels == Atr.HEAD
        parts = {
            "hair": labels == Atr.HAIR,
            "hat": within(labels, (Atr.HAT, Atr.SUNGLASSES)),
            "shoes": within(labels, SHOES),
            "bag": labels == Atr.BAG,
            "face": face if lower else face & (self.above > FACE_LINE),
            "hands": self.hands,
        }
        if _OTHER[self.category]:
            parts["other"] = within(labels, _OTHER[self.category])
        if lower:
            parts["arms"] = self.arms & ~self.hands
        if self.category is Category.UPPER_BODY:
            parts["legs"] = within(labels, LEGS)
        return parts

    @cached_property
    def identity(self) -> np.ndarray:
        return np.logical_or.reduce(list(self.parts.values()))

    @cached_property
    def covered(self) -> dict[str, np.ndarray]:
        """Name -> (H, W) bool: what another garment of the category may cover, so that a mask
        should hide it."""
        zones = {}
        if self.category is not Category.LOWER_BODY:
            zones["arm"] = self.arms & ~self.hands
            zones["neck"] = (self.labels == Atr.HEAD) & (self.above < NECK_LINE)
            zones["torso"] = self._polygon((2, 5, 11, 8)) & ~self.identity
        if self.category is not Category.UPPER_BODY and self.known[[10, 13]].any():
            zones |= self._leg_zones()
        return zones

    def _polygon(self, joints) -> np.ndarray:
        canvas = np.zeros(self.labels.shape, np.uint8)
        draw_polygon(canvas, self.body.joints[list(joints)], 1)
        return canvas.view(bool)

    def _leg_zones(self) -> dict[str, np.ndarray]:
        body, k = self.body, self.body.joints
        rows = np.arange(self.labels.shape[0])[:, None]
        columns = np.arange(self.labels.shape[1])
        ankles = k[[j for j in (10, 13) if self.known[j]]]
        nearest = np.abs(columns - ankles[:, :1]).argmin(0)
        until = ankles[nearest, 1] - 0.10 * body.unit
        torso = float(np.hypot(*(body.hips - k[1])))
        legs = within(self.labels, (*BOTTOMS, Atr.DRESS, *LEGS))
        near_hips = np.abs(rows - body.hips[1] - 0.05 * torso) < 0.25 * torso
        bone = np.zeros(self.labels.shape, np.uint8)
        for hip, knee, ankle in _SIDES:
            if self.known[[hip, knee, ankle]].all():
                line = np.array([k[hip], k[knee], k[knee] + (k[ankle] - k[knee]) * 0.95])
                cv2.polylines(
                    bone, [line.round().astype(np.int32)], False, 1, max(1, int(0.04 * body.unit))
                )
        zones = {
            "leg": legs & (rows > body.hips[1]) & (rows < until),
            "pelvis": legs & near_hips,
            "bone": bone.view(bool) & ~self.identity,
        }
        if self.known[8:14].all():
            zones["gap"] = (
                self._polygon((8, 9, 10, 13, 12, 11)) & (self.labels == 0) & (rows < until)
            )
        return zones

    def redressed(self) -> dict[str, np.ndarray]:
        """Name -> (H, W) uint8 label map of the same body in another garment of the category."""
        maps = {}
        if self.category is not Category.LOWER_BODY:
            maps["sleeveless"] = self._sleeveless()
            maps["long_sleeve"] = np.where(self.covered["arm"], self._worn_label, self.labels)
        if self.category is not Category.UPPER_BODY and self.known[8:14].all():
            maps["short"], maps["maxi"] = self._short(), self._maxi()
        return maps

    @property
    def _worn_label(self) -> np.uint8:
        return np.uint8(
            {
                Category.UPPER_BODY: Atr.UPPER_CLOTHES,
                Category.LOWER_BODY: Atr.PANTS,
                Category.DRESSES: Atr.DRESS,
            }[self.category]
        )

    def _sleeveless(self) -> np.ndarray:
        """Garment beside the trunk becomes the arm below it, or background."""
        body, k, u = self.body, self.body.joints, self.body.unit
        side, up, shape = body.side, body.up, self.labels.shape
        trunk, arm = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        draw_polygon(
            trunk,
            [
                k[2] - side * 0.08 * u + up * 0.3 * u,
                k[5] + side * 0.08 * u + up * 0.3 * u,
                body.hips + side * 0.65 * u - up * 3 * u,
                body.hips - side * 0.65 * u - up * 3 * u,
            ],
            1,
        )
        for joints, label in (((2, 3, 4), Atr.RIGHT_ARM), ((5, 6, 7), Atr.LEFT_ARM)):
            visible = 3 if self.known[joints[2]] else 2
            if self.known[joints[1]]:
                draw_limb(
                    arm,
                    k[list(joints[:visible])],
                    [0.14 * u, 0.12 * u, 0.08 * u][:visible],
                    int(label),
                )
        return np.where(self.garment & (trunk == 0), arm, self.labels)

    def _short(self) -> np.ndarray:
        """Garment below the middle of the thighs becomes legs, or background."""
        k, u = self.body.joints, self.body.unit
        skin = np.zeros(self.labels.shape, np.uint8)
        for (hip, knee, ankle), label in zip(_SIDES, (Atr.RIGHT_LEG, Atr.LEFT_LEG)):
            draw_limb(
                skin,
                np.array([k[hip] + (k[knee] - k[hip]) * 0.15, k[knee]]),
                (0.28 * u, 0.19 * u),
                int(label),
            )
            draw_limb(skin, k[[knee, ankle]], (0.17 * u, 0.11 * u), int(label))
        below = np.arange(len(skin))[:, None] > k[[8, 9, 11, 12], 1].mean()
        return np.where(self.garment & below, skin, self.labels)

    def _maxi(self) -> np.ndarray:
        """Everything between garment and legs, down to the ankles, becomes garment."""
        k, rows = self.body.joints, np.arange(self.labels.shape[0])[:, None]
        source = (self.garment & (rows > self.body.hips[1])) | within(self.labels, LEGS)
        source &= rows < k[[10, 13], 1].mean() - 0.1 * self.body.unit
        hull = np.zeros(self.labels.shape, np.uint8)
        points = cv2.findNonZero(source.view(np.uint8))
        if points is not None:
            cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
        free = within(self.labels, (Atr.BACKGROUND, *BOTTOMS, Atr.DRESS, *LEGS))
        return np.where((hull > 0) & free, self._worn_label, self.labels)


def find_zones(
    category: Category | str, keypoints: np.ndarray, dense: np.ndarray | None, labels: np.ndarray
) -> Zones | None:
    """The zones of one person, or None where nothing shows where the person is."""
    body = find_body(keypoints, labels.shape, dense, labels)
    if body is None:
        return None
    return Zones(
        Category(category), keypoints, dense, labels, body, np.isfinite(np.asarray(keypoints)[:, 0])
    )
