"""Folders of photos and garments -> a dataset in Dress Code's layout, photo by photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.annotate.dense_pictures import find_dense_picture, read_dense_picture
from pipeline.annotate.densepose import load_dump, parts_from_dump
from pipeline.annotate.folder import FIRST_ID, DatasetFolder
from pipeline.annotate.keypoints import Pose
from pipeline.annotate.parses import partner, read_parse
from pipeline.annotate.person import SIZE_HW, Finder, annotate
from pipeline.annotate.photos import read_garment, read_photo
from pipeline.annotate.poses import read_pose
from pipeline.base.errors import DataError
from pipeline.base.labels import Category


@dataclass(frozen=True)
class Sources:
    """Where annotations come from; what is None is guessed.

    Attributes:
        find_pose: finds joints in a photo; or
        openpose: folder of pose files of any kind that ``poses`` reads.
        parses: folder of a parser's PNGs, with classes of ``parse_classes``; or
        parser: a model.
        dense: folder of DensePose pictures, or a ``.pkl`` dump; or
        dense_finder: a model.
    """

    find_pose: Callable[[np.ndarray], Pose] | None = None
    openpose: Path | None = None
    parses: Path | None = None
    parse_classes: str = "atr"
    parser: Finder | None = None
    dense: Path | None = None
    dense_finder: Finder | None = None


@dataclass
class Outcome:
    """What became of the photos.

    Attributes:
        people: file -> id. garments: the same.
        notes: file -> sentences about limits.
        left_out: file -> why.
    """

    people: dict[str, str] = field(default_factory=dict)
    garments: dict[str, str] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def annotate_folder(
    photos: Sequence[Path],
    garments: Sequence[Path],
    out: Path,
    category: Category,
    sources: Sources,
    *,
    whole: bool = False,
    several: bool = False,
    first_id: int = FIRST_ID,
    advance: Callable[[int], None] = lambda n: None,
) -> Outcome:
    """Writes ``out`` with every usable person and garment, and a list of everybody with everything.

    Args:
        whole: pad photos instead of framing the person.
        several: take the most prominent of several people.
        first_id: number of the first person; garments follow.

    Raises:
        DataError: nobody or no garment is left, or ``out`` cannot be written.
    """
    outcome = Outcome()
    dump = (
        load_dump(sources.dense) if sources.dense is not None and sources.dense.is_file() else None
    )
    with DatasetFolder(out) as folder:
        numbers = iter(range(first_id, first_id + len(photos) + len(garments)))
        for photo in photos:
            _one_person(
                folder,
                outcome,
                photo,
                f"{next(numbers):06d}",
                category,
                sources,
                dump,
                whole,
                several,
            )
            advance(1)
        for path in garments:
            identity = f"{next(numbers):06d}"
            try:
                folder.write_garment(category, identity, read_garment(path, SIZE_HW))
                outcome.garments[str(path)] = identity
                folder.record[f"{category}/{identity}"] = {"file": path.name, "kind": "garment"}
            except DataError as error:
                outcome.left_out[str(path)] = str(error)
            advance(1)
        for kind, found in (("person", outcome.people), ("garment", outcome.garments)):
            if not found:
                reasons = "; ".join(list(outcome.left_out.values())[:3])
                raise DataError(
                    out, f"no usable {kind}" + (f" ({reasons})" if reasons else ""), "at least one"
                )
        folder.write_list(
            category,
            "test_unpaired",
            [
                (person, garment)
                for person in outcome.people.values()
                for garment in outcome.garments.values()
            ],
        )
    return outcome


def _one_person(
    folder,
    outcome: Outcome,
    path: Path,
    identity: str,
    category: Category,
    sources: Sources,
    dump,
    whole: bool,
    several: bool,
) -> None:
    try:
        photo = read_photo(path)
        size_hw = photo.shape[:2]
        if sources.openpose is not None:
            file = partner(sources.openpose, path, ("_keypoints.json", ".json"))
            pose = read_pose(file, size_hw)
            if sources.find_pose is not None and pose.people:
                pose = Pose(
                    pose.keypoints, sources.find_pose(photo).silhouette, pose.people, pose.source
                )
        else:
            assert sources.find_pose is not None  # the caller sees to one of them
            pose = sources.find_pose(photo)
        labels = None
        if sources.parses is not None:
            file = partner(sources.parses, path, (".png",))
            labels = read_parse(file, size_hw, sources.parse_classes, pose.keypoints)
        dense = None
        if dump is not None:
            dense = parts_from_dump(dump, path, size_hw, sources.dense or "", pose.keypoints)
        elif sources.dense is not None:
            dense = read_dense_picture(find_dense_picture(sources.dense, path), size_hw)
        person = annotate(
            photo,
            pose,
            category,
            name=path.name,
            label_map=labels,
            dense=dense,
            parser=sources.parser,
            dense_finder=sources.dense_finder,
            whole=whole,
            several=several,
            person_id=identity,
        )
    except DataError as error:
        outcome.left_out[str(path)] = str(error)
        return
    folder.write_person(person)
    outcome.people[str(path)] = identity
    outcome.notes[str(path)] = tuple(person.notes)
    folder.record[f"{category}/{identity}"] = {
        "file": path.name,
        "kind": "person",
        "sources": person.sources,
        "notes": person.notes,
    }
