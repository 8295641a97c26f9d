"""What people have about them: hair, face, shoes, bags, scarves, belts and hats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from pipeline.base.labels import Atr, Joint
from pipeline.sample.body import Body
from pipeline.sample.cloth import colour, make_cloth
from pipeline.sample.cut import WAIST_Y, smooth_line
from pipeline.sample.mesh import grid, ribbon, warp_piece
from pipeline.sample.skin import foot_line
from pipeline.sample.wearer import Wearer

_ACROSS = np.linspace(-1, 1, 7)


def _mask(picture, polygons) -> np.ndarray:
    mask = np.zeros(picture.size_hw, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(
            mask,
            [np.round(np.asarray(polygon) * picture.ratio * 16).astype(np.int32)],
            255,
            cv2.LINE_8,
            4,
        )
    return mask


def _line(picture, points, tone, width: float) -> None:
    shape = [np.round(np.asarray(points, float) * picture.ratio * 16).astype(np.int32)]
    cv2.polylines(
        picture.photo,
        shape,
        False,
        [float(v) for v in tone],
        max(1, round(width * picture.ratio)),
        cv2.LINE_AA,
        4,
    )


def _strand_texture(person: Wearer) -> np.ndarray:
    """(160, 96, 4) uint8 RGBA: combed hair, lighter in a band, thinning at the tips."""
    rng = np.random.default_rng([*person.seed, 5])
    lines = cv2.blur(rng.normal(0, 1, (160, 96)).astype(np.float32), (3, 61)) * 6
    rows = np.linspace(0, 1, 160, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, 96, dtype=np.float32)[None]
    gain = (
        1
        + 0.16 * np.clip(lines, -2, 2)
        + 0.22 * np.exp(-(((rows - 0.3) / 0.12) ** 2))
        - 0.25 * columns**4
    )
    rgb = np.clip(np.array(person.hair_colour, np.float32) * gain[..., None] + 8, 0, 255)
    tip = np.clip((1.03 - rows) / 0.13 + 0.9 * np.clip(lines, -1, 1), 0, 1) * np.clip(
        (1 - np.abs(columns)) * 12, 0, 1
    )
    return np.dstack([rgb, tip * 255]).astype(np.uint8)


def _paint_strand(picture, person: Wearer, points, profile, shadow: float = 0.3) -> None:
    left, right = ribbon(np.asarray(points, float), np.asarray(profile, float), 14, 0.3)
    target = grid(left, right, _ACROSS)
    rows, columns = np.meshgrid(np.linspace(0, 159, 14), np.linspace(0, 95, 7), indexing="ij")
    drawn = warp_piece(
        _strand_texture(person),
        np.stack([columns, rows], 2),
        target * picture.ratio,
        picture.size_hw,
    )
    if drawn is not None:
        picture.paint(*drawn, Atr.HAIR, shadow)


def paint_back_hair(picture, person: Wearer, body: Body) -> None:
    """Hair that falls behind the shoulders or lies about the neck."""
    neck, s = body.joints[Joint.NECK], body.scale
    x = neck[0] + 16 * body.turn * s
    if person.hair in ("long", "long behind", "one side"):
        _paint_strand(
            picture,
            person,
            [(x, -20), (x, neck[1] + 30 * s)],
            [(0, 66 * s, 66 * s), (1, 62 * s, 62 * s)],
            0,
        )
    elif person.hair == "short" and person.build == "slim":
        _paint_strand(
            picture,
            person,
            [(x, -40), (x, neck[1] - 44 * s)],
            [(0, 62 * s, 62 * s), (1, 50 * s, 50 * s)],
            0,
        )


def paint_face(picture, person: Wearer, body: Body) -> None:
    """Lips and the shadow below them, collar bones; the back of the head when seen from behind."""
    neck, s = body.joints[Joint.NECK], body.scale
    if body.facing < 0:
        long = person.hair not in ("bound", "short")
        end = neck[1] + (150 if long else -62) * s
        widths = [(0, 56 * s, 56 * s), (1, 44 * s, 44 * s)]
        _paint_strand(picture, person, [(neck[0], -40), (neck[0], end)], widths, 0.2)
        return
    x, tone = neck[0] + 28 * body.turn * s, np.array(person.skin, float)
    lip = np.clip(tone * (0.86, 0.58, 0.58), 0, 255)
    y = neck[1] - 84 * s
    width = 18 * s * (1 - 0.25 * abs(body.turn))
    outline = smooth_line(
        [
            (x - width, y),
            (x - width / 2, y - 5 * s),
            (x, y - 3 * s),
            (x + width / 2, y - 5 * s),
            (x + width, y),
            (x, y + 8 * s),
            (x - width, y),
        ],
        5,
    )
    fill = [np.round(outline * picture.ratio * 16).astype(np.int32)]
    cv2.fillPoly(picture.photo, fill, lip.tolist(), cv2.LINE_AA, 4)
    _line(
        picture,
        [(x - width * 0.9, y), (x, y + 1), (x + width * 0.9, y)],
        tone * (0.6, 0.36, 0.36),
        1.2,
    )
    _line(
        picture,
        smooth_line([(x - 8 * s, y + 14 * s), (x, y + 16 * s), (x + 8 * s, y + 14 * s)]),
        tone * 0.86,
        2.0,
    )
    for side in (-1, 1):
        bone = smooth_line(np.array([(9, 2), (30, -4), (62, -9)]) * (side * s, s))
        _line(picture, neck + bone, tone * (0.92, 0.88, 0.86), 2.4)


# outlines (across outwards +, down) from the ankle, with a width for the ankle of 14 units
_LOW = [
    (-17, -4),
    (-18, 18),
    (-23, 42),
    (-25, 60),
    (-18, 76),
    (0, 81),
    (18, 77),
    (27, 62),
    (25, 44),
    (19, 18),
    (17, -4),
]
_SHOES: dict[str, list[Any]] = {
    "sneakers": [_LOW],
    "loafers": [[(-17, 22), *_LOW[2:-2], (17, 22), (0, 34)]],
    "boots": [[(-18, -20), *_LOW[1:-1], (18, -20)]],
    "pumps": [
        [
            (-15, 22),
            (-20, 40),
            (-20, 60),
            (-11, 82),
            (0, 92),
            (9, 83),
            (20, 62),
            (19, 42),
            (15, 22),
            (11, 40),
            (0, 50),
            (-11, 40),
        ]
    ],
    "sandals": [
        [(-21, 46), (-23, 58), (22, 58), (20, 46)],
        [(-16, -2), (-16, 6), (16, 6), (16, -2)],
        [(-22, 64), (-16, 76), (0, 80), (18, 76), (23, 62), (16, 72), (0, 75), (-13, 72)],
    ],
}


def _shaft(body: Body, right: bool) -> np.ndarray:
    """Outline of a boot's leg: a little wider than the calf in it."""
    outer, inner = (edge[19:] for edge in body.limb_edges("leg", right, 24))
    middle = (outer + inner) / 2
    grown = [
        middle + (edge - middle) * np.array([1.16, 1.18, 1.24, 1.3, 1.35])[:, None]
        for edge in (outer, inner)
    ]
    return np.vstack([grown[0], grown[1][::-1]])


