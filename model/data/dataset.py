"""Shards -> tensors: mirroring with the pose drawn again, mask styles, colour jitter, the
validation split.

Everything random about a sample is a function of (seed, epoch, index), so it does not depend on the
number of loader workers, on processes, or on where a stopped run went on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from model.data.augment import Augmentation, View
from model.data.packing import (
    CLOTH,
    FLOW,
    PIXEL,
    cloth_part,
    flow_part,
    parts,
    to_levels,
    widen,
    worn_codes,
)
from model.data.styles import MIX, StylePlan
from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, MIRROR_JOINTS, Category
from pipeline.base.names import REGION, WHOLE
from pipeline.dataset.flows import mirror
from pipeline.dataset.identity import Identity
from pipeline.dataset.pose import draw_pose, joints_inside
from pipeline.masks.styles import ALL_STYLES
from pipeline.shards.folder import ShardFolder

VIEW = 0xA06  # sets the augmentation's random numbers apart from the colours'
PARTS = ("all", "train", "validation")


class Batch(TypedDict):
    """What a loader gives; images are float32 in [-1, 1] with a leading batch axis.

    With flows (``TryOnDataset(flows=True)``) also those of ``packing.widen_flow``: flow, (2, H, W),
    where on the garment picture each pixel of the worn garment comes from, and flow_known; with
    ``cloth`` that of ``packing.widen_cloth``.
    """

    reference: torch.Tensor  # (6, H, W): pose picture, then the agnostic one
    garment: torch.Tensor  # (3, H, W)
    agnostic: torch.Tensor  # (3, H, W): the person, hidden region black (-1)
    person: torch.Tensor  # (3, H, W): the target; in an unpaired list the person as photographed
    mask: torch.Tensor  # (1, H, W): 1 = hidden, 0 = visible
    category: torch.Tensor  # Category.index
    index: torch.Tensor  # row of the dataset


@dataclass(frozen=True, slots=True)
class Row(Identity):
    """One pair of the dataset: who it is and where it lies."""

    folder: int
    position: int


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(3, H, W) float32 in [-1, 1] of an (H, W, 3) uint8 image."""
    out = np.empty((3, *image.shape[:2]), np.float32)
    to_levels(np.stack(cv2.split(image)), out)
    return torch.from_numpy(out)


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """(H, W, 3) uint8 of a (3, H, W) tensor in [-1, 1]; values outside are clipped, NaN becomes
    black."""
    values = (tensor.detach().float().cpu().nan_to_num(-1).clamp(-1, 1) + 1) * 127.5
    return values.round().to(torch.uint8).permute(1, 2, 0).numpy()


def mirror_keypoints(keypoints: np.ndarray, width: int) -> np.ndarray:
    """(18, 3) float32: the joints of the mirrored photo, left and right swapped. The input is not
    changed."""
    mirrored = keypoints[MIRROR_JOINTS].copy()
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    return mirrored


def jitter_colours(
    images: Sequence[np.ndarray], strength: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """The same random change of brightness, contrast, saturation and hue on every image; (H, W, 3)
    uint8.

    Person and garment change together: the garment's colour is what the network has to carry over.

    Args:
        strength: 0 changes nothing; 0.2 changes each factor by up to 20 % and the hue by up to 0.2
            / 4 of the circle.
    """
    brightness, contrast, saturation = 1 + rng.uniform(-strength, strength, 3)
    turn = rng.uniform(-strength, strength) / 4 * 180
    changed = []
    for image in images:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + turn) % 180
        hsv[..., 1] *= saturation
        rgb = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB).astype(
            np.float32
        )
        changed.append(
            np.clip(((rgb - 127.5) * contrast + 127.5) * brightness, 0, 255)
            .round()
            .astype(np.uint8)
        )
    return changed


def sample_random(seed: int, epoch: int, index: int) -> tuple[float, float]:
    """Two numbers in [0, 1) that look random: a hash's, as to seed a generator takes as long as to
    draw a pose."""
    digest = hashlib.blake2b(f"{seed} {epoch} {index}".encode(), digest_size=16).digest()
    return _fraction(digest[:8]), _fraction(digest[8:])


