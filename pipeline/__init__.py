"""Dress Code to HDF5: reading, masks, shards. Never imports torch.

What a notebook needs is importable from here and stays stable; a name is loaded when it is asked
for. docs/api.md shows each in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.base.lazy import front_door

if TYPE_CHECKING:
    from pipeline.annotate.photos import read_garment as read_garment
    from pipeline.base.errors import DataError as DataError
    from pipeline.base.labels import Atr as Atr
    from pipeline.base.labels import Category as Category
    from pipeline.base.labels import DensePart as DensePart
    from pipeline.base.labels import Joint as Joint
    from pipeline.dataset.identity import Identity as Identity
    from pipeline.dataset.person import Person as Person
    from pipeline.dataset.readers import read_dense as read_dense
    from pipeline.dataset.readers import read_dense_uv as read_dense_uv
    from pipeline.dataset.readers import read_image as read_image
    from pipeline.dataset.readers import read_keypoints as read_keypoints
    from pipeline.dataset.readers import read_label_map as read_label_map
    from pipeline.inspect.scores import score_mask as score_mask
    from pipeline.masks.person import person_masks as person_masks
    from pipeline.masks.render import apply_mask as apply_mask
    from pipeline.masks.render import render_agnostic_mask as render_agnostic_mask
    from pipeline.masks.render import render_agnostic_masks as render_agnostic_masks
    from pipeline.people.open import open_people as open_people
    from pipeline.people.source import People as People
    from pipeline.shards.folder import ShardFolder as ShardFolder
    from pipeline.shards.reader import ShardReader as ShardReader

__version__ = "0.2.0"

_HOME = {
    "Atr": "pipeline.base.labels",
    "Category": "pipeline.base.labels",
    "DataError": "pipeline.base.errors",
    "DensePart": "pipeline.base.labels",
    "Identity": "pipeline.dataset.identity",
    "Joint": "pipeline.base.labels",
    "People": "pipeline.people.source",
    "Person": "pipeline.dataset.person",
    "ShardFolder": "pipeline.shards.folder",
    "ShardReader": "pipeline.shards.reader",
    "apply_mask": "pipeline.masks.render",
    "open_people": "pipeline.people.open",
    "person_masks": "pipeline.masks.person",
    "read_dense": "pipeline.dataset.readers",
    "read_dense_uv": "pipeline.dataset.readers",
    "read_garment": "pipeline.annotate.photos",
    "read_image": "pipeline.dataset.readers",
    "read_keypoints": "pipeline.dataset.readers",
    "read_label_map": "pipeline.dataset.readers",
    "render_agnostic_mask": "pipeline.masks.render",
    "render_agnostic_masks": "pipeline.masks.render",
    "score_mask": "pipeline.inspect.scores",
}
__all__ = list(_HOME)
__getattr__, __dir__ = front_door(__name__, _HOME)
