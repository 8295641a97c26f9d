"""Where each piece of a garment lies on a posed body, and how light falls on it."""

from __future__ import annotations

import numpy as np

from pipeline.sample.body import ANKLE_Y, HIP_Y, LEG, Body
from pipeline.sample.cut import ARM_LENGTH, CROTCH_Y, Piece, sleeve_half, trunk_width
from pipeline.sample.mesh import grid, polyline
from pipeline.sample.wardrobe import Garment

ACROSS = np.linspace(-1.16, 1.16, 9)


def _leg_reach(body: Body, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leftmost and rightmost x of the two legs at heights below the neck (units)."""
    edges = [np.concatenate(body.limb_edges("leg", right, 16)) for right in (True, False)]
    at = body.axis(ys)[0][:, 1]
    lows, highs = [], []
    for points in edges:
        half = len(points) // 2
        columns = [
            np.interp(at, points[k : k + half, 1], points[k : k + half, 0]) for k in (0, half)
        ]
        lows.append(np.minimum(*columns))
        highs.append(np.maximum(*columns))
    return np.minimum(*lows), np.maximum(*highs)


def trunk_edges(garment: Garment, body: Body, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of a top, skirt or dress round the body: never narrower than the body, nor than the
    legs below it."""
    width = trunk_width(garment, ys)
    narrow = body.breadth_at(ys)
    naked = body.torso_width(ys)
    worn = (
        np.where(ys < 62, np.maximum(width, naked / narrow if garment.sleeve else 0), width)
        * narrow
    )
    fitting = np.maximum(
        worn, np.where((ys > 62) & (ys < HIP_Y + 40), naked + 2 + 0.5 * garment.ease, 0)
    )
    left, right = body.torso_edges(ys, fitting)
    low, high = _leg_reach(body, ys)
    below = np.clip((ys - HIP_Y) / 60, 0, 1) * (3 + 0.2 * garment.ease) * body.scale
    under = ys > HIP_Y
    left[:, 0] = np.where(under, np.minimum(left[:, 0], low - below), left[:, 0])
    right[:, 0] = np.where(under, np.maximum(right[:, 0], high + below), right[:, 0])
    return left, right


def _panel_edges(garment: Garment, body: Body, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """A front of an open coat: the outside as a closed one's, the inside drawn apart from the chest
    downwards."""
    left, right = trunk_edges(garment, body, piece.ys)
    middle = (left + right) / 2 + (right - left) * (0.12 * body.turn)
    gap = np.interp(piece.ys, [-30, 40, 150, garment.hem], [10, 26, 34, 44]) * body.scale
    if piece.name.endswith("right"):
        return left, middle - np.stack([gap, 0 * gap], 1)
    return middle + np.stack([gap, 0 * gap], 1), right


def _leg_edges(garment: Garment, body: Body, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    right_leg = piece.name.endswith("right") == (body.facing > 0)
    side = body.side(right_leg)
    ys = piece.ys
    centre, _ = body.axis(ys)
    naked = body.torso_width(np.minimum(ys, 300)) + garment.ease * 0.9 + 2
    edges = body.torso_edges(ys, naked)
    hip = edges[0] if side < 0 else edges[1]
    line, normal = polyline(body.chain("leg", right_leg), 0.1, 60)
    along = np.clip((ys - HIP_Y) / (ANKLE_Y - HIP_Y), 0, 1.04)
    profile = LEG[body.build]  # never narrower than the leg inside
    naked_leg = np.interp(along, profile[:, 0], profile[:, 1:].max(1))[:, None] + 2.5
    along = body.seen_share("leg", right_leg, along)
    spine = np.stack([np.interp(along, np.linspace(0, 1, 60), line[:, k]) for k in (0, 1)], 1)
    spine[:, 1] += np.clip(ys - ANKLE_Y, 0, None) * body.scale
    across = (
        np.stack([np.interp(along, np.linspace(0, 1, 60), normal[:, k]) for k in (0, 1)], 1) * side
    )
    half = ((piece.right - piece.left) / 2)[:, None] * body.scale
    half = np.maximum(half, naked_leg * body.scale)
    blend = np.clip((ys - 285) / (CROTCH_Y + 30 - 285), 0, 1)[:, None]
    outer = hip * (1 - blend) + (spine + across * half) * blend
    seam = centre - across * 3 * body.scale
    down = np.clip((ys - CROTCH_Y) / 40, 0, 1)[:, None]
    inner = seam * (1 - down) + (spine - across * half) * down
    return (outer, inner) if side < 0 else (inner, outer)


def _sleeve_edges(garment: Garment, body: Body, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    right_arm = piece.name.endswith("right") == (body.facing > 0)
    side, s = body.side(right_arm), body.scale
    chain = body.chain("arm", right_arm).copy()
    chain[0] += np.array([-side * 4.0, 0.0]) * s
    length = np.hypot(*np.diff(chain, axis=0).T).sum()
    end = chain[-1] + (chain[-1] - chain[-2]) / np.hypot(*(chain[-1] - chain[-2])) * 20 * s
    step = (chain[1] - chain[0]) / np.hypot(*(chain[1] - chain[0])) * 18 * s
    line, normal = polyline(np.vstack([chain[0] - step, chain, end]), 0.2, 80)
    at = np.linspace(-18 * s / length, 1 + 20 * s / length, 80)
    own = piece.ys / ARM_LENGTH
    share = body.seen_share("arm", right_arm, own)
    spine = np.stack([np.interp(share, at, line[:, k]) for k in (0, 1)], 1)
    across = np.stack([np.interp(share, at, normal[:, k]) for k in (0, 1)], 1)
    half = sleeve_half(garment, own)[:, None] * s * (1.08 if body.build == "broad" else 1.0)
    # wide sleeves hang: the lower edge of a level arm takes most of the width
    hang = np.clip(across[:, 1:], -1, 1) * np.clip(garment.sleeve_ease - 1.3, 0, 1.2) * 0.4
    a, b = spine + across * half * (1 + hang), spine - across * half * (1 - hang)
    return b, a


EDGES = {
    "trunk": lambda g, b, p: trunk_edges(g, b, p.ys),
    "skirt": lambda g, b, p: trunk_edges(g, b, p.ys),
    "panel": _panel_edges,
    "leg": _leg_edges,
    "sleeve": _sleeve_edges,
}


def worn_grid(garment: Garment, body: Body, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """Texture points and frame points of a piece: (R, C, 2) each, in texture pixels and in units of
    the frame."""
    left, right = EDGES[piece.name.split()[0]](garment, body, piece)
    shift = 0.22 * body.turn if piece.name in ("trunk", "skirt") else 0.0
    source = grid(
        piece.pixels(np.stack([piece.left, piece.ys], 1)),
        piece.pixels(np.stack([piece.right, piece.ys], 1)),
        ACROSS,
    )
    return source, grid(left, right, ACROSS, shift)
