"""Masks of a person: those that are stored with the person, and the others drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.person import Person, require_map
from pipeline.masks.render import render_agnostic_masks
from pipeline.masks.styles import PEER_STYLES


def person_masks(
    person: Person, styles: Sequence[str] = ("standard",), category: Category | None = None
) -> dict[str, np.ndarray]:
    """Style -> (H, W) bool, True = hidden, in the order of ``styles``.

    Args:
        category: of the garment to be put on; by default the person's own. Stored masks are of the
            person's own category and are taken for no other.

    Raises:
        DataError: a mask has to be drawn, and keypoints or both maps are missing; or there is only
            a part of the person, and the style's rules look at the whole.
    """
    category = category or person.category
    stored = person.masks if category == person.category else {}
    drawn: dict[str, np.ndarray] = {}
    if lacking := [style for style in styles if style not in stored]:
        if person.keypoints is None:
            raise DataError(person.who.key, "no keypoints", "a mask's sources")
        cut_off = person.crop is not None and not person.crop.is_whole
        if cut_off and (own := [s for s in lacking if s not in PEER_STYLES]):
            raise DataError(
                person.who.key,
                f"a part of the photo, without a stored mask of style {', '.join(own)}",
                "the whole person, to draw it",
                "Preprocess again with --mask-style " + " --mask-style ".join(own),
            )
        require_map(person.label_map, person.dense_i, person.who.key)
        sources = person.keypoints, person.dense_i, person.label_map
        drawn = render_agnostic_masks(category, *sources, lacking, person.photo)
    return {style: stored[style] if style in stored else drawn[style] for style in styles}