def paint_shoe(picture, person: Wearer, body: Body, right: bool) -> None:
    """One shoe, with a sole or a heel."""
    label = Atr.RIGHT_SHOE if right else Atr.LEFT_SHOE
    shapes = [np.array(shape, float) * (body.side(right), 1) for shape in _SHOES[person.shoes]]
    soft = person.shoes != "sandals"
    outlines = [
        foot_line(body, right, smooth_line(np.vstack([s, s[:1]]), 5) if soft else s) for s in shapes
    ]
    if person.shoes == "boots":
        outlines.append(_shaft(body, right))
    base = colour(person.shoe_colour)
    mask = _mask(picture, outlines)
    picture.paint_mask(mask, base * 0.93, label, 0.2)
    dark = np.clip(base * 0.62 + (20 if base.mean() < 60 else 0), 0, 255)
    if person.shoes == "sneakers":
        sole = foot_line(
            body, right, smooth_line([(-25, 62), (-18, 75), (0, 80), (18, 76), (26, 63)])
        )
        _line(picture, sole, (236, 234, 228), 6)
        for y in (14, 24, 34) if body.facing > 0 else ():
            _line(
                picture,
                foot_line(body, right, np.array([(-9.0, y), (9.0, y + 3)])),
                (236, 234, 228),
                2,
            )
    elif person.shoes in ("loafers", "boots"):
        sole = smooth_line([(-24, 64), (-17, 77), (0, 81), (18, 78), (26, 64)])
        _line(picture, foot_line(body, right, sole), dark, 4)
        _line(
            picture, foot_line(body, right, smooth_line([(-18, 44), (0, 36), (18, 44)])), dark, 1.6
        )
    if person.shoes in ("pumps", "boots", "loafers"):
        shine = foot_line(
            body, right, smooth_line([(-7, 60), (-5, 66), (-1, 70)]) * (body.side(right), 1)
        )
        _line(picture, shine, np.clip(base * 1.08 + 22, 0, 255), 2)


