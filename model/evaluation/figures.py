"""The figures of one person: what can be told of a picture, with the truth or without."""

from __future__ import annotations

import math

import numpy as np

from model.data.dataset import TryOnDataset
from model.evaluation.arrival import colours_apart, pattern_apart
from model.evaluation.methods import Shown
from model.evaluation.metrics import PAIR_METRICS, pair_metrics, ssim_map, unit
from model.evaluation.places import garment_ends, neckline_box, pose_group

OWN, COMPOSITE = "own", "composite"
PICTURES = (COMPOSITE, OWN)
"""With the photo's visible pixels put back, as ``try-on`` gives it; and as the method made it."""
PLACE_METRICS = ("ssim_neckline", "ssim_ends")
ARRIVAL_METRICS = ("colours_apart", "pattern_apart", "l1_outside")
PERSON_METRICS = (*PAIR_METRICS, *PLACE_METRICS, "lpips", "lpips_neckline", *ARRIVAL_METRICS[:2])
"""All that a paired person may have; unpaired ones have ``ARRIVAL_METRICS``."""


LEAST_HIDDEN = 0.05
"""Share of a neckline's crop that has to be hidden: trousers leave it as it is."""


class Places:
    """Where the figures of one row are measured, read once for all methods.

    Attributes:
        neckline: rows and columns, or None. ends: (H, W) bool, or None without a label map.
        pose: one of ``places.POSES``.
    """

    def __init__(self, dataset: TryOnDataset, index: int):
        row = dataset.rows[index]
        shard, at = dataset.folders[row.folder].reader(row.position)
        keypoints, labels = shard.keypoints(at), shard.label_map(at)
        self.neckline = neckline_box(keypoints, dataset.size_hw)
        self.ends = None if labels is None else garment_ends(labels, row.category)
        self.pose = pose_group(keypoints)


def _mean_in(values: np.ndarray, crop: tuple[slice, slice] | None, mask: np.ndarray) -> float:
    """The mean in a crop; NaN without one, or where hardly anything of it was hidden."""
    if crop is None or mask[crop].mean() < LEAST_HIDDEN:
        return math.nan
    return float(values[crop].mean())


def figures_of(picture: np.ndarray, shown: Shown, places: Places | None) -> dict[str, float]:
    """Figures of one picture.

    Args:
        picture: (H, W, 3) uint8. shown: photo, garment and mask of the same size.
        places: where neckline and ends lie; None leaves them out.

    Returns:
        For a paired row those of ``metrics.pair_metrics``, ``ssim_neckline`` and ``ssim_ends``
        (mean of the SSIM map there, NaN without such a place); for every row ``colours_apart``,
        ``pattern_apart`` of the hidden region and ``l1_outside``.
    """
    arrived = {
        "colours_apart": colours_apart(shown.garment, picture, shown.mask),
        "pattern_apart": pattern_apart(shown.garment, picture, shown.mask),
    }
    if not shown.paired:
        visible = ~shown.mask
        changed = np.abs(unit(picture) - unit(shown.photo))[visible]
        return arrived | {"l1_outside": float(changed.mean()) if visible.any() else math.nan}
    found = pair_metrics(picture, shown.photo, shown.mask)
    if places is not None:
        alike = ssim_map(picture, shown.photo)
        found["ssim_neckline"] = _mean_in(alike, places.neckline, shown.mask)
        ends = places.ends is not None and places.ends.any()
        found["ssim_ends"] = float(alike[places.ends].mean()) if ends else math.nan
    return found | arrived
