"""Every defect of a dataset: lists against folders, every file, every person against the others."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.places import ORIGINS
from pipeline.check.defects import KINDS, CheckResult, Defect, Severity
from pipeline.check.duplicates import same_keypoints, similar_photos
from pipeline.check.person import Findings, PersonTask, inspect_people
from pipeline.dataset.index import PairRow, Tree, iter_pairs, present_categories

BATCH = 16
"""People a task: long enough to hide the cost of handing it over, short enough for a steady
progress bar."""
MAPS = ("label_map", "dense")
EXTRAS = ("dense_uv", "skeleton")


@dataclass
class Lists:
    """Rows of every list of one category, and what is wrong with the lists."""

    rows: dict[str, list[PairRow]] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)

    def people(self, side: str | None = None) -> set[str]:
        """Ids of the people in all lists, or in those of ``train`` or ``test``."""
        return {
            row.person_id
            for split, rows in self.rows.items()
            for row in rows
            if side is None or split.startswith(side)
        }

    def garments(self) -> set[str]:
        return {row.garment_id for rows in self.rows.values() for row in rows}


def check_dataset(
    root: Path,
    categories: Sequence[Category] = tuple(Category),
    splits: Sequence[str] | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Looks at everything that the lists mention and at everything else in the folders.

    Args:
        root: a dataset or a part of one.
        categories: which to look at; those that are not there are passed over as long as one is.
        splits: lists to look at; all by default. With a choice, files in no list are not reported.
        jobs: worker processes. The result does not depend on it.
        progress: called with (people finished, people in all).

    Raises:
        DataError: the folder is none of a dataset.
    """
    root, chosen = Path(root), tuple(splits or load_manifest().splits)
    categories = present_categories(root, categories, chosen[0])
    trees = {c: Tree(root, c) for c in categories}
    lists = {c: _read_lists(root, c, chosen) for c in categories}
    defects, tasks = [], []
    for category, tree in trees.items():
        defects += [*lists[category].defects, *_check_rows(root, category, lists[category])]
        defects += _check_folders(tree, lists[category], whole=splits is None)
        tasks += _tasks(tree, lists[category])
    if not any(found.rows for found in lists.values()):
        raise DataError(
            root,
            "no readable pair list",
            " or ".join(load_manifest().lists.values()),
            "Copy the lists from the dataset"
            + "".join(
                f"; {d.path}: {d.detail}" for d in defects[:3] if d.kind == "list_unreadable"
            ),
        )
    findings = sorted(_inspect(tasks, jobs, progress), key=lambda f: f.key)
    defects += [d for f in findings for d in f.defects]
    defects += [*_check_sizes(findings), *_check_duplicates(findings, lists)]
    wearers = defaultdict(set)
    for category, found in lists.items():
        for row in (row for rows in found.rows.values() for row in rows):
            wearers[f"{category}/{row.garment_id}"].add(f"{category}/{row.person_id}")
    people = {f"{c}/{person}" for c, found in lists.items() for person in found.people()}
    here = {
        f"{c}/{p}" for c, found in lists.items() for p in found.people() if trees[c].is_copied(p)
    }
    return CheckResult(
        str(root),
        len(people),
        len(here - _spoilt(defects, wearers)),
        sum(len(t.modalities) for t in tasks),
        tuple(sorted(set(defects), key=lambda d: d.sort_key)),
        {garment: tuple(sorted(people)) for garment, people in wearers.items()},
    )


def _spoilt(defects: list[Defect], wearers: dict[str, set[str]]) -> set[str]:
    """``category/person`` of everybody whom an error of their own, or of their garment, spoils."""
    spoilt: set[str] = set()
    for defect in defects:
        if defect.severity is Severity.ERROR and KINDS[defect.kind].leave_out:
            garment = defect.path.endswith("_1.jpg")
            spoilt |= wearers[defect.key] if garment else {defect.key}
    return spoilt


def _inspect(
    tasks: list[PersonTask], jobs: int, progress: Callable[[int, int], None] | None
) -> Iterator[Findings]:
    batches = [tasks[i : i + BATCH] for i in range(0, len(tasks), BATCH)]
    done = 0
    results = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(inspect_people)(b) for b in batches
    )
    try:
        for findings in results:
            done += len(findings)
            if progress:
                progress(done, len(tasks))
            yield from findings
    except BrokenProcessPool:
        raise DataError(
            "worker process",
            "ended by the system, probably for lack of memory",
            "it to finish",
            f"Run again with fewer --jobs than {jobs}",
        ) from None