def paint_belt(picture, person: Wearer, body: Body) -> None:
    """A belt with a buckle round the waist."""
    if "belt" not in person.extras or "coat" in person.worn:
        return
    dressed = "dress" in person.worn
    top, garment = (person.worn["dress" if dressed else part] for part in ("upper", "lower"))
    if not (person.tucked or dressed) or top.ease > 14:
        return
    ys = np.array([WAIST_Y - 8.0, WAIST_Y + 8.0])
    left, right = body.torso_edges(ys, body.torso_width(ys) + garment.ease + 4)
    sag = np.linspace(-1, 1, 15)[:, None]
    rows = [left[k] + (right[k] - left[k]) * (sag + 1) / 2 + (1 - sag**2) * (0, 4) for k in (0, 1)]
    base = colour(person.extra_colour)
    mask = _mask(picture, [np.vstack([rows[0], rows[1][::-1]])])
    mask[picture.labels == 0] = 0
    picture.paint_mask(mask, base * 0.9, Atr.BELT, 0.3)
    if body.facing > 0:
        middle = (left + right).mean(0) / 2 + (0, 4) + ((right - left)[0] * 0.11 * body.turn)
        _line(
            picture,
            middle + np.array([(-9, -8), (9, -8), (9, 8), (-9, 8), (-9, -8)]),
            (206, 176, 106),
            3,
        )


def paint_pocket(picture, body: Body, right: bool) -> None:
    """The opening of the pocket that a hand is in."""
    _, elbow, wrist = body.chain("arm", right)
    along = (wrist - elbow) / np.hypot(*(wrist - elbow))
    across = np.array([-along[1], along[0]])
    line = smooth_line(
        [wrist + along * 3 - across * 23, wrist + along * 8, wrist + along * 3 + across * 23]
    )
    shadow = np.zeros(picture.size_hw, np.uint8)
    cv2.polylines(
        shadow,
        [np.round(line * picture.ratio * 16).astype(np.int32)],
        False,
        255,
        max(1, round(5 * picture.ratio)),
        cv2.LINE_AA,
        4,
    )
    x, y = (wrist * picture.ratio).astype(int)
    r = int(40 * picture.ratio)
    view = np.s_[max(0, y - r) : y + r, max(0, x - r) : x + r]
    gain = 1 - 0.5 * shadow[view].astype(np.float32) / 255 * (picture.labels[view] > 0)
    picture.photo[view] = (picture.photo[view] * gain[..., None]).astype(np.uint8)


