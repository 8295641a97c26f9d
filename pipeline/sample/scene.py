"""One person's photo with its label map and DensePose, layer by layer from the background to the
bag in front."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline.base.labels import Atr, DensePart, Joint
from pipeline.sample import things
from pipeline.sample.backdrop import render_backdrop
from pipeline.sample.body import Body, build_body
from pipeline.sample.cut import Piece
from pipeline.sample.mesh import Box, dim, lay_texture, place_piece
from pipeline.sample.shop import Shop, tailor
from pipeline.sample.skin import BodyPass, arm, draw_hand, foot, hand, head, leg, torso
from pipeline.sample.tailor import shaded
from pipeline.sample.wardrobe import Garment
from pipeline.sample.wear import worn_grid
from pipeline.sample.wearer import Wearer


@dataclass
class Picture:
    """The canvas: photo (H, W, 3) uint8, label map, DensePose parts and UV, at one size; ``ratio``
    pixels per unit.

    ``flow``, if wanted: (H, W, 2) float32, x and y in pixels of the in-shop picture, NaN where
    nothing of the shown garment lies on top.
    """

    photo: np.ndarray
    labels: np.ndarray
    dense: np.ndarray
    uv: np.ndarray
    ratio: float
    flow: np.ndarray | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.labels.shape

    def paint(
        self,
        rgb: np.ndarray,
        alpha: np.ndarray,
        box: Box,
        label: Atr | None,
        shadow: float = 0.3,
        flow: np.ndarray | None = None,
    ) -> None:
        """Lays colours on the photo where ``alpha`` (h, w) is above 0, and the label where it is
        above a half; there ``flow`` (h, w, 2) is known, or nothing."""
        if shadow:
            self._shade(alpha, box, shadow)
        if self.flow is not None:
            on_top = alpha > 0.5
            self.flow[box.of][on_top] = np.nan if flow is None else flow[on_top]
        view = self.photo[box.of]
        view[:] = cv2.blendLinear(np.ascontiguousarray(rgb), view, alpha, 1 - alpha)
        if label is not None:
            self.labels[box.of][alpha > 0.5] = label

    def _shade(self, alpha: np.ndarray, box: Box, strength: float) -> None:
        """A soft shadow on what is already there of the person, none on the background."""
        r = max(2, int(9 * self.ratio))
        grown = Box(
            max(0, box.top - r),
            max(0, box.left - r),
            min(self.size_hw[0], box.bottom + r),
            min(self.size_hw[1], box.right + r),
        )
        spread = np.zeros(grown.size_hw, np.float32)
        spread[
            box.top - grown.top : box.bottom - grown.top,
            box.left - grown.left : box.right - grown.left,
        ] = alpha
        small = cv2.resize(spread, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        k = max(3, int(5 * self.ratio) | 1)
        soft = cv2.resize(cv2.blur(cv2.blur(small, (k, k)), (k, k)), grown.size_hw[::-1])
        gain = 1 - strength * soft * (self.labels[grown.of] > 0)
        view = self.photo[grown.of]
        view[:] = dim(view, gain)

    def paint_mask(
        self, mask: np.ndarray, rgb, label: Atr | None, shadow: float = 0.25, at: Box | None = None
    ) -> None:
        """Paints through a hard mask, its edge softened.

        Args:
            mask: uint8, of the photo's size, or of the size of ``at``.
            rgb: one colour (3,), or colours of the mask's size.
        """
        x, y, w, h = cv2.boundingRect(mask)
        if not w:
            return
        y0, x0, y1, x1 = (
            max(0, y - 2),
            max(0, x - 2),
            min(mask.shape[0], y + h + 2),
            min(mask.shape[1], x + w + 2),
        )
        part = np.ascontiguousarray(mask[y0:y1, x0:x1])
        top, left = (at.top, at.left) if at else (0, 0)
        box = Box(top + y0, left + x0, top + y1, left + x1)
        soft = (5, 5) if self.ratio > 0.7 else (3, 3)
        alpha = cv2.GaussianBlur(part, soft, 0).astype(np.float32) * (1 / 255)
        if np.ndim(rgb) == 3:
            colours = rgb[y0:y1, x0:x1]
        else:
            colours = np.empty((*part.shape, 3), np.uint8)
            colours[:] = np.asarray(rgb).astype(np.uint8)
        self.paint(colours, alpha, box, None, shadow)
        if label is not None:
            self.labels[box.of][part > 0] = label


def _skin_table(person: Wearer) -> np.ndarray:
    """(256, 1, 3) uint8: colours of skin by light (200 is full); shadows are warmer than lights."""
    light = np.arange(256)[:, None] / 200
    return np.clip(np.array(person.skin) * light ** (0.85, 1.1, 1.2), 0, 255).astype(np.uint8)[
        :, None
    ]


def _paint_body(picture: Picture, person: Wearer, parts: list[Any], shadow: float = 0.0) -> None:
    """Skin into photo and label map, and its parts into DensePose."""
    drawn = BodyPass(parts, picture.size_hw, picture.ratio)
    if not drawn.inside.any():
        return
    mask = drawn.inside.astype(np.uint8)
    if (
        picture.ratio > 0.4
    ):  # without the small steps that whole-pixel triangles leave along the outline
        mask &= (cv2.GaussianBlur(mask * 255, (9, 9), 0) > 118).astype(np.uint8)
    light = cv2.multiply(cv2.convertScaleAbs(drawn.field[..., 2], alpha=200), mask)
    beyond = cv2.dilate(
        light, np.ones((7, 7), np.uint8)
    )  # the soft edge takes its colour from the skin beside it
    light = np.where(mask > 0, light, beyond)
    tone = cv2.LUT(cv2.merge([light] * 3), _skin_table(person))
    picture.paint_mask(mask * 255, tone, None, shadow, drawn.box)
    cv2.copyTo(drawn.labels, mask, picture.labels[drawn.box.of])
    cv2.copyTo(drawn.dense, mask, picture.dense[drawn.box.of])
    for k in (0, 1):
        cv2.copyTo(np.ascontiguousarray(drawn.field[..., k]), mask, picture.uv[k][drawn.box.of])


def _paint_hand(picture: Picture, person: Wearer, body: Body, right: bool, visible: bool) -> None:
    shape = hand(body, right)
    mask, box = draw_hand(shape, picture.size_hw, picture.ratio)
    if box.empty:
        return
    inside = mask > 0
    picture.dense[box.of][inside] = DensePart.RIGHT_HAND if right else DensePart.LEFT_HAND
    for k, length in ((0, mask.shape[1]), (1, mask.shape[0])):
        ramp = np.linspace(0.03, 0.97, length, dtype=np.float32)
        np.copyto(picture.uv[k][box.of], ramp[None] if k == 0 else ramp[:, None], where=inside)
    if not visible:
        return
    tone = np.array(person.skin, float)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * (200 * 0.022 / picture.ratio)
    light = np.minimum(depth + 200 * 0.80, 200 * 0.97).astype(np.uint8)
    colours = cv2.LUT(cv2.merge([light] * 3), _skin_table(person))
    picture.paint_mask(mask, colours, Atr.RIGHT_ARM if right else Atr.LEFT_ARM, 0.1, box)
    for (start, end), half in zip(
        shape.strokes[3:7] * picture.ratio, shape.widths[3:7] * picture.ratio
    ):
        offset = np.array([-shape.axis[1], shape.axis[0]]) * half
        a, b = (
            tuple(int(v) for v in np.round((p + offset) * 16))
            for p in (start, start + (end - start) * 0.8)
        )
        cv2.line(
            picture.photo,
            a,
            b,
            (tone * (0.80, 0.72, 0.68)).tolist(),
            max(1, round(1.3 * picture.ratio)),
            cv2.LINE_AA,
            4,
        )


def _paint_piece(
    picture: Picture, garment: Garment, body: Body, piece: Piece, label: Atr, shop: Shop | None
) -> None:
    source, target = worn_grid(garment, body, piece)
    across = target[:, -1] - target[:, 0]
    across /= np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-6)[:, None]
    texture = shaded(garment, piece, True, across @ np.array([-0.8, -0.6]))
    placed = place_piece(source, target * picture.ratio, picture.size_hw)
    if placed is None:
        return
    where, inside, box = placed
    flow = shop.places(piece, where) if shop else None
    picture.paint(*lay_texture(texture, where, inside), box, label, 0.35, flow)


class Wardrobe:
    """The tailored pieces of all that a person wears."""

    def __init__(self, person: Wearer, size_hw: tuple[int, int], behind: bool):
        self.person, self.behind, self.size_hw = person, behind, size_hw
        self.garments = person.worn
        self.pieces = {
            part: tailor(garment, size_hw, behind, part != person.shown)
            for part, garment in person.worn.items()
        }

    def shop_pieces(self) -> list[Piece]:
        """The pieces of the in-shop picture, which shows the front even of those seen from
        behind."""
        if self.behind:
            return tailor(self.person.garment, self.size_hw)
        return self.pieces[self.person.shown]

    @functools.cached_property
    def shop(self) -> Shop:
        """Where the in-shop picture shows each place of the garment; nothing of its back."""
        return Shop([] if self.behind else self.shop_pieces(), self.size_hw)

    def label(self, part: str) -> Atr:
        return self.garments[part].cut.label

    def paint(self, picture: Picture, body: Body, part: str, names: tuple[str, ...]) -> None:
        """Paints those pieces of a garment whose name starts with one of ``names``."""
        for piece in self.pieces.get(part, ()):
            if piece.name.startswith(names):
                shown = picture.flow is not None and part == self.person.shown
                shop = self.shop if shown else None
                _paint_piece(picture, self.garments[part], body, piece, self.label(part), shop)

    def paint_sleeve(self, picture: Picture, body: Body, right: bool) -> None:
        name = f"sleeve {'right' if right == (body.facing > 0) else 'left'}"
        for part in ("upper", "dress", "coat"):
            self.paint(picture, body, part, (name,))


def _paint_arm(
    picture: Picture, person: Wearer, body: Body, clothes: Wardrobe, right: bool
) -> None:
    what = body.arm(right).hand
    _paint_body(picture, person, [arm(body, right)], 0.3)
    _paint_hand(picture, person, body, right, what not in ("pocket",))
    clothes.paint_sleeve(picture, body, right)
    if what == "pocket":
        things.paint_pocket(picture, body, right)


def render_person(
    person: Wearer, size_hw: tuple[int, int], flows: bool = False
) -> tuple[Picture, Body, Wardrobe]:
    """The photo and its annotations, still without faults; the body; and the garments, for the
    in-shop picture. With ``flows``, the picture has one."""
    body = build_body(person)
    ratio = size_hw[0] / 1024
    photo = render_backdrop(person, size_hw, body)
    picture = Picture(
        photo,
        np.zeros(size_hw, np.uint8),
        np.zeros(size_hw, np.uint8),
        np.zeros((2, *size_hw), np.float32),
        ratio,
        np.full((*size_hw, 2), np.nan, np.float32) if flows else None,
    )
    clothes = Wardrobe(person, size_hw, body.facing < 0)
    behind = [r for r in (True, False) if body.arm(r).place == "behind"]
    if body.facing > 0:
        things.paint_back_hair(picture, person, body)
    for right in behind:
        _paint_arm(picture, person, body, clothes, right)
    drop = 242 * (0.2 + 0.1 * (1 + np.tanh(person.jitter[12])))
    legs = (True, False) if person.jitter[13] > 0 else (False, True)
    parts = [p for r in legs for p in (foot(body, r), leg(body, r))]
    _paint_body(picture, person, [*parts, torso(body, drop), *head(body)])
    things.paint_face(picture, person, body)
    for right in legs:
        things.paint_shoe(picture, person, body, right)
    _paint_clothes(picture, person, body, clothes)
    for right in (True, False):
        if right not in behind:
            _paint_arm(picture, person, body, clothes, right)
    things.paint_front(picture, person, body, lambda r: _paint_hand(picture, person, body, r, True))
    return picture, body, clothes


def _paint_clothes(picture: Picture, person: Wearer, body: Body, clothes: Wardrobe) -> None:
    """Trousers or skirt and top, tucked in or not; then the coat."""
    order = ("upper", "lower") if person.tucked else ("lower", "upper")
    for part in (*order, "dress"):
        clothes.paint(picture, body, part, ("leg", "skirt"))
        clothes.paint(picture, body, part, ("trunk",))
    things.paint_belt(picture, person, body)
    clothes.paint(picture, body, "coat", ("panel", "trunk"))


def joints_in_photo(body: Body) -> np.ndarray:
    """(18, 2) joints in units of the frame (768 x 1024)."""
    joints = body.joints.copy()
    joints[[Joint.NOSE, Joint.R_EYE, Joint.L_EYE, Joint.R_EAR, Joint.L_EAR], 1] = 0
    return joints
