"""Grids of points, and pictures laid on them: how a flat piece of cloth or skin takes the shape of
a posed body.

A grid is (R, C, 2): R rows along the piece, C columns across. Every piece is drawn by looking up,
    for each pixel of the
photo, where in its texture it comes from; the look-up is linear within each triangle of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_FIXED = 16  # sub-pixel steps of OpenCV's polygon filling (shift 4)


def polyline(points: np.ndarray, smooth: float, samples: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Points at even steps along a line with its corners rounded, and the unit normals there.

    Args:
        points: (N, 2) corners.
        smooth: length of the rounding as a share of the whole line.
        samples: how many points to return.

    Returns:
        (samples, 2) points and (samples, 2) normals, to the left of the direction of travel in
        image axes.
    """
    points = np.asarray(points, np.float64)
    lengths = np.hypot(*np.diff(points, axis=0).T)
    at = np.concatenate([[0], np.cumsum(lengths)])
    pad = smooth * at[-1] / 2 + 1e-6
    unit = [
        np.diff(points[i : i + 2], axis=0)[0] / max(lengths[i], 1e-6) for i in (0, len(lengths) - 1)
    ]
    at = np.concatenate([[-pad], at, [at[-1] + pad]])
    points = np.vstack([points[0] - unit[0] * pad, points, points[-1] + unit[1] * pad])
    steps = np.linspace(0, at[-2], samples)
    offsets = np.linspace(-pad, pad, 9)
    window = steps[:, None] + offsets
    line = np.stack([np.interp(window, at, points[:, axis]).mean(1) for axis in (0, 1)], 1)
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-6)
    return line, np.stack([along[:, 1], -along[:, 0]], 1)


def ribbon(
    points: np.ndarray,
    profile: np.ndarray,
    rows: int = 24,
    smooth: float = 0.16,
) -> tuple[np.ndarray, np.ndarray]:
    """Two edges of a limb-like shape along a line.

    Args:
        points: (N, 2) corners of the line.
        profile: (M, 3) share of the line's length, half-width to its left, half-width to its right.
        rows: number of rows.
        smooth: rounding of the corners, see ``polyline``.

    Returns:
        (rows, 2) left edge and (rows, 2) right edge, left in the sense of ``polyline``'s normals.
    """
    line, normal = polyline(points, smooth, rows)
    share = np.linspace(0, 1, rows)[:, None] + np.linspace(
        -0.045, 0.045, 7
    )  # averaged: no corners in the outline
    left, right = (np.interp(share, profile[:, 0], profile[:, k]).mean(1)[:, None] for k in (1, 2))
    return line + normal * left, line - normal * right


def grid(left: np.ndarray, right: np.ndarray, across: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """(R, C, 2) points between two edges; ``across`` runs from -1 (left) to 1 (right) and may reach
    beyond.

    ``shift`` turns the piece about its length: the middle moves towards the right edge, the edges
        stay.
    """
    t = across + shift * np.clip(1 - across**2, 0, None)
    return left[:, None] + (right - left)[:, None] * ((t + 1) / 2)[None, :, None]


def triangles(points: np.ndarray) -> np.ndarray:
    """(T, 3, K) corners of the two triangles in each cell of a grid (R, C, K), row by row."""
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, :-1], points[1:, 1:]
    return np.stack([np.stack([a, b, c], 2), np.stack([d, c, b], 2)], 2).reshape(
        -1, 3, points.shape[-1]
    )