def _paint_bag(
    picture, person: Wearer, centre: np.ndarray, grip: np.ndarray, size: tuple[float, float]
) -> None:
    base, (w, h) = colour(person.extra_colour), size
    top, bottom = centre[1] - h / 2, centre[1] + h / 2
    half = np.array(
        [
            (-0.42, 0),
            (0, -2),
            (0.42, 0),
            (0.5, h - 8),
            (0.44, h),
            (0, h + 3),
            (-0.44, h),
            (-0.5, h - 8),
            (-0.42, 0),
        ]
    )
    body = smooth_line(half * (w, 1) + (centre[0], top), 5)
    handle = smooth_line(
        [
            (centre[0] - w * 0.25, top + 4),
            (grip[0] - w * 0.12, (grip[1] + top) / 2),
            grip + (0, 8),
            (grip[0] + w * 0.12, (grip[1] + top) / 2),
            (centre[0] + w * 0.25, top + 4),
        ]
    )
    strap = np.zeros(picture.size_hw, np.uint8)
    cv2.polylines(
        strap,
        [np.round(handle * picture.ratio * 16).astype(np.int32)],
        False,
        255,
        max(1, round(6 * picture.ratio)),
        cv2.LINE_8,
        4,
    )
    picture.paint_mask(strap, base * 0.8, Atr.BAG, 0.2)
    height = picture.size_hw[0]
    light = np.clip(
        np.interp(np.arange(height) / picture.ratio, [top, bottom], [1.08, 0.8]), 0, 1.2
    )
    shade = np.clip(base[None] * light[:, None], 0, 255).astype(np.uint8)
    picture.paint_mask(
        _mask(picture, [body]),
        np.broadcast_to(shade[:, None], (*picture.size_hw, 3)),
        Atr.BAG,
        0.35,
    )
    dark = np.clip(base * 0.6 + (18 if base.mean() < 60 else 0), 0, 255)
    flap = np.array([(-0.43, 2), (-0.3, h * 0.42), (0, h * 0.5), (0.3, h * 0.42), (0.43, 2)]) * (
        w,
        1,
    )
    _line(picture, smooth_line(flap + (centre[0], top)), dark, 1.8)
    _line(
        picture,
        [(centre[0] - 5, top + h * 0.5), (centre[0] + 5, top + h * 0.5)],
        (210, 180, 110),
        5,
    )


def _paint_hat(picture, person: Wearer, centre: np.ndarray) -> None:
    base, angle = colour(person.extra_colour), np.linspace(0, 2 * np.pi, 40)
    brim = np.stack([centre[0] + 62 * np.cos(angle), centre[1] + 62 * np.sin(angle)], 1)
    crown = np.stack([centre[0] + 34 * np.cos(angle), centre[1] - 2 + 36 * np.sin(angle)], 1)
    picture.paint_mask(_mask(picture, [brim]), base * 0.95, Atr.HAT, 0.35)
    picture.paint_mask(_mask(picture, [crown]), np.clip(base * 1.06, 0, 255), Atr.HAT, 0.3)
    _line(picture, crown[[*range(40), 0]], base * 0.6, 4)


def _paint_scarf(picture, person: Wearer, body: Body) -> None:
    """A scarf laid about the neck, with one end hanging down."""
    neck, s = body.joints[Joint.NECK], body.scale
    rng = np.random.default_rng([*person.seed, 6])
    pattern = ("plain", "stripes", "checks", "dots")[int(rng.integers(4))]
    cloth = make_cloth(rng, pattern, (person.extra_colour, "cream", "ink"), 256, 1.0)
    texture = np.dstack([cloth, np.full(cloth.shape[:2], 255, np.uint8)])
    end = neck + np.array([34, 215]) * s
    for points, half in (
        ([neck + np.array([24, -14]) * s, neck + np.array([30, 60]) * s, end], 25),
        (
            [
                neck + np.array([-47, -44]) * s,
                neck + np.array([-22, -8]) * s,
                neck + np.array([4, 4]) * s,
                neck + np.array([28, -8]) * s,
                neck + np.array([47, -42]) * s,
            ],
            23,
        ),
    ):
        left, right = ribbon(
            np.array(points),
            np.array([(0, half * 0.9, half * 0.9), (0.5, half, half), (1, half, half)]) * (1, s, s),
            16,
            0.25,
        )
        t = np.linspace(-1, 1, 7)
        length = min(250, 1.1 * np.hypot(*np.diff(points, axis=0).T).sum())
        rows, columns = np.meshgrid(
            np.linspace(4, length, 16), np.linspace(8, 8 + 2 * half, 7), indexing="ij"
        )
        lit = texture.copy()
        folds = 1 - 0.16 * np.abs(np.sin(np.arange(256) * 0.17))
        lit[..., :3] = (lit[..., :3] * folds[None, :, None]).astype(np.uint8)
        drawn = warp_piece(
            lit, np.stack([columns, rows], 2), grid(left, right, t) * picture.ratio, picture.size_hw
        )
        if drawn is not None:
            picture.paint(*drawn, Atr.SCARF, 0.4)


