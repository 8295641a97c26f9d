"""What a source of people can do, whichever folder it reads."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import WHOLE
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person

NAME = re.compile(r"(?:(?P<category>[a-z_]+)/)?(?P<id>\d+)(?:_[01])?(?:\.jpg)?")
PERSON, GARMENT = "person", "garment"


class People(ABC):
    """People in a fixed order: ``len(people)``, ``people[i]``, ``for person in people``.

    Attributes:
        stored_styles: styles of masks that come with the people; none where they are drawn.
    """

    @property
    @abstractmethod
    def stored_styles(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]:
        """Size at which people are read; the dataset's own where each photo keeps its size."""

    @property
    def frame(self) -> str:
        """Of ``names.FRAMES``: whole photos, or the parts around the garments."""
        return WHOLE

    @property
    @abstractmethod
    def names(self) -> list[Identity]:
        """Who is here, in order, without reading their pictures."""

    @abstractmethod
    def part(self, rows: Sequence[int]) -> People:
        """Only these people: what is sent to a worker process."""

    @abstractmethod
    def __getitem__(self, i: int) -> Person:
        """Person ``i`` with photo and garment. Raises DataError where a file is missing or bad."""

    @abstractmethod
    def load(self, i: int, pictures: bool = False) -> Person:
        """Person ``i`` as far as it can be read: the rest is told in its ``problems``.

        The garment's picture only with ``pictures``, though its absence is told in any case. The
        photo is always there, because masks look at it, though without ``pictures`` it may be
        decoded more quickly.
        """

    @abstractmethod
    def parse(self, name: str) -> tuple[Category | None, str] | None:
        """(category or None, id) that a name means here, whether or not it is here; else None."""

    @abstractmethod
    def locate(self, kind: str, name: str, hint: Category | None = None) -> tuple[Category, str]:
        """(category, id) of a "person" or "garment" called ``name``.

        Args:
            name: ``000123``, ``dresses/000123``, or a file's name.
            hint: the category to look into first where the name has none.

        Raises:
            DataError: no such name here.
        """

    @abstractmethod
    def origins(self, name: str, hint: Category | None = None) -> dict[str, str]:
        """Annotation -> what it comes from, of the person called ``name``; nothing of a dataset's
        own ones. ``dataset.person.GUESSED`` is a map that no program has seen in the photo. Raises
        DataError."""

    @abstractmethod
    def person(self, name: str, hint: Category | None = None) -> Person:
        """The person called ``name`` (see ``locate``), without a garment, as large as it is stored.
        Raises DataError."""

    @abstractmethod
    def garment(
        self, name: str, size_hw: tuple[int, int] | None = None, hint: Category | None = None
    ) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the in-shop picture of that name (see ``locate``). Raises
        DataError."""

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Person]:
        return (self[i] for i in range(len(self)))


def check_kind(kind: str, name: str) -> None:
    """DataError where a file's name says that it is the other picture of its id: ``000123_0.jpg``
    is a person's photo, ``000123_1.jpg`` a garment's picture."""
    ending = Path(name).stem[-2:]
    if kind == PERSON and ending == "_1":
        remedy = "A person is called by id, or by the photo, which ends in _0.jpg"
        raise DataError(name, "is a garment's picture", "a person's photo", remedy)
    if kind == GARMENT and ending == "_0":
        number = Path(name).stem[:-2]
        remedy = f"A garment's ends in _1.jpg; what the person wears is worn:{number}"
        raise DataError(name, "is a person's photo", "a garment's picture", remedy)


def parse_name(text: str) -> tuple[Category | None, str] | None:
    """(category or None, id) of ``000123``, ``dresses/000123`` or ``000123_0.jpg``; None for
    anything else."""
    match = NAME.fullmatch(text)
    if not match or (match["category"] and match["category"] not in set(map(str, Category))):
        return None
    return (Category(match["category"]) if match["category"] else None), match["id"]