def _read_lists(root: Path, category: Category, splits: Sequence[str]) -> Lists:
    """A category's own lists, or its rows of the root's."""
    found = Lists()
    for split in splits:
        name = load_manifest().lists[split]
        own = root / category.value / name
        path = own if own.is_file() else root / name
        where = path.relative_to(root).as_posix()
        if not path.is_file():
            found.defects.append(
                Defect("list_absent", str(category), own.relative_to(root).as_posix(), "not there")
            )
            continue
        try:
            rows = list(iter_pairs(path, category if path == own else None))
        except DataError as error:
            detail = f"{error.path.removeprefix(str(path)).removeprefix(':')} {error.found}".strip()
            found.defects.append(Defect("list_unreadable", str(category), where, detail))
            continue
        if not rows:
            found.defects.append(Defect("list_unreadable", str(category), where, "an empty list"))
        found.rows[split] = [row for row in rows if row.category is category]
    return found


def _check_rows(root: Path, category: Category, found: Lists) -> Iterator[Defect]:
    """Rows against each other and against the manifest's ids."""
    facts = load_manifest()
    known = {i.key for i in facts.known_issues if i.kind == "unpaired_is_paired"}
    annotated = (root / ORIGINS).is_file()  # photos from elsewhere have numbers of their own
    for split, rows in found.rows.items():
        path = rows[0].list_path.relative_to(root).as_posix() if rows else ""
        ids, seen = facts.ids(category, split), Counter((r.person_id, r.garment_id) for r in rows)
        for (person, garment), times in seen.items():
            key = f"{category}/{person}"
            if times > 1:
                yield Defect("row_repeated", key, path, f"{person} with {garment} {times} times")
            if split == "test_unpaired" and person == garment:
                yield Defect(
                    "unpaired_is_paired", key, path, f"{person} with its own garment", key in known
                )
            if split != "test_unpaired" and person != garment:
                yield Defect("paired_is_unpaired", key, path, f"{person} with {garment}")
            if int(person) not in ids and not annotated:
                yield Defect(
                    "id_unexpected",
                    key,
                    path,
                    f"{person} is not from {ids.first:06} to {ids.last:06}",
                )
        if 0 < len(seen) < ids.count:
            yield Defect(
                "part_of_dataset", str(category), path, f"{len(seen):,} of {ids.count:,} rows"
            )
    for person in sorted(found.people("train") & found.people("test")):
        yield Defect(
            "in_train_and_test", f"{category}/{person}", "", "in the lists of train and of test"
        )


def _check_folders(tree: Tree, found: Lists, whole: bool) -> Iterator[Defect]:
    """Files against lists: what is missing, and what no list mentions."""
    facts, category = load_manifest(), tree.category
    lacking = {m for m in (*MAPS, *EXTRAS) if not tree.has_modality(m)}
    for modality in sorted(lacking):
        yield Defect(
            "modality_absent", str(category), _folder(tree, modality), f"no {modality} of anyone"
        )
    people, garments = found.people(), found.garments()
    here = {p for p in people if tree.is_copied(p)}
    offered = {g for g in garments if g in here or tree.has("garment", g)}
    if away := len(people - here):
        told = f"{away:,} people of the lists are not in this copy"
        yield Defect("outside_slice", str(category), "", told)
    for person in sorted(here | offered):
        yield from _check_person(tree, person, person in here, person in offered, lacking)
    if not whole:
        return
    for person in sorted(set().union(*(tree.ids(m) for m in facts.layout)) - people - garments):
        having = ", ".join(m for m in facts.layout if tree.has(m, person))
        yield Defect("in_no_list", f"{category}/{person}", "", f"{having} in no list")
    yield from _stray_files(tree)


def _check_person(
    tree: Tree, person: str, worn: bool, offered: bool, lacking: set[str]
) -> Iterator[Defect]:
    """Missing files of one id: ``worn`` if it is a person of a list, ``offered`` if its garment
    is."""
    facts, key = load_manifest(), f"{tree.category}/{person}"

    def lost(kind: str, modality: str) -> Defect:
        name = _name(tree, modality, person)
        other = tree.misnamed(modality, person)
        if other is None:
            return Defect(kind, key, name, f"no {modality}")
        wanted = name.rsplit("/", 1)[1]
        return Defect("misnamed", key, name, f"it lies there as {other}: make it {wanted}, a JPEG")

    if offered and not tree.has("garment", person):
        yield lost("missing_file", "garment")
    if not worn:
        return
    for modality in facts.required:
        if modality != "garment" and not tree.has(modality, person):
            yield lost("missing_file", modality)
    maps = [m for m in MAPS if tree.has(m, person)]
    if not maps:
        yield Defect(
            "missing_file", key, _name(tree, "label_map", person), "neither label map nor DensePose"
        )
    for modality in (*MAPS, *EXTRAS):
        if maps and modality not in lacking and not tree.has(modality, person):
            yield lost("missing_map" if modality in MAPS else "missing_extra", modality)


