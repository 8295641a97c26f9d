"""The in-shop picture: the garment's pieces laid out flat before white."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.sample.cloth import colour
from pipeline.sample.cut import (
    NECK_SHAPES,
    Piece,
    add_textures,
    cut_pieces,
    from_behind,
    shoulder_line,
)
from pipeline.sample.mesh import Box, dim
from pipeline.sample.tailor import sew, shaded
from pipeline.sample.wardrobe import Garment

_FILL = 690.0, 900.0  # the garment's largest width and height in a frame 768 x 1024
_LARGEST = 2.0
_WORN = 1.2


def layout(pieces: list[Piece]) -> tuple[float, np.ndarray]:
    """Units to frame: the scale at which the garment fills the picture, and its shift (2,)."""
    corners = np.concatenate([piece.corners() for piece in pieces])
    low, high = corners.min(0), corners.max(0)
    scale = float(min(_LARGEST, *(np.array(_FILL) / (high - low))))
    return scale, np.array([384.0, 512.0]) - scale * (low + high) / 2


def tailor(
    garment: Garment, size_hw: tuple[int, int], behind: bool = False, worn_only: bool = False
) -> list[Piece]:
    """The garment's pieces with cloth and details, at the resolution of the in-shop picture or of
    the photo."""
    garment = from_behind(garment) if behind else garment
    pieces = cut_pieces(garment)
    scale = _WORN if worn_only else layout(pieces)[0]
    add_textures(garment, pieces, scale * size_hw[0] / 1024)
    sew(garment, pieces, behind)
    return pieces


def render_shop(garment: Garment, pieces: list[Piece], size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the in-shop picture."""
    height, width = size_hw
    picture = np.full((height, width, 3), 255 if garment.seed % 3 else 246, np.uint8)
    _draw_inside(garment, picture, _to_pixels(size_hw), *layout(pieces))
    for piece, matrix in zip(pieces, _places(pieces, size_hw)):
        _lay_down(picture, garment, piece, matrix)
    return picture


def _to_pixels(size_hw: tuple[int, int]) -> np.ndarray:
    return np.diag([size_hw[1] / 768, size_hw[0] / 1024])


def _places(pieces: list[Piece], size_hw: tuple[int, int]) -> list[np.ndarray]:
    """(2, 3) of each piece: pixels of its texture -> pixels of the in-shop picture."""
    (scale, shift), to_pixels, matrices = layout(pieces), _to_pixels(size_hw), []
    for piece in pieces:
        angle = np.radians(piece.turn)
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        linear = to_pixels @ turn * scale / piece.scale
        offset = to_pixels @ (np.array(piece.at) * scale + shift) - linear @ np.array(piece.origin)
        matrices.append(np.hstack([linear, offset[:, None]]))
    return matrices


class Shop:
    """Which place of the in-shop picture shows which place of a piece's texture."""

    def __init__(self, pieces: list[Piece], size_hw: tuple[int, int]):
        self.matrices = dict(
            zip([p.name for p in pieces], _places(pieces, size_hw) if pieces else [])
        )
        self._top = np.zeros(size_hw, np.uint8)  # which piece lies on top: 1 for the first, ...
        self._numbers = {piece.name: number for number, piece in enumerate(pieces, 1)}
        for piece in pieces:
            there = cv2.warpAffine(piece.alpha, self.matrices[piece.name], size_hw[::-1])
            self._top[there > 127] = self._numbers[piece.name]

    def places(self, piece: Piece, where: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 x, y in pixels of the in-shop picture.

        Args:
            where: (h, w, 2) x, y in pixels of the piece's texture.

        Returns:
            NaN where the picture does not show the place: another piece lies on it.
        """
        if piece.name not in self.matrices:
            return np.full_like(where, np.nan)
        matrix = self.matrices[piece.name].astype(np.float32)
        found = where @ matrix[:, :2].T + matrix[:, 2]
        x, y = (
            np.clip(np.round(found[..., k]), 0, n - 1).astype(int)
            for k, n in enumerate(self._top.shape[::-1])
        )
        found[self._top[y, x] != self._numbers[piece.name]] = np.nan
        return found


def _lay_down(picture: np.ndarray, garment: Garment, piece: Piece, matrix: np.ndarray) -> None:
    """Places one piece by an affine matrix, texture to picture; only its box of the picture is
    touched."""
    h, w = piece.alpha.shape
    corners = np.array([(0, 0, 1), (w, 0, 1), (w, h, 1), (0, h, 1)]) @ matrix.T
    box = Box.around(corners, picture.shape[:2])
    if box.empty:
        return
    matrix = matrix - [(0, 0, box.left), (0, 0, box.top)]
    drawn = cv2.warpAffine(
        shaded(garment, piece, False), matrix, box.size_hw[::-1], flags=cv2.INTER_LINEAR
    )
    alpha = drawn[..., 3].astype(np.float32) * (1 / 255)
    view = picture[box.of]
    if piece.name.startswith("sleeve"):
        _edge_shadow(view, alpha)
    view[:] = cv2.blendLinear(cv2.cvtColor(drawn, cv2.COLOR_RGBA2RGB), view, alpha, 1 - alpha)


def _edge_shadow(view: np.ndarray, alpha: np.ndarray) -> None:
    """A sleeve lies upon the body: a soft dark edge on what is below it, not on the white
    around."""
    soft = cv2.blur(cv2.resize(alpha, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), (7, 7))
    soft = cv2.resize(soft, view.shape[1::-1]) * 0.22
    soft[cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) > 244] = 0
    view[:] = dim(view, 1 - soft)


def _draw_inside(
    garment: Garment, picture: np.ndarray, to_pixels: np.ndarray, scale: float, shift: np.ndarray
) -> None:
    """The inside of the back that shows in the neck opening."""
    if garment.neck not in NECK_SHAPES or garment.neck == "turtle":
        return
    half, depth, power = NECK_SHAPES[garment.neck]
    x = np.linspace(-half, half, 25)
    top = float(shoulder_line(half))
    front = np.stack([x, top + (depth + 4 - top) * (1 - np.abs(x / half) ** power)], 1)
    sag = 6 if garment.neck == "boat" else -9 - top
    back = np.stack([x[::-1], top + 0.8 * sag * (1 - np.abs(x / half) ** 2.2)], 1)
    shape = (np.vstack([front, back]) * scale + shift) @ to_pixels.T
    base = colour(garment.colours[0])
    inside = base * 0.62 + (14 if base.mean() < 60 else 0)
    cv2.fillPoly(picture, [np.round(shape * 16).astype(np.int32)], inside.tolist(), cv2.LINE_AA, 4)
