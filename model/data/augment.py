"""Backgrounds, angles and noise that training meets: photo, mask and joints changed together.

All is a function of the generator that the caller gives, and nothing here knows of epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.dataset.flows import to_codes, to_pixels
from pipeline.dataset.pose import joints_inside
from pipeline.dataset.readers import read_image

TURN, ZOOM, TILT = 15.0, 0.3, 0.08  # degrees, part, part of a side, each at strength 1
GARMENT_TURN, GARMENT_SCALE = 12.0, 0.15
PHOTO_TYPES = (".jpg", ".jpeg", ".png")
FEATHER = 1.2  # pixels at 512 rows: sigma of the silhouette's edge


@dataclass(frozen=True)
class View:
    """How a sample was changed, for what else belongs to it.

    Args:
        keypoints: (18, 3) float32, the joints where they are now; those that have left the picture
            are missing.
        photo: (3, 3), where pixels of the photo have gone, or None where they stayed.
        garment: (2, 3), the same of the garment picture.
    """

    keypoints: np.ndarray
    photo: np.ndarray | None = None
    garment: np.ndarray | None = None

    def labels(self, label_map: np.ndarray) -> np.ndarray:
        """(H, W) uint8: the label map of the changed photo."""
        return label_map if self.photo is None else _warped(label_map, self.photo)

    def flow(self, codes: np.ndarray) -> np.ndarray:
        """(H, W, 2) uint16: from where on the changed garment picture each pixel of the changed
        photo comes; 0, unknown, where that has left the picture."""
        if self.photo is not None:
            codes = _warped(codes, self.photo)
        if self.garment is None:
            return codes
        places = to_pixels(codes)
        return to_codes(places @ self.garment[:, :2].T + self.garment[:, 2])


def _warped(map_: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A map whose values are no colours, seen through a matrix; 0 beyond its borders."""
    return cv2.warpPerspective(map_, matrix, map_.shape[1::-1], flags=cv2.INTER_NEAREST)


@dataclass(frozen=True)
class Augmentation:
    """What to change, and how much; nothing by default.

    Args:
        angles: strength of rotation, zoom, shift and perspective, 0 to 1, of photo, mask and
            joints alike; the garment picture is turned and reframed on its own.
        backgrounds: part of the people who get another background, where the shards hold a label
            map: a plain one, a gradient, or a photo.
        photos: a folder of photos for backgrounds; None for drawn ones alone.
        noise: part of the photos that are blurred, or compressed as JPEG.
    """

    angles: float = 0.0
    backgrounds: float = 0.0
    photos: str | None = None
    noise: float = 0.0

    def __bool__(self) -> bool:
        return any(bool(getattr(self, item.name)) for item in fields(self))

    def check(self) -> None:
        """Raises a DataError where the folder of photos holds none."""
        if self.photos is not None:
            _photos_in(self.photos)

    def apply(
        self,
        photo: np.ndarray,
        garment: np.ndarray,
        mask: np.ndarray,
        keypoints: np.ndarray,
        label_map: np.ndarray | None,
        rng: np.random.Generator,
    ) -> View:
        """Changes a sample in place.

        Args:
            photo, garment: (H, W, 3) uint8 RGB.
            mask: (H, W) uint8, 1 where it hides.
            keypoints: (18, 3) float32 in pixels of the photo; not changed.
        """
        matrix = turned = None
        if rng.random() < self.backgrounds and label_map is not None:
            paste_background(photo, label_map > 0, self._background(photo.shape[:2], rng))
        if self.angles:
            matrix = random_view(photo.shape[:2], self.angles, rng)
            keypoints = seen_through(matrix, photo, mask, keypoints)
            turned = turn_garment(garment, self.angles, rng)
        if rng.random() < self.noise:
            spoil(photo, rng)
        return View(keypoints, matrix, turned)

    def _background(self, size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        if self.photos is not None and rng.random() < 0.5:
            names = _photos_in(self.photos)
            return cut_to(read_image(names[rng.integers(len(names))]), size_hw, rng)
        return drawn_background(size_hw, rng)


@lru_cache(maxsize=4)
def _photos_in(folder: str) -> tuple[Path, ...]:
    root = Path(folder)
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in PHOTO_TYPES)
    if not found:
        raise DataError(
            root,
            "no photos" if root.is_dir() else "no such folder",
            "a folder with JPEG or PNG files",
            "Name the folder of backgrounds, or leave --background-photos out",
        )
    return tuple(found)


