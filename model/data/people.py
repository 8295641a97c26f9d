"""A person as the network sees one: people of any source as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.data.dataset import Batch, to_tensor
from pipeline.annotate.photos import fit_garment
from pipeline.base.errors import DataError
from pipeline.dataset.pose import joints_inside, render_pose
from pipeline.masks.person import person_masks
from pipeline.masks.render import apply_mask
from pipeline.people.source import People

MULTIPLE = 32
"""The network halves its input five times."""


class PeopleDataset(Dataset[Any]):
    """People of a dataset or of shards as tensors (see ``Batch``), nothing about them by chance.

    For a look, a metric or a trainer of one's own; ``TryOnDataset`` is what training reads: shards
    alone, several times as fast, with mirroring, mixed styles and a validation part.

    Args:
        people: what ``pipeline.open_people`` gives.
        style: of the masks; those that are not stored are drawn.
        size_hw: of the pictures, multiples of 32; None takes the people's own.

    Raises:
        DataError: the size is no multiple of 32. Reading an item raises it where a file is bad.
    """

    def __init__(
        self, people: People, style: str = "standard", size_hw: tuple[int, int] | None = None
    ):
        self.people, self.style = people, style
        self.size_hw = size_hw or people.size_hw
        if any(n % MULTIPLE for n in self.size_hw):
            raise DataError("size_hw", "{} x {}".format(*self.size_hw), f"multiples of {MULTIPLE}")

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, i: int) -> Batch:
        person = self.people[i].at(self.size_hw)
        assert person.photo is not None and person.garment is not None
        assert person.keypoints is not None  # whoever lacks one of them is refused when read
        mask = person_masks(person, (self.style,))[self.style]
        garment = fit_garment(person.garment, self.size_hw)
        reference, worn, agnostic = network_inputs(person.photo, garment, mask, person.keypoints)
        return {
            "reference": reference,
            "garment": worn,
            "agnostic": agnostic,
            "person": to_tensor(person.photo),
            "mask": torch.from_numpy(mask[None].astype(np.float32)),
            "category": torch.tensor(person.category.index),
            "index": torch.tensor(i),
        }


def network_inputs(
    photo: np.ndarray, garment: np.ndarray, mask: np.ndarray, keypoints: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network takes: reference (6, H, W), garment and agnostic (3, H, W), float32 in [-1,
    1].

    Args:
        photo, garment: (H, W, 3) uint8 RGB, H and W multiples of 32; of a part of a photo, too.
        mask: (H, W) bool, True = hidden.
        keypoints: (18, 3) in pixels of the photo; NaN, NaN, 0 where missing.
    """
    size = photo.shape[0], photo.shape[1]
    agnostic, seen = to_tensor(apply_mask(photo, mask)), joints_inside(keypoints, size)
    return (
        torch.cat([to_tensor(render_pose(seen, size)), agnostic]),
        to_tensor(garment),
        agnostic,
    )