def _fraction(digest: bytes) -> float:
    """[0, 1): of the first eight bytes as many bits as a float holds, so that none is rounded up to
    1."""
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def held_out(keys: Sequence[str], keypoints: Sequence[np.ndarray], share: float) -> np.ndarray:
    """(n,) bool: True for the rows of the validation part, chosen by a stable hash of their ids.

    Rows with identical keypoints show the same photo: they go together, by the hash of their first
        id. So a row
    keeps its place whatever else is in the dataset, apart from its own duplicates.

    Args:
        keys: category/person_id of each row.
        keypoints: (18, 3) each; rows without any joint are never taken for duplicates.
        share: of the rows, in expectation; from five rows of a category on, at least one.
    """
    photos: dict[object, list[int]] = {}
    for i, (key, joints) in enumerate(zip(keys, keypoints)):
        seen = np.isfinite(joints).any()
        photos.setdefault(
            np.ascontiguousarray(joints, np.float32).tobytes() if seen else key, []
        ).append(i)
    by_key: dict[str, list[int]] = {}
    for rows in photos.values():  # the same person in two shards counts once
        by_key.setdefault(min(keys[i] for i in rows), []).extend(rows)
    chance = np.empty(len(keys))
    for key, rows in by_key.items():
        chance[rows] = _fraction(hashlib.sha256(key.encode()).digest())
    out = chance < share
    if share > 0:
        names = np.array([key.split("/")[0] for key in keys])
        for name in np.unique(names):
            mine = names == name
            if mine.sum() >= 5 and not out[mine].any():
                out |= chance == chance[mine].min()
    return out


def _check_once(folders: Sequence[Path]) -> None:
    """DataError for no folder, or one that is given twice: its people would count twice."""
    if not folders:
        raise DataError("shards", "no folder", "one or more that preprocess wrote")
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places):
        if places.count(place) > 1:
            raise DataError(folder, "given twice", "each folder once", "Leave one of them out")


