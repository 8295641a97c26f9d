"""Kinds of defects that a dataset can have, and what a list of them looks like."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipeline.base.errors import DataError


class Severity(StrEnum):
    """``error``: the person cannot be used as it is. ``warning``: usable, worth knowing. ``note``:
    for information."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True)
class Kind:
    """A row of the table of defects; ``leave_out``: its people belong in the list of exclusions."""

    severity: Severity
    leave_out: bool
    what: str


ERROR, WARNING, NOTE = Severity
KINDS: dict[str, Kind] = {
    "missing_file": Kind(ERROR, True, "a photo, a garment, keypoints, or both maps are missing"),
    "misnamed": Kind(ERROR, True, "a photo or garment that lies there under another ending"),
    "photo_turned": Kind(
        ERROR, True, "a photo with an orientation tag: annotations lie upright, its pixels do not"
    ),
    "unreadable": Kind(ERROR, True, "a file is truncated, corrupted or no such file at all"),
    "wrong_mode": Kind(
        ERROR, True, "a picture of another mode, such as colours instead of class numbers"
    ),
    "wrong_size": Kind(ERROR, True, "a picture of another shape than the dataset's"),
    "wrong_shape": Kind(ERROR, True, "an array or a list of another form, such as 17 joints"),
    "wrong_values": Kind(ERROR, True, "values outside of their range"),
    "blank_picture": Kind(ERROR, True, "a photo of one colour"),
    "keypoints_frame": Kind(ERROR, True, "keypoints in another frame than 384 x 512"),
    "keypoints_empty": Kind(ERROR, True, "keypoints without a position"),
    "keypoints_off_person": Kind(ERROR, True, "most joints lie beside the person"),
    "map_empty": Kind(ERROR, True, "a label map or DensePose that holds background only"),
    "dense_other_person": Kind(
        ERROR, True, "DensePose does not fit the label map: another person's"
    ),
    "list_unreadable": Kind(ERROR, False, "a pair list that is empty or cannot be understood"),
    "map_other_classes": Kind(ERROR, True, "a label map in another set of classes than ATR"),
    "map_interpolated": Kind(
        ERROR, True, "a label map that was resized with interpolation: seams of foreign classes"
    ),
    "garment_missing": Kind(
        ERROR, True, "the label map holds (almost) nothing of the category's garment"
    ),
    "garment_mislabelled": Kind(
        ERROR, True, "much of the garment bears the class of other clothes"
    ),
    "duplicate_across_splits": Kind(WARNING, True, "the same person or photo in train and in test"),
    "in_train_and_test": Kind(WARNING, False, "a person in the lists of train and of test"),
    "duplicate_person": Kind(
        WARNING, False, "the same keypoints, or nearly the same photo, twice in a split"
    ),
    "missing_map": Kind(WARNING, False, "one of label map and DensePose is missing"),
    "joints_outside": Kind(WARNING, False, "joints that lie beside the person"),
    "joints_missing": Kind(WARNING, False, "joints of the body that were not found"),
    "few_joints": Kind(WARNING, False, "fewer than 10 of 18 joints"),
    "silhouette_odd": Kind(
        WARNING, False, "a person that fills hardly anything, or nearly all, of the picture"
    ),
    "uv_differs": Kind(WARNING, False, "surface coordinates that do not cover the DensePose parts"),
    "other_size": Kind(WARNING, False, "a picture of another size than the others"),
    "unpaired_is_paired": Kind(WARNING, False, "an unpaired row that names the garment worn"),
    "paired_is_unpaired": Kind(WARNING, False, "a paired row that names another garment"),
    "row_repeated": Kind(WARNING, False, "a row that occurs twice in a list"),
    "id_unexpected": Kind(WARNING, False, "an id that belongs to another category or split"),
    "in_no_list": Kind(WARNING, False, "a person's files that no list mentions"),
    "stray_file": Kind(WARNING, False, "a file that is none of the dataset's"),
    "turned": Kind(NOTE, False, "shoulders the other way round: turned, or seen from behind"),
    "missing_extra": Kind(
        NOTE, False, "surface coordinates or skeleton missing; nothing needs them"
    ),
    "modality_absent": Kind(NOTE, False, "a modality that the whole folder lacks"),
    "outside_slice": Kind(NOTE, False, "people of the lists who are not in this copy"),
    "list_absent": Kind(NOTE, False, "a pair list that is not there"),
    "part_of_dataset": Kind(NOTE, False, "a list shorter than the whole dataset's"),
}

READ_KINDS = {
    "missing": "missing_file",
    "unreadable": "unreadable",
    "mode": "wrong_mode",
    "size": "wrong_size",
    "shape": "wrong_shape",
    "values": "wrong_values",
    "frame": "keypoints_frame",
    "turned": "photo_turned",
}
"""Kinds of ``files.ReadError`` -> kinds of defects."""


@dataclass(frozen=True)
class Defect:
    """One finding.

    Attributes:
        kind: a key of ``KINDS``.
        key: ``category/person``, ``category`` or empty for the dataset.
        path: the file, relative to the root; empty where it is about several.
        detail: the finding in words.
        known: whether the manifest knows of it.
    """

    kind: str
    key: str
    path: str
    detail: str
    known: bool = False

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind].severity

    @property
    def sort_key(self) -> tuple[Any, ...]:
        return list(KINDS).index(self.kind), self.key, self.path, self.detail


def from_error(error: DataError, key: str, path: str) -> Defect:
    """The defect that a reader's error tells of."""
    detail = error.found + (f", expected {error.expected}" if error.expected else "")
    return Defect(READ_KINDS[getattr(error, "kind", "unreadable")], key, path, detail)


@dataclass(frozen=True)
class CheckResult:
    """Every defect of a dataset, sorted by kind and person, and what was looked at.

    Attributes:
        people: in the lists. usable: of them, in this copy and without an error.
        garment_wearers: ``category/garment`` -> people whose rows use that garment.
    """

    root: str
    people: int
    usable: int
    files: int
    defects: tuple[Defect, ...]
    garment_wearers: dict[str, tuple[str, ...]]

    @property
    def errors(self) -> int:
        return sum(d.severity is ERROR for d in self.defects)

    def counts(self) -> dict[str, int]:
        """Kind -> number of findings, in the order of ``KINDS``; kinds without a finding are left
        out."""
        counts = Counter(d.kind for d in self.defects)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    def to_json(self) -> dict[str, Any]:
        """Plain containers: everything found, for programs."""
        return {
            "format": 1,
            "root": self.root,
            "people": self.people,
            "usable": self.usable,
            "files": self.files,
            "errors": self.errors,
            "counts": self.counts(),
            "left_out": sorted(self.left_out()),
            "defects": [{"severity": d.severity.value, **asdict(d)} for d in self.defects],
        }

    def left_out(self) -> dict[str, str]:
        """``category/person`` -> why that person should be left out."""
        reasons: dict[str, str] = {}
        for defect in self.defects:
            if not KINDS[defect.kind].leave_out or "/" not in defect.key:
                continue
            people: tuple[str, ...] = (defect.key,)
            if defect.path.endswith("_1.jpg"):  # a garment: everyone who is to be dressed in it
                people = self.garment_wearers.get(defect.key, people)
            for key in people:
                reasons.setdefault(key, f"{defect.kind}: {defect.detail}")
        return reasons
