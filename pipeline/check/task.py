"""One id to look at, and how a finding about one of its files is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.check.defects import Defect


@dataclass(frozen=True)
class PersonTask:
    """One id of one category, with the files that are there; plain data for a worker process."""

    root: Path
    category: Category
    person_id: str
    modalities: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.category}/{self.person_id}"

    def path(self, modality: str) -> Path:
        return load_manifest().path(self.root, modality, self.category, self.person_id)


def relative(task: PersonTask, modality: str) -> str:
    return load_manifest().layout[modality].format(category=task.category.value, id=task.person_id)


def defect(task: PersonTask, kind: str, modality: str, detail: str) -> Defect:
    return Defect(kind, task.key, relative(task, modality), detail)