def affine_of(corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(T, K, 3) float32: value = m @ (x, y, 1) inside each triangle, exact at its corners."""
    x, y = corners[..., 0], corners[..., 1]
    det = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    det = np.where(np.abs(det) < 1e-3, 1e-3, det)[:, None]
    e1, e2 = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    gx = (e1 * (y[:, 2] - y[:, 0])[:, None] - e2 * (y[:, 1] - y[:, 0])[:, None]) / det
    gy = (e2 * (x[:, 1] - x[:, 0])[:, None] - e1 * (x[:, 2] - x[:, 0])[:, None]) / det
    return np.stack([gx, gy, values[:, 0] - gx * x[:, :1] - gy * y[:, :1]], 2).astype(np.float32)


def fill_triangles(index: np.ndarray, corners: np.ndarray, first: int = 0) -> None:
    """Draws triangle numbers into an int32 picture, later ones over earlier ones."""
    for number, corner in enumerate(np.round(corners * _FIXED).astype(np.int32), first):
        cv2.fillConvexPoly(index, corner, number, cv2.LINE_8, 4)


def look_up(index: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(H, W, K) float32 values of each pixel's triangle; 0 where index is negative."""
    out = np.zeros((*index.shape, maps.shape[1]), np.float32)
    ys, xs = np.nonzero(index >= 0)
    m = maps[index[ys, xs]]
    x, y = (column[:, None].astype(np.float32) for column in (xs, ys))
    out[ys, xs] = m[:, :, 0] * x + m[:, :, 1] * y + m[:, :, 2]
    return out


def dim(rgb: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) uint8 times a gain (h, w) below 1.6, in steps of 1/160: whole numbers are
    quick."""
    steps = cv2.cvtColor(cv2.convertScaleAbs(gain, alpha=160), cv2.COLOR_GRAY2RGB)
    return cv2.multiply(rgb, steps, scale=1 / 160)


@dataclass(frozen=True)
class Box:
    """A rectangle of the photo: rows top..bottom, columns left..right (exclusive ends)."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def around(cls, points: np.ndarray, size_hw: tuple[int, int], margin: int = 2) -> Box:
        """The part of the canvas that the points (.., 2) cover, with a margin; even ends for
        half-size work."""
        flat = points.reshape(-1, 2)
        (left, top), (right, bottom) = np.floor(flat.min(0)) - margin, np.ceil(flat.max(0)) + margin
        left, top = (int(max(0, v)) // 2 * 2 for v in (left, top))
        return cls(top, left, int(min(size_hw[0], bottom)), int(min(size_hw[1], right)))

    @property
    def empty(self) -> bool:
        return self.bottom - self.top < 2 or self.right - self.left < 2

    @property
    def of(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left


def place_piece(
    source: np.ndarray, target: np.ndarray, size_hw: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, Box] | None:
    """Where in its texture each pixel of a piece comes from.

    Args:
        source, target, size_hw: see ``warp_piece``.

    Returns:
        (h, w, 2) float32 x, y in pixels of the texture, (h, w) bool inside the grid, and the box
        that they fill; None outside the canvas.
    """
    box = Box.around(target, size_hw)
    if box.empty:
        return None
    step = 2 if size_hw[0] >= 600 else 1
    height, width = box.size_hw
    index = np.full((-(-height // step) + 1, -(-width // step) + 1), -1, np.int32)
    corners = triangles((target - (box.left, box.top)) / step)
    fill_triangles(index, corners)
    field = look_up(index, affine_of(corners, triangles(source)))
    valid = (index >= 0).astype(np.uint8) * 255
    inside = enlarged(valid, step, box.size_hw) == 255
    return enlarged(field, step, box.size_hw), inside, box


def warp_piece(
    texture: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    size_hw: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, Box] | None:
    """A texture laid on a grid.

    Args:
        texture: (h, w, 4) uint8 RGBA.
        source: (R, C, 2) x, y in pixels of the texture.
        target: (R, C, 2) x, y in pixels of the canvas.
        size_hw: the canvas.

    Returns:
        (h, w, 3) uint8 colours, (h, w) float32 opacity in [0, 1], and the box they fill; None
        outside the canvas.
    """
    placed = place_piece(source, target, size_hw)
    if placed is None:
        return None
    rgb, alpha = lay_texture(texture, *placed[:2])
    return rgb, alpha, placed[2]


def lay_texture(
    texture: np.ndarray, where: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) uint8 colours and (h, w) float32 opacity of a texture (.., .., 4) looked up at
    places that ``place_piece`` found."""
    across, down = cv2.split(where)
    drawn = cv2.remap(texture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = drawn[..., 3].astype(np.float32) * (1 / 255)
    alpha[~inside] = 0
    return cv2.cvtColor(drawn, cv2.COLOR_RGBA2RGB), alpha


def enlarged(field: np.ndarray, step: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Linear enlargement in which sample i of the small field lies exactly on pixel i * step."""
    if step == 1:
        return np.ascontiguousarray(field[: size_hw[0], : size_hw[1]])
    matrix = np.array([[1 / step, 0, 0], [0, 1 / step, 0]], np.float32)
    return cv2.warpAffine(
        field,
        matrix,
        size_hw[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
