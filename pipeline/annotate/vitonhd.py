"""VITON-HD folders -> Dress Code's layout, as upper_body.

What there is: ``image/``, ``cloth/``, ``image-parse-v3/`` (or ``image-parse``),
``openpose_json/`` and ``image-densepose/`` below ``train/`` and ``test/``, and ``train_pairs.txt``,
``test_pairs.txt``. Keypoints are BODY_25, label maps of the CIHP kind; its pictures of DensePose
are drawings in PARULA's colours, which are part numbers after all (``dense_pictures``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.annotate.dense_pictures import read_dense_picture
from pipeline.annotate.folder import DatasetFolder
from pipeline.annotate.parses import read_parse
from pipeline.annotate.person import check_place
from pipeline.annotate.poses import read_pose
from pipeline.base.errors import DataError
from pipeline.base.files import ReadError, picture_header, read_bytes
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.dataset.readers import check_aspect, read_image

SPLITS = {"train": "train", "test": "test_unpaired"}
"""VITON-HD's part -> the list that its pairs become. Its training pairs are of a person and her own
garment."""
PARSE_FOLDERS = ("image-parse-v3", "image-parse")
REMEDY = "Unpack VITON-HD so that train/ and test/ lie beside their pair lists"


@dataclass
class Converted:
    """What became of the people.

    Attributes:
        people: written.
        absent: rows of the lists whose photo is not in this copy.
        skipped: why people were left out.
    """

    people: int = 0
    absent: int = 0
    skipped: list[DataError] = field(default_factory=list)


def is_vitonhd(root: Path) -> bool:
    """Whether a folder looks like VITON-HD."""
    return any((Path(root) / part / "cloth").is_dir() for part in SPLITS)


def convert(
    root: Path,
    out: Path,
    *,
    limit: int | None = None,
    max_skips: int = 0,
    advance: Callable[[int], None] = lambda n: None,
) -> Converted:
    """Writes ``out`` and tells what became of everybody. Rows of the lists whose person is not in
    this copy are passed over.

    Args:
        limit: at most so many people of each part.
        max_skips: broken people to tolerate; the next one ends the run.
        advance: called with 1 for each person looked at.

    Raises:
        DataError: no VITON-HD folder, or more broken people than allowed.
    """
    root, done = Path(root), Converted()
    if not is_vitonhd(root):
        raise DataError(root, "no VITON-HD folder", "train/cloth or test/cloth in it", REMEDY)
    with DatasetFolder(out) as folder:
        for part, split in SPLITS.items():
            rows = _convert_part(folder, root, part, limit, max_skips, advance, done)
            if rows:
                folder.write_list(Category.UPPER_BODY, split, rows)
            if rows and part == "test":
                folder.write_list(Category.UPPER_BODY, "test_paired", [(p, p) for p in dict(rows)])
        if not done.people:
            raise DataError(
                root, "no person that can be converted", "train_pairs.txt or test_pairs.txt", REMEDY
            )
    return done


def _convert_part(
    folder: DatasetFolder,
    root: Path,
    part: str,
    limit: int | None,
    max_skips: int,
    advance: Callable[[int], None],
    done: Converted,
) -> list[tuple[str, str]]:
    """Rows of train/ or test/ that could be converted."""
    people: set[str] = set()
    garments: set[str] = set()
    rows = []
    for person, garment in list(_pairs(root, part))[:limit]:
        advance(1)
        if not (root / part / "image" / person).is_file():
            done.absent += 1  # a slice: its lists name everybody
            continue
        try:
            if person not in people:
                dense = _write_person(folder, root / part, person)
            for name in {person, garment} - garments:
                picture = _picture(root / part / "cloth" / name)
                folder.write_garment(Category.UPPER_BODY, _id(name), picture)
                garments.add(name)
        except DataError as error:
            done.skipped.append(error)
            if len(done.skipped) > max_skips:
                raise _too_many(error, len(done.skipped)) from None
            continue
        people.add(person)
        rows.append((_id(person), _id(garment)))
        folder.record[f"{Category.UPPER_BODY}/{_id(person)}"] = {
            "file": f"{part}/image/{person}",
            "sources": {
                "keypoints": "VITON-HD, BODY_25",
                "label_map": "VITON-HD, CIHP",
                "dense": "VITON-HD, drawing" if dense else "none",
            },
        }
    done.people += len(people)
    return rows


def _too_many(error: DataError, count: int) -> DataError:
    remedy = f"{error.remedy}. {count} broken people; --max-skips tolerates some".lstrip(". ")
    return DataError(error.path, error.found, error.expected, remedy)


def count(root: Path, limit: int | None = None) -> int:
    """How many rows ``convert`` looks at."""
    return sum(len(list(_pairs(Path(root), part))[:limit]) for part in SPLITS)


def _pairs(root: Path, part: str) -> Iterator[tuple[str, str]]:
    path = root / f"{part}_pairs.txt"
    if not (root / part).is_dir() or not path.is_file():
        return
    for number, line in enumerate(read_bytes(path).decode("utf-8-sig", "replace").splitlines(), 1):
        words = line.split()
        if words and (len(words) != 2 or not all(_is_name(w) for w in words)):
            raise DataError(
                f"{path}:{number}",
                f"{line.strip()[:60]!r}",
                "a person's and a garment's file",
                REMEDY,
            )
        if words:
            yield (words[0], words[0]) if part == "train" else (words[0], words[1])


def _is_name(word: str) -> bool:
    stem, dot, ending = word.partition(".")
    return ending.lower() == "jpg" and stem.replace("_", "").isdigit() and stem.isascii()


def _id(name: str) -> str:
    """``00891_00.jpg`` -> ``000891``; another view of the same number keeps its digits:
    ``00891_01`` -> ``89101``."""
    number, _, view = name.removesuffix(".jpg").partition("_")
    return (
        f"{int(number):06d}"
        if not view.strip("0_")
        else f"{int(number + view.replace('_', '')):09d}"
    )


def _picture(path: Path) -> bytes:
    """The JPEG file's bytes, kept as they are where size and kind are the dataset's."""
    data = read_bytes(path)
    hw, kind, mode = picture_header(path, data, ("JPEG",))
    check_aspect(path, hw)
    if mode != "RGB":
        raise ReadError("mode", path, f"a JPEG of mode {mode}", "RGB", "Convert it")
    return data


def _write_person(folder: DatasetFolder, base: Path, name: str) -> bool:
    """Writes one person; whether there are DensePose parts."""
    photo = base / "image" / name
    size_hw = load_manifest().image_hw
    data, stem = _picture(photo), Path(name).stem
    stored_hw = read_image(photo).shape[:2]  # decodes it: a broken photo is noticed here
    pose = read_pose(base / "openpose_json" / f"{stem}_keypoints.json", stored_hw)
    if pose.people == 0:
        raise DataError(photo, "OpenPose found nobody", "one person", "Leave it out")
    parse = next(
        (base / f / f"{stem}.png" for f in PARSE_FOLDERS if (base / f / f"{stem}.png").is_file()),
        base / PARSE_FOLDERS[0] / f"{stem}.png",
    )
    labels = read_parse(parse, stored_hw, "cihp", pose.keypoints)
    keypoints = pose.keypoints * np.array(
        [size_hw[1] / stored_hw[1], size_hw[0] / stored_hw[0], 1], np.float32
    )
    drawing = base / "image-densepose" / name
    dense = read_dense_picture(drawing, stored_hw) if drawing.is_file() else None
    check_place(pose, str(photo), stored_hw, labels, dense)
    who = Identity(Category.UPPER_BODY, "", _id(name), _id(name))
    person = Person(who, keypoints=keypoints, label_map=labels, dense_i=dense)
    folder.write_person(person, photo=data)
    return dense is not None
