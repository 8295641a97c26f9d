"""What is to be tried on: a person and the garments to put on, by id or as picture files."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.tryon.worn import worn_garment
from pipeline.annotate.photos import fit_garment, read_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.identity import Identity
from pipeline.people.source import People, parse_name

WORN = "worn:"
"""Before the name of a person whose own garment is meant, as the photo shows it."""
CATEGORY_WORDS = {str(c): c for c in Category} | {str(c.index): c for c in Category}


@dataclass(frozen=True)
class Piece:
    """One garment to put on: an id, a picture file, or what a person wears (``worn:`` and a name),
    and its category (None: the folder that holds the id)."""

    garment: str
    category: Category | None = None


@dataclass(frozen=True)
class Order:
    """One person and what to wear, put on one after the other."""

    person: str
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, who: Identity) -> Order:
        """The pair of a list: this person in that garment."""
        garment = Piece(f"{who.category}/{who.garment_id}", who.category)
        return cls(who.key, (garment,))

    @property
    def name(self) -> str:
        """A file name without suffix."""
        words = [self.person, *(p.garment for p in self.pieces)]
        return "_".join(
            re.sub(r"[^\w-]+", "-", Path(w).stem if "." in w else w).strip("-") for w in words
        )

    @property
    def paired(self) -> bool:
        """Whether the person puts on what the photo shows: one garment, of the person's own id."""
        person, garment = parse_name(self.person), parse_name(self.pieces[0].garment)
        return (
            len(self.pieces) == 1
            and person is not None
            and garment is not None
            and person[1] == garment[1]
        )


def resolve(people: People, order: Order) -> Order:
    """The order with every category known.

    Raises:
        DataError: a picture file without a category, or an id with the category of another folder.
    """
    pieces = []
    for piece in order.pieces:
        category = piece.category
        if piece.garment.startswith(WORN):
            wearer = piece.garment.removeprefix(WORN)
            if not wearer:
                raise DataError(piece.garment, "names nobody", f"{WORN}000123, or another id")
            category = category or people.locate("person", wearer)[0]
        elif category is None:
            if people.parse(piece.garment) is None and not Path(piece.garment).is_file():
                raise DataError(
                    piece.garment,
                    "no garment's id, nor a file",
                    "an id such as 000123 or dresses/000123, or a picture",
                    "A category is " + ", ".join(Category) + ", or 0, 1, 2",
                )
            if is_picture_file(people, piece.garment):
                raise DataError(
                    piece.garment,
                    "a garment picture whose category is not known",
                    "",
                    "Say with --category upper_body, lower_body or dresses what it is",
                )
            category = people.locate("garment", piece.garment)[0]
        elif not is_picture_file(people, piece.garment):
            lies = people.locate("garment", piece.garment, category)[0]
            if lies != category:
                raise DataError(
                    piece.garment,
                    f"a garment of {lies}",
                    f"one of {category}",
                    "Leave the category out, or name another garment",
                )
        pieces.append(replace(piece, category=category))
    return replace(order, pieces=tuple(pieces))


def garment_picture(people: People, piece: Piece, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a piece at ``size_hw``: of an id, of any picture file, or cut out of
    the photo of whoever wears it. Raises DataError."""
    if piece.garment.startswith(WORN):
        assert piece.category is not None  # ``resolve`` has looked
        wearer = people.person(piece.garment.removeprefix(WORN), piece.category)
        return worn_garment(wearer, piece.category, size_hw)
    if is_picture_file(people, piece.garment):
        return read_garment(piece.garment, size_hw)
    return fit_garment(people.garment(piece.garment, hint=piece.category), size_hw)


def is_picture_file(people: People, name: str) -> bool:
    """Whether a name means a file from elsewhere, rather than somebody's garment here."""
    known = people.parse(name)
    return known is None or (parse_name(name) is not None and Path(name).is_file())


def read_orders(path: Path, category: Category | None = None) -> list[Order]:
    """Orders of a list: on each line a person, then garments, each followed by its category where
    that is not clear.

    Names are ids (``000123``, ``dresses/000123``), Dress Code's file names, or picture files of
    garments. A category is its name or 0, 1, 2, so Dress Code's pair lists and its list of triplets
    can be used as they are. ``#`` starts a comment.

    Args:
        category: of garments that come without one.

    Raises:
        DataError: no such file, nothing in it, or a line without a garment.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            path,
            f"cannot be read as a list ({getattr(error, 'strerror', None) or 'not UTF-8 text'})",
            "a person and garments on each line",
        ) from None
    orders = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        pieces: list[Piece] = []
        for word in words[1:]:
            if word in CATEGORY_WORDS and pieces:
                pieces[-1] = Piece(pieces[-1].garment, CATEGORY_WORDS[word])
            else:
                pieces.append(Piece(word, category))
        if not pieces:
            raise DataError(
                f"{path}, line {number}", "no garment", "a person, then one or more garments"
            )
        orders.append(Order(words[0], tuple(pieces)))
    if not orders:
        raise DataError(path, "an empty list", "a person and garments on each line")
    return orders