def drawn_background(size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: one colour, or a gradient between two in any direction."""
    height, width = size_hw
    first, second = rng.integers(0, 256, (2, 3)).astype(np.float32)
    if rng.random() < 0.5:
        second = first
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    along = (np.cos(angle) * x[None] + np.sin(angle) * y[:, None]) / 2**1.5 + 0.5
    picture = first + (second - first) * along[..., None].astype(np.float32)
    return picture.round().clip(0, 255).astype(np.uint8)


def cut_to(picture: np.ndarray, size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random part of a picture with the aspect of ``size_hw``, at that size; (H, W, 3) uint8."""
    height, width = size_hw
    most = min(picture.shape[0] / height, picture.shape[1] / width)
    scale = most * rng.uniform(0.6, 1)
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    top = rng.integers(picture.shape[0] - rows + 1)
    left = rng.integers(picture.shape[1] - columns + 1)
    part = picture[top : top + rows, left : left + columns]
    kind = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return cv2.resize(part, (width, height), interpolation=kind)


def paste_background(photo: np.ndarray, person: np.ndarray, background: np.ndarray) -> None:
    """Everything but the person becomes ``background``, with a soft edge; in place.

    Args:
        person: (H, W) bool, the label map's silhouette; holes of a few pixels are closed.
    """
    kernel = np.ones((5, 5), np.uint8)
    closed = cv2.morphologyEx(person.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    sigma = FEATHER * len(photo) / 512
    share = cv2.GaussianBlur(closed.astype(np.float32), (0, 0), sigma)[..., None]
    mixed = background + (photo.astype(np.float32) - background) * share
    photo[:] = mixed.round().clip(0, 255).astype(np.uint8)


def random_view(size_hw: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) float64: where pixels of the photo go, in pixel coordinates.

    A rotation with a little perspective, zoomed in so far that the photo still fills the frame:
    nothing is invented beyond its borders, where a body may be cut off.
    """
    height, width = size_hw
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64) * (width / 2, height / 2)
    turn = np.deg2rad(rng.uniform(-TURN, TURN) * strength)
    tilt = rng.uniform(-TILT, TILT, (4, 2)) * strength * (width, height)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    quad = (corners + tilt) @ spin.T
    room = np.array([width / 2, height / 2])
    filling = min(1.0, (room / np.abs(quad).max(0)).min())
    quad = quad * filling / (1 + rng.uniform(0, ZOOM) * strength)
    shift = np.minimum(room - quad.max(0), room + quad.min(0))
    quad = quad + rng.uniform(-1, 1, 2) * shift
    middle = room - 0.5
    return cv2.getPerspectiveTransform(
        (quad + middle).astype(np.float32), (corners + middle).astype(np.float32)
    )


def seen_through(
    matrix: np.ndarray, photo: np.ndarray, mask: np.ndarray, keypoints: np.ndarray
) -> np.ndarray:
    """Moves the pixels of photo and mask, in place, and gives the joints where they are now: (18,
    3) float32, missing where they have left the picture."""
    height, width = photo.shape[:2]
    for picture, kind in ((photo, cv2.INTER_LINEAR), (mask, cv2.INTER_NEAREST)):
        picture[:] = cv2.warpPerspective(
            picture, matrix, (width, height), flags=kind, borderMode=cv2.BORDER_REPLICATE
        )
    moved = keypoints.copy()
    places = cv2.perspectiveTransform(keypoints[None, :, :2].astype(np.float64), matrix)[0]
    moved[:, :2] = places
    moved[~np.isfinite(keypoints[:, 0])] = (np.nan, np.nan, 0)  # OpenCV moves NaN to 0
    return joints_inside(moved, (height, width))


def turn_garment(garment: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Turns and reframes a garment's picture a little, in place; what comes in from beyond has the
    colour of its border. Returns (2, 3): where its pixels have gone."""
    height, width = garment.shape[:2]
    angle = rng.uniform(-GARMENT_TURN, GARMENT_TURN) * strength
    scale = 1 + rng.uniform(-GARMENT_SCALE, 0.3 * GARMENT_SCALE) * strength
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] = matrix[:, 2] + rng.uniform(-0.03, 0.03, 2) * strength * (width, height)
    frame = np.concatenate([garment[0], garment[-1], garment[:, 0], garment[:, -1]])
    colour = np.median(frame, 0).tolist()
    garment[:] = cv2.warpAffine(
        garment, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=colour
    )
    return matrix


def spoil(photo: np.ndarray, rng: np.random.Generator) -> None:
    """Blurs a photo, or compresses it as a poor JPEG, in place."""
    if rng.random() < 0.5:
        sigma = rng.uniform(0.5, 2) * len(photo) / 512
        photo[:] = cv2.GaussianBlur(photo, (0, 0), max(sigma, 0.3))
        return
    quality = int(rng.integers(20, 75))
    coded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert decoded is not None
    photo[:] = decoded[..., ::-1]
