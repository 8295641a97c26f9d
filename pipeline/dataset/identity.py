"""Who is meant: a category, a split, a person and a garment."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.base.labels import Category


@dataclass(frozen=True, slots=True)
class Identity:
    """Names of one person with one garment.

    Attributes:
        category: of the garment.
        split: ``train``, ``test_paired`` or ``test_unpaired``; empty where no list says.
        person_id, garment_id: such as ``000123``; they differ in unpaired lists.
    """

    category: Category
    split: str
    person_id: str
    garment_id: str

    @property
    def key(self) -> str:
        """Such as ``dresses/020714``."""
        return f"{self.category}/{self.person_id}"

    @property
    def name(self) -> str:
        """A file name for the pair, without suffix."""
        return f"{self.category}-{self.person_id}-{self.garment_id}"

    @property
    def paired(self) -> bool:
        """Whether the garment is the one that the person wears in the photo."""
        return self.person_id == self.garment_id

    @property
    def identity(self) -> Identity:
        """The names alone, of this and of whatever carries them."""
        return Identity(self.category, self.split, self.person_id, self.garment_id)
