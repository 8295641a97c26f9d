"""Arrays and names from a caller's own program are looked at before anything is done with them."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.dataset import TryOnDataset
from model.training.config import TrainConfig
from model.training.setup import Data
from model.tryon.predictor import TryOn
from pipeline import apply_mask, open_people, render_agnostic_mask
from pipeline.base.errors import DataError

HW = (64, 48)


def sources():
    return np.ones((18, 3), np.float32) * 20, np.ones(HW, np.uint8), np.full(HW, 4, np.uint8)


@pytest.mark.parametrize("kind", [np.int64, np.float32, bool])
def test_maps_of_another_kind_are_named(kind):
    keypoints, dense, labels = sources()
    with pytest.raises(ValueError, match=r"label map: \(64, 48\) \w+, expected \(H, W\) uint8"):
        render_agnostic_mask("upper_body", keypoints, dense, labels.astype(kind))
    with pytest.raises(ValueError, match="DensePose: "):
        render_agnostic_mask("upper_body", keypoints, dense.astype(kind), labels)
    with pytest.raises(ValueError, match="label map: a list"):
        render_agnostic_mask("upper_body", keypoints, dense, labels.tolist())


def test_joints_of_another_body_model_are_named():
    keypoints, dense, labels = sources()
    with pytest.raises(ValueError, match=r"keypoints: of shape \(17, 3\).*OpenPose"):
        render_agnostic_mask("upper_body", keypoints[:17], dense, labels)
    assert render_agnostic_mask("upper_body", keypoints[:, :2], dense, labels).shape == HW


def test_photos_and_masks_that_do_not_fit_are_named():
    keypoints, dense, labels = sources()
    photo = np.zeros((*HW, 3), np.float32)
    with pytest.raises(ValueError, match="photo: .*float32, expected"):
        render_agnostic_mask("upper_body", keypoints, dense, labels, photo=photo)
    with pytest.raises(ValueError, match="differ in size"):
        apply_mask(photo.astype(np.uint8), np.zeros((5, 5), bool))


def test_a_garment_that_is_no_picture_is_refused(sample_dataset):
    predictor = TryOn.load("drawn", "cpu")  # by name, as commands take it
    person = open_people(sample_dataset, size_hw=(128, 96))[0]
    for garment in (
        person.garment[..., 0],
        person.garment / 255.0,
        np.dstack([person.garment, person.garment[..., :1]]),
        person,
    ):
        with pytest.raises(ValueError, match="garment: .*expected .* uint8 RGB"):
            predictor.dress(person, garment)


def test_a_runs_folder_in_place_of_weights_is_answered(tmp_path):
    (tmp_path / "best.pt").touch()
    with pytest.raises(DataError, match="a folder, expected a file of weights.*best.pt"):
        TryOn.load(tmp_path, "cpu")


def test_a_folder_counts_once(sample_shards):
    train = sample_shards["train"]
    with pytest.raises(DataError, match="given twice"):
        TryOnDataset([train, train.parent / "." / train.name])
    with pytest.raises(DataError, match="no folder"):
        TryOnDataset([])
    assert len(TryOnDataset(train)) == len(TryOnDataset([train]))


def test_unpaired_people_beside_paired_ones_are_nothing_to_learn_from(sample_shards):
    both = [sample_shards["train"], sample_shards["test_unpaired"]]
    with pytest.raises(DataError, match="test_unpaired: people with another's garment"):
        Data.open(both, TrainConfig(validation_share=0.0))
