"""Synthetic people in Dress Code's layout and formats: the dataset that everything runs on without a download."""

from __future__ import annotations

from pipeline.sample.person import POSES, WARDROBE, Garment, Person, describe_person
from pipeline.sample.write import SampleSummary, fits_layout, make_sample, person_files, sample_ids

__all__ = ["POSES", "WARDROBE", "Garment", "Person", "SampleSummary", "describe_person", "fits_layout", "make_sample",
           "person_files", "sample_ids"]
