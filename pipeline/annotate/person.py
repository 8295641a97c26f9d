"""One photo -> everything that the dataset has for a person, from whatever sources there are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.annotate.fallback import NOTE, guess_labels, guess_parts
from pipeline.annotate.keypoints import Pose
from pipeline.annotate.photos import Frame, person_frame, whole_frame
from pipeline.base.errors import DataError
from pipeline.base.labels import Category, Joint
from pipeline.dataset.frames import Silhouette, frame_that_fits
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import GUESSED, Person
from pipeline.masks.body import find_body

SIZE_HW = (1024, 768)
LEAST_PERSON = 160
"""Height in pixels of the photo below which a person is too small to be dressed."""
QUARTER = 0.55
"""Share of width and height within which a whole person's joints are hardly ever the photo's."""
LEAST_ON_PERSON = 0.5
TRUNK = (Joint.NECK, Joint.R_SHOULDER, Joint.L_SHOULDER)
Finder = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) uint8 RGB -> (H, W) uint8 labels of the same picture."""


class UnusablePhoto(DataError):
    """A photo with which nothing can be done, and why.

    Attributes:
        kind: ``no_person``, ``two_people``, ``too_small``, ``incomplete`` or ``elsewhere``.
    """

    def __init__(self, kind: str, path, found: str, expected: str, remedy: str):
        super().__init__(path, found, expected, remedy)
        self.kind, self.args = kind, (kind, str(path), found, expected, remedy)


def check_pose(pose: Pose, name: str, category: Category, several: bool = False) -> None:
    """Raises UnusablePhoto unless one person is there, large enough, with the joints that
    ``category`` needs."""
    if pose.people == 0:
        raise UnusablePhoto(
            "no_person",
            name,
            "nobody was found in the photo",
            "one person",
            "Take a photo of one standing person, in front of a calm background",
        )
    if pose.people > 1 and not several:
        raise UnusablePhoto(
            "two_people",
            name,
            f"{pose.people} people or more in the photo",
            "one person",
            "Crop the photo to one person",
        )
    seen = np.isfinite(pose.keypoints[:, 0])
    if not all(seen[j] for j in TRUNK):
        raise UnusablePhoto(
            "incomplete",
            name,
            "the shoulders are not in the photo",
            "both of them",
            "Take a photo that shows the person from the head to below the hips",
        )
    if category is not Category.UPPER_BODY and not (seen[Joint.R_HIP] or seen[Joint.L_HIP]):
        raise UnusablePhoto(
            "incomplete",
            name,
            "the hips are not in the photo",
            f"both, for {category}",
            "Take a photo that shows the whole person, or choose upper_body",
        )
    box = person_box(pose)
    if box[3] - box[1] < LEAST_PERSON:
        raise UnusablePhoto(
            "too_small",
            name,
            f"the person is {box[3] - box[1]:.0f} pixels high: too small",
            f"at least {LEAST_PERSON}",
            "Go nearer, or take a larger photo",
        )