def _front_hair(picture, person: Wearer, body: Body) -> None:
    """Long hair over one shoulder or both."""
    neck, s = body.joints[Joint.NECK], body.scale
    sides = {"long": (-1, 1), "one side": (1 if person.jitter[14] > 0 else -1,)}.get(
        person.hair, ()
    )
    x, reach = neck[0] + 16 * body.turn * s, (150 + 35 * np.tanh(person.jitter[15]) + 40) * s
    for side in sides:
        wide = 1.25 if len(sides) == 1 else 1.0
        points = np.array([(50, -144), (46, -40), (62, 36), (60, 90), (50, reach / s)]) * (
            side * s,
            s,
        ) + (x, neck[1])
        _paint_strand(
            picture,
            person,
            points,
            np.array([(0, 20, 20), (0.4, 22, 22), (0.75, 27, 27), (1, 15, 15)])
            * (1, wide * s, wide * s),
        )


def paint_front(picture, person: Wearer, body: Body, paint_hand: Callable[[bool], None]) -> None:
    """All that lies in front of the clothes: scarf, hair, bags, a hat in the hand."""
    s, joints = body.scale, body.joints
    if "scarf" in person.extras:
        _paint_scarf(picture, person, body)
    if body.facing > 0:
        _front_hair(picture, person, body)
    if "bag" in person.extras:
        before = person.pose == "bag before"
        wrists = joints[[Joint.R_WRIST, Joint.L_WRIST]]
        grip = wrists.mean(0) + (0, 34 * s) if before else wrists[0] + (0, 42 * s)
        size = (118 * s, 92 * s) if before else (104 * s, 88 * s)
        _paint_bag(picture, person, grip + (0, 34 * s + size[1] / 2), grip, size)
        for right in (True, False) if before else (True,):
            paint_hand(right)
    if "shoulder bag" in person.extras:
        _shoulder_bag(picture, person, body)
        paint_hand(True)
    if "hat in hand" in person.extras:
        _paint_hat(picture, person, joints[Joint.R_WRIST] + (0, 76 * s))
        paint_hand(True)


def _shoulder_bag(picture, person: Wearer, body: Body) -> None:
    """A bag on a strap across the chest, lying on the hip."""
    s, joints = body.scale, body.joints
    start = joints[Joint.L_SHOULDER] + (-body.side(False) * 34 * s, -18 * s)
    end = joints[Joint.R_HIP] + (body.side(True) * 34 * s, 6 * s)
    strap = np.zeros(picture.size_hw, np.uint8)
    line = smooth_line([start, (start + end) / 2 + (8, 6), end])
    cv2.polylines(
        strap,
        [np.round(line * picture.ratio * 16).astype(np.int32)],
        False,
        255,
        max(1, round(8 * picture.ratio)),
        cv2.LINE_8,
        4,
    )
    picture.paint_mask(strap, colour(person.extra_colour) * 0.8, Atr.BAG, 0.3)
    _paint_bag(picture, person, end + (0, 34 * s), end - (0, 8 * s), (86 * s, 64 * s))