def _stray_files(tree: Tree) -> Iterator[Defect]:
    facts = load_manifest()
    patterns = [
        re.escape(p.format(category=tree.category.value, id="@")).replace("@", r"\d+")
        for p in facts.layout.values()
    ]
    ours = re.compile("|".join(patterns))
    for folder, names in tree.names.items():
        for name in sorted(names):
            if not ours.fullmatch(f"{folder}/{name}") and not _is_misnamed(name):
                yield Defect(
                    "stray_file", str(tree.category), f"{folder}/{name}", "a name of no modality"
                )


def _is_misnamed(name: str) -> bool:
    """Whether a file is a photo or garment with another ending, which is told as such."""
    return re.fullmatch(r"\d+_[01]\.(?!jpg$)\w+", name) is not None


def _name(tree: Tree, modality: str, person: str) -> str:
    return load_manifest().layout[modality].format(category=tree.category.value, id=person)


def _folder(tree: Tree, modality: str) -> str:
    return _name(tree, modality, "").rsplit("/", 1)[0] + "/"


def _tasks(tree: Tree, found: Lists) -> list[PersonTask]:
    """Each id of the lists once, as person, garment or both, with the files that are there."""
    facts = load_manifest()
    people = {p for p in found.people() if tree.is_copied(p)}
    garments = found.garments()
    tasks = []
    for person in sorted(people | garments):
        wanted = [
            m for m in facts.layout if (person in garments if m == "garment" else person in people)
        ]
        there = tuple(m for m in wanted if tree.has(m, person))
        if there:
            tasks.append(PersonTask(tree.root, tree.category, person, there))
    return tasks


def _check_sizes(findings: list[Findings]) -> Iterator[Defect]:
    """Pictures of the right shape but of another size than most."""
    counts = Counter(size for f in findings for size in f.sizes.values())
    if not counts:
        return
    usual, expected = counts.most_common(1)[0][0], load_manifest().image_hw
    if usual != expected:
        yield Defect(
            "part_of_dataset",
            "",
            "",
            f"pictures of {usual[0]} x {usual[1]}, {expected[0]} x {expected[1]} in the dataset",
        )
    for found in findings:
        broken = {d.path for d in found.defects if d.kind == "wrong_size"}
        for modality, size in found.sizes.items():
            category, person = found.key.split("/")
            path = load_manifest().layout[modality].format(category=category, id=person)
            if size != usual and path not in broken:
                yield Defect(
                    "other_size",
                    found.key,
                    path,
                    f"{size[0]} x {size[1]}, most are {usual[0]} x {usual[1]}",
                )


def _check_duplicates(findings: list[Findings], lists: dict[Category, Lists]) -> Iterator[Defect]:
    """People who occur twice, over all categories: the worse kind where train and test share
    them."""
    train = {f"{c}/{person}" for c, found in lists.items() for person in found.people("train")}
    test = {f"{c}/{person}" for c, found in lists.items() for person in found.people("test")}
    known = {i.key for i in load_manifest().known_issues if i.kind == "duplicate_across_splits"}
    with_photo = [f for f in findings if f.thumb is not None]
    groups = [
        ("the same keypoints as", [findings[i].key for i in group])
        for group in same_keypoints([f.digest for f in findings])
    ]
    if with_photo:
        hashes = np.array([f.hash for f in with_photo], np.uint64)
        groups += [
            ("nearly the same photo as", [with_photo[i].key for i in group])
            for group in similar_photos(
                hashes, np.stack([f.thumb for f in with_photo if f.thumb is not None])
            )
        ]
    for words, keys in groups:
        crosses = any(k in train for k in keys) and any(k in test for k in keys)
        for key in keys:
            others = [k for k in keys if k != key]
            detail = f"{words} {', '.join(others[:3])}" + (
                f" and {len(others) - 3} more" if len(others) > 3 else ""
            )
            if not crosses:
                yield Defect("duplicate_person", key, "", detail)
            elif key in train:  # the test split stays as published; train gives way
                yield Defect("duplicate_across_splits", key, "", detail, bool(known & set(keys)))