def check_place(
    pose: Pose,
    name: str,
    size_hw: tuple[int, int],
    label_map: np.ndarray | None = None,
    dense: np.ndarray | None = None,
) -> None:
    """Raises UnusablePhoto where the joints are of another frame, or of another picture.

    A label map, DensePose or a silhouette tells; without them, joints of a whole person that all
    lie in the photo's upper left quarter.
    """
    points = pose.keypoints[: Joint.R_EYE, :2]
    points = points[np.isfinite(points[:, 0])]
    region = _region(pose, label_map, dense)
    if region is None:
        ankles = np.isfinite(pose.keypoints[[Joint.R_ANKLE, Joint.L_ANKLE], 0]).all()
        corner = (points < QUARTER * np.array(size_hw[::-1])).all()
        fits = (size_hw[0] // 2, size_hw[1] // 2) if ankles and corner else None
    else:
        silhouette = Silhouette(region)
        fits = frame_that_fits(points, size_hw, silhouette)
        if fits is None and silhouette.share_on(points) < LEAST_ON_PERSON:
            raise UnusablePhoto(
                "elsewhere",
                name,
                "the joints lie beside the person",
                "joints of this very photo",
                "Run the pose program on this photo, or check which file belongs to it",
            )
    if fits is not None:
        frame = "shares of the photo" if fits == (1, 1) else f"a picture of {fits[1]} x {fits[0]}"
        raise UnusablePhoto(
            "elsewhere",
            name,
            f"the joints fit {frame} (width x height)",
            f"pixels of the photo, {size_hw[1]} x {size_hw[0]}",
            "Run the pose program on this very photo",
        )


def _region(
    pose: Pose, label_map: np.ndarray | None, dense: np.ndarray | None
) -> np.ndarray | None:
    """(H, W) bool: where the person is, from whatever tells; None where nothing does."""
    silhouette = None if pose.silhouette is None else pose.silhouette > 127
    for found in (label_map, dense, silhouette):
        if found is not None and (found > 0).any():
            return found > 0
    return None


def person_box(
    pose: Pose, label_map: np.ndarray | None = None
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the person in the photo, from a map or silhouette, else from the
    joints."""
    region = label_map if label_map is not None else pose.silhouette
    points = pose.keypoints[np.isfinite(pose.keypoints[:, 0]), :2]
    joints = (*points.min(0), *points.max(0))
    if region is not None:
        solid = (region > 127) if label_map is None else (region > 0)
        x, y, width, height = cv2.boundingRect(solid.astype(np.uint8))
        if width and height:
            return (
                min(x, joints[0]),
                min(y, joints[1]),
                max(x + width, joints[2]),
                max(y + height, joints[3]),
            )
    reach = 0.22 * float(np.hypot(*(points.max(0) - points.min(0))))
    return (
        joints[0] - reach / 2,
        joints[1] - reach / 1.5,
        joints[2] + reach / 2,
        joints[3] + reach / 2,
    )


def annotate(
    photo: np.ndarray,
    pose: Pose,
    category: Category,
    *,
    name: str = "photo",
    label_map: np.ndarray | None = None,
    dense: np.ndarray | None = None,
    parser: Finder | None = None,
    dense_finder: Finder | None = None,
    whole: bool = False,
    several: bool = False,
    size_hw: tuple[int, int] = SIZE_HW,
    sources: dict[str, str] | None = None,
    person_id: str = "",
) -> Person:
    """Frames a photo and gives it all annotations, the best that there are.

    Args:
        photo: (H, W, 3) uint8 RGB.
        pose: of the photo, in its pixels.
        category: what the person is to be dressed with.
        name: what errors call the photo.
        label_map, dense: (H, W) uint8 of the photo, where another program has made them.
        parser, dense_finder: models that make them from the framed picture.
        whole: keep the whole photo and pad it, instead of framing the person.
        several: take the most prominent of several people.
        sources: what annotations come from, where the caller knows better.
        person_id: of the person.

    Returns:
        The person at ``size_hw``, with photo, keypoints, label map and DensePose, what each comes
        from, and notes on what limits the result.

    Raises:
        UnusablePhoto: nobody, more than one person, too small, or too little of the person.
    """
    check_pose(pose, name, category, several)
    check_place(pose, name, photo.shape[:2], label_map, dense)
    frame = (
        whole_frame(photo.shape[:2])
        if whole
        else person_frame(photo.shape[:2], _inside(photo, person_box(pose, label_map)))
    )
    image, keypoints = frame.cut_image(photo, size_hw), frame.move_points(pose.keypoints, size_hw)
    if np.isnan(keypoints[list(TRUNK), 0]).any():
        raise UnusablePhoto(
            "incomplete", name, "the shoulders are not in the photo", "both of them", "Take another"
        )
    silhouette = None if pose.silhouette is None else frame.cut_map(pose.silhouette, size_hw) > 127
    labels = (
        frame.cut_map(label_map, size_hw)
        if label_map is not None
        else parser(image)
        if parser
        else None
    )
    parts = (
        frame.cut_map(dense, size_hw)
        if dense is not None
        else dense_finder(image)
        if dense_finder
        else None
    )
    origin = {
        "keypoints": pose.source,
        "label_map": "import" if label_map is not None else "model",
        "dense": "import" if dense is not None else "model",
    } | (sources or {})
    notes = list(pose.notes)
    if labels is not None and not labels.any():
        notes.append("the parser saw nobody: its map was not used")
        labels = None
    if parts is not None and not parts.any():
        notes.append("DensePose saw nobody: its parts were not used")
        parts = None
    if labels is None:
        guessed = guess_parts(keypoints, size_hw, silhouette)
        labels, origin["label_map"] = guess_labels(image, keypoints, guessed, category), GUESSED
        notes.append(NOTE)
        if parts is None:
            parts, origin["dense"] = guessed, GUESSED
    elif parts is None:
        # A parser's map alone hides no hand; guessed parts beside it hid a third to a half of them.
        origin["dense"] = "none"
    return Person(
        Identity(category, "", person_id, ""),
        photo=image,
        keypoints=keypoints,
        label_map=labels,
        dense_i=parts,
        sources=origin,
        notes=notes + _limits(keypoints, category),
    )


def _inside(photo: np.ndarray, box) -> tuple[float, float, float, float]:
    height, width = photo.shape[:2]
    return max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])


def _limits(keypoints: np.ndarray, category: Category) -> list[str]:
    """Sentences about what the joints tell of the photo."""
    seen = np.isfinite(keypoints[:, 0])
    body = find_body(keypoints[:, :2].astype(np.float64), SIZE_HW)
    notes = []
    if body is not None and keypoints[Joint.R_SHOULDER, 0] > keypoints[Joint.L_SHOULDER, 0]:
        notes.append("the person seems to be seen from behind: garments are shown from the front")
    if category is not Category.UPPER_BODY and not (seen[Joint.R_KNEE] and seen[Joint.L_KNEE]):
        notes.append("knees are missing: the legs are guessed")
    return notes


__all__ = ["Frame", "UnusablePhoto", "annotate", "check_pose", "person_box"]