class TryOnDataset(Dataset[Any]):
    """Pairs of one or more shard folders as tensors (see ``Batch``); picklable, for any kind of
    loader worker.

    ``dataset[i]`` is the sample in epoch 0, ``dataset[epoch, i]`` in another one.

    Args:
        folders: shard folders of one image size.
        part: "all" pairs, or the "train" or "validation" part of the stable split.
        validation_share: part of the pairs that is held out; only used where ``part`` is not "all".
        mask_style: a style that the shards hold; "mix": one of them at random for each sample
            and epoch; or "daflow>standard": from one to the other, see ``StylePlan``.
        mask_epochs: that a change of style takes.
        mirror: mirrors half of the samples.
        jitter: strength of the colour change, 0 for none.
        augmentation: backgrounds, angles and noise of training.
        seed: with the epoch and the row it fixes all that is random.
        limit: pairs per category at most, in the shards' order, before the split.
        categories: which to take; None for all.
        size_hw: what the caller expects; None takes what the shards hold.
        flows: also give the flows of drawn people, mirrored with them. People of shards without
            flows have none that is known.
        cloth: also say where the photo shows the garment and bare skin, by the label map.

    Raises:
        DataError: no pair is left, folders differ in size or frame, the size is no multiple of 32,
            a style is missing, or flows are wanted and no folder has any.
    """

    def __init__(
        self,
        folders: Sequence[Path | str],
        *,
        part: str = "all",
        validation_share: float = 0.05,
        mask_style: str = "standard",
        mask_epochs: int = 3,
        mirror: bool = False,
        jitter: float = 0.0,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        limit: int | None = None,
        categories: Sequence[Category] | None = None,
        size_hw: tuple[int, int] | None = None,
        flows: bool = False,
        cloth: bool = False,
    ):
        if part not in PARTS:
            raise ValueError(f"part is {part!r}, not one of {PARTS}")
        if isinstance(folders, (str, Path)):
            folders = [folders]
        self.paths = [Path(folder) for folder in folders]
        _check_once(self.paths)
        self.folders = [ShardFolder(path, categories) for path in self.paths]
        self.mirror, self.jitter, self.seed, self.mask_style = mirror, jitter, seed, mask_style
        self.augmentation = augmentation or Augmentation()
        self.augmentation.check()
        self.flows, self.cloth = flows, cloth
        self.size_hw = self._common_size(size_hw)
        self.frame = self._common_frame()
        self.plan = self._choose_styles(mask_style, mask_epochs)
        self.rows = self._part(self._list_rows(limit), part, validation_share)
        if not self.rows:
            raise DataError(
                ", ".join(map(str, self.paths)),
                f"no pair in part {part!r}",
                "at least one",
                "Preprocess more pairs, or give other shards, categories or another --limit.",
            )
        if flows and not any(folder.flows for folder in self.folders):
            raise DataError(
                ", ".join(map(str, self.paths)),
                "no flows",
                "shards that hold some",
                "Draw people with make-sample --flows, and pack them with preprocess --flows.",
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def categories(self) -> np.ndarray:
        """(n,) int64: Category.index of every row."""
        return np.array([row.category.index for row in self.rows], np.int64)

    @property
    def styles(self) -> tuple[str, ...]:
        """The mask styles that samples may have."""
        return self.plan.styles

    @property
    def packed_bytes(self) -> int:
        """What a sample takes as ``fill`` writes it."""
        height, width = self.size_hw
        return (PIXEL + FLOW * self.flows + CLOTH * self.cloth) * height * width

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        packed = np.empty((1, self.packed_bytes), np.uint8)
        self.fill(key, packed[0])
        index = key[1] if isinstance(key, tuple) else key
        pictures = {
            name: batch[0] for name, batch in widen(torch.from_numpy(packed), self.size_hw).items()
        }
        return pictures | {"category": self.rows[index].category.index, "index": index}

    def fill(self, key: int | tuple[int, int], packed: np.ndarray) -> None:
        """Writes a sample into ``packed``, (10 * H * W,) uint8 or more, as
        ``model.data.packing`` orders its parts."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        row = self.rows[index]
        mirrored, style_at = sample_random(self.seed, epoch, index)
        shard, at = self.folders[row.folder].reader(row.position)
        pose, garment, person, mask = parts(packed, self.size_hw)
        shard.photo(at, out=person)
        shard.garment(at, out=garment)
        mask[:] = shard.mask(at, self.plan.style(epoch, style_at))
        keypoints = joints_inside(shard.keypoints(at), self.size_hw)
        view = View(keypoints)
        if self.jitter:
            rng = np.random.default_rng((self.seed, epoch, index))
            person[:], garment[:] = jitter_colours((person, garment), self.jitter, rng)
        if self.augmentation:
            rng = np.random.default_rng((self.seed, epoch, index, VIEW))
            labels = shard.label_map(at) if self.augmentation.backgrounds else None
            view = self.augmentation.apply(person, garment, mask, keypoints, labels, rng)
            keypoints = view.keypoints
        mirrors = self.mirror and mirrored < 0.5
        if mirrors:
            for image in (person, garment, mask):
                cv2.flip(image, 1, image)
            keypoints = mirror_keypoints(keypoints, self.size_hw[1])
        if self.flows:
            codes = shard.flow(at)
            codes = np.zeros((*self.size_hw, 2), np.uint16) if codes is None else view.flow(codes)
            flow_part(packed, self.size_hw)[:] = mirror(codes) if mirrors else codes
        if self.cloth:
            labels, cloth = shard.label_map(at), cloth_part(packed, self.size_hw)
            labels = None if labels is None else view.labels(labels)
            cloth[:] = worn_codes(labels, GARMENT_LABELS[row.category])
            if mirrors:
                cv2.flip(cloth, 1, cloth)
        pose.fill(0)
        draw_pose(pose, keypoints)

    def _common_size(self, wanted: tuple[int, int] | None) -> tuple[int, int]:
        sizes = {folder.size_hw: path for folder, path in zip(self.folders, self.paths)}
        for size, path in sizes.items():
            height, width = size
            expected = wanted or next(iter(sizes))
            if size != tuple(expected):
                raise DataError(
                    path,
                    f"pictures of {height} x {width}",
                    "{} x {}".format(*expected),
                    "All shards of a run have one size: preprocess again with --size {}x{}.".format(
                        *expected
                    ),
                )
            if height % 32 or width % 32:
                raise DataError(
                    path,
                    f"pictures of {height} x {width}",
                    "multiples of 32",
                    "The network halves them five times: preprocess again with another --size.",
                )
        return next(iter(sizes))

    def _common_frame(self) -> str:
        """Of ``names.FRAMES``. Raises DataError where folders differ."""
        frames = {folder.frame: path for folder, path in zip(self.folders, self.paths)}
        if len(frames) > 1:
            raise DataError(
                frames[REGION],
                "parts of photos",
                f"whole photos as in {frames[WHOLE]}",
                "All shards of a run have one frame: preprocess again with or without --frame "
                "region",
            )
        return next(iter(frames))

    def _choose_styles(self, wanted: str, epochs: int) -> StylePlan:
        common = [
            style
            for style in self.folders[0].styles
            if all(style in f.styles for f in self.folders)
        ]
        try:
            return StylePlan.of(wanted, common, epochs)
        except KeyError as error:
            lacking = error.args[0]
            again = f" with --mask-style {lacking}" if lacking in ALL_STYLES else ""
            raise DataError(
                self.paths[0],
                f"no masks of style {lacking!r}",
                f"one that the shards hold: {', '.join(common)}; training also takes {MIX}, or two "
                "of them as A>B",
                f"Choose one of these, or preprocess again{again}",
            ) from None

    def _list_rows(self, limit: int | None) -> list[Row]:
        rows, taken = [], dict.fromkeys(Category, 0)
        for number, folder in enumerate(self.folders):
            for position, who in enumerate(folder.names):
                if limit is None or taken[who.category] < limit:
                    taken[who.category] += 1
                    row = Row(
                        who.category, who.split, who.person_id, who.garment_id, number, position
                    )
                    rows.append(row)
        return rows

    def _part(self, rows: list[Row], part: str, share: float) -> list[Row]:
        if part == "all" or not rows:
            return rows
        joints = [self._keypoints(row) for row in rows]
        out = held_out([row.key for row in rows], joints, share)
        return [row for row, held in zip(rows, out) if held == (part == "validation")]

    def _keypoints(self, row: Row) -> np.ndarray:
        shard, at = self.folders[row.folder].reader(row.position)
        return shard.keypoints(at)
