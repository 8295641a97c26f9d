"""Synthetic people in Dress Code's layout and formats: everything runs on them without a download.

A seed enters; photos, garments and all annotations leave. ``person`` decides who wears what; a new
garment is cut in ``cut`` and laid on a body in ``wear``.
"""

from __future__ import annotations

from pipeline.sample.poses import POSES
from pipeline.sample.wardrobe import WARDROBE, Garment
from pipeline.sample.wearer import Wearer, describe_wearer
from pipeline.sample.write import SampleSummary, fits_layout, make_sample, person_files, sample_ids

__all__ = [
    "POSES",
    "WARDROBE",
    "Garment",
    "Wearer",
    "SampleSummary",
    "describe_wearer",
    "fits_layout",
    "make_sample",
    "person_files",
    "sample_ids",
]
