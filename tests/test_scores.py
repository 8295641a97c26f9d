"""Mask scores agree with their definitions: closed forms, and stored reference values of the same
definitions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_agnostic import SMALL, people, standing

from pipeline.base.labels import Atr, Category
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.inspect.inspection import Question, judge
from pipeline.inspect.scores import joints_outside, oddities, score_mask
from pipeline.masks.render import render_agnostic_mask

GOLDEN = Path(__file__).parent / "data" / "mask_scores.json"


def figure(category: Category):
    """A figure with face, arms, legs and a garment as plain boxes; the same picture that the stored
    values are of."""
    keypoints, dense, labels = standing(category, (512, 384))
    labels[:] = 0
    labels[5:70, 170:214] = Atr.HEAD
    labels[5:40, 165:172] = Atr.HAIR
    labels[65:120, 130:150], labels[65:120, 234:254] = Atr.RIGHT_ARM, Atr.LEFT_ARM
    labels[120:215, 128:146], labels[120:215, 238:256] = Atr.RIGHT_ARM, Atr.LEFT_ARM
    labels[205:420, 155:180], labels[205:420, 204:229] = Atr.RIGHT_LEG, Atr.LEFT_LEG
    labels[450:470, 150:182], labels[450:470, 202:234] = Atr.RIGHT_SHOE, Atr.LEFT_SHOE
    labels[68:210, 150:234] = Atr.DRESS if category is Category.DRESSES else Atr.UPPER_CLOTHES
    labels[210:300, 148:236] = Atr.DRESS if category is Category.DRESSES else Atr.PANTS
    labels[180:200, 225:250] = Atr.BAG
    dense[:] = 0
    dense[200:222, 126:148], dense[200:222, 236:258] = 3, 4
    mask = np.zeros(labels.shape, bool)
    rows = {
        Category.UPPER_BODY: (60, 205),
        Category.LOWER_BODY: (200, 440),
        Category.DRESSES: (60, 380),
    }[category]
    mask[rows[0] : rows[1], 135:250] = True
    return keypoints, dense, labels, mask


def another_mask(labels: np.ndarray) -> np.ndarray:
    """A mask that depends on the label map, for ``cf``: every column's span of clothes and skin."""
    worn = np.isin(labels, (4, 5, 6, 7))
    return np.maximum.accumulate(worn, 0) & np.maximum.accumulate(worn[::-1], 0)[::-1]


@pytest.mark.parametrize("category", list(Category))
@pytest.mark.parametrize("source", ["both", "no_dense", "rendered"])
def test_scores_agree_with_the_stored_reference(category, source):
    expected = json.loads(GOLDEN.read_text())[f"{category}/{source}"]
    keypoints, dense, labels, mask = figure(category)
    if source == "rendered":
        mask = another_mask(labels)
    parts = None if source == "no_dense" else dense
    scores = score_mask(category, keypoints, parts, labels, mask, another_mask)
    assert {"leak", "ring", "id", "id_min", "excess", "hug", "cf"} <= set(expected)
    for name, value in expected.items():
        if value is None:
            assert np.isnan(scores[name]), name
        else:
            assert scores[name] == pytest.approx(value, abs=2e-3), name


def test_everything_hidden_leaks_nothing_and_keeps_nobody():
    for category in Category:
        keypoints, dense, labels, _ = figure(category)
        scores = score_mask(category, keypoints, dense, labels, np.ones(labels.shape, bool))
        assert scores["leak"] == scores["ring"] == scores["id"] == scores["id_min"] == 0
        assert scores["area"] == 1 and scores["pieces"] == 1
        assert all(v == 1 for n, v in scores.items() if n.startswith("cov_") and not np.isnan(v))


def test_nothing_hidden_leaks_everything_and_keeps_everybody():
    keypoints, dense, labels, _ = figure(Category.DRESSES)
    scores = score_mask("dresses", keypoints, dense, labels, np.zeros(labels.shape, bool))
    assert scores["leak"] == scores["ring"] == scores["id"] == scores["id_min"] == 1
    assert scores["excess"] == scores["area"] == scores["pieces"] == 0 and np.isnan(scores["hug"])


def test_leak_and_excess_are_shares_of_the_garment():
    keypoints, dense, labels = standing(Category.UPPER_BODY)
    box = labels == Atr.UPPER_CLOTHES
    area = box.sum()
    mask = box.copy()
    mask[:, :96] = False
    assert (
        score_mask("upper_body", keypoints, dense, labels, mask)["leak"]
        == (box & ~mask).sum() / area
    )
    mask = box.copy()
    mask[200:210, :50] = True
    scores = score_mask("upper_body", keypoints, dense, labels, mask)
    assert scores["excess"] == 500 / area and scores["pieces"] == 2


def test_a_garment_grown_evenly_hugs_and_a_large_box_does_not():
    keypoints, dense, labels = standing(Category.UPPER_BODY, (512, 384))
    rows, columns = np.nonzero(labels == Atr.UPPER_CLOTHES)
    grown, wedge = np.zeros(labels.shape, bool), np.zeros(labels.shape, bool)
    grown[rows.min() - 8 : rows.max() + 9, columns.min() - 8 : columns.max() + 9] = True
    for row in range(rows.min() - 40, rows.max() + 60):
        out = 5 + (row - rows.min() + 40) // 3
        wedge[row, columns.min() - out : columns.max() + out] = True
    hugs = [
        score_mask("upper_body", keypoints, dense, labels, mask)["hug"] for mask in (grown, wedge)
    ]
    assert hugs[0] > 0.95 and hugs[1] < 0.4


def test_each_part_of_identity_has_a_score_and_the_worst_counts():
    keypoints, dense, labels, mask = figure(Category.LOWER_BODY)
    mask = np.zeros(labels.shape, bool)
    mask[450:460] = True  # half of the shoes
    scores = score_mask("lower_body", keypoints, dense, labels, mask)
    assert (
        scores["id_shoes"] == scores["id_min"] == 0.5
        and scores["id_hair"] == scores["id_face"] == 1
    )


def test_sample_people_get_finite_scores(sample_dataset):
    for name, category, keypoints, dense, labels in people(sample_dataset, SMALL):
        mask = render_agnostic_mask(category, keypoints, dense, labels)
        scores = score_mask(category, keypoints, dense, labels, mask)
        assert scores["leak"] == 0 and 0 < scores["area"] < 0.6 and scores["joints_outside"] <= 4, (
            name
        )
        assert np.isfinite([scores[n] for n in ("ring", "id", "id_min", "excess", "hug")]).all(), (
            name
        )


def test_missing_joints_and_maps_leave_the_rest_of_the_scores():
    keypoints, dense, labels, mask = figure(Category.DRESSES)
    keypoints[[3, 8, 13]] = (np.nan, np.nan, 0)
    scores = score_mask("dresses", keypoints, None, labels, mask)
    assert scores["joints_missing"] == 3 and "cov_gap" not in scores and np.isfinite(scores["leak"])
    keypoints[:] = np.nan
    assert (
        score_mask("dresses", keypoints, None, np.zeros_like(labels), mask)["area"] == mask.mean()
    )


def test_joints_off_the_person_are_counted():
    keypoints, _, labels, _ = figure(Category.DRESSES)
    usual = joints_outside(keypoints, labels)
    keypoints[9, :2] = (5, 500)
    keypoints[4, :2] = (-400, 20)
    assert joints_outside(keypoints, labels) == usual + 2


def test_oddities_tell_a_missing_garment_and_a_skirt_called_upper_clothes():
    keypoints, dense, labels, _ = figure(Category.LOWER_BODY)
    assert not [
        o for o in oddities("lower_body", keypoints, labels) if "garment" in o or "called" in o
    ]
    labels[labels == Atr.PANTS] = Atr.UPPER_CLOTHES
    labels[300:400, 140:240] = Atr.UPPER_CLOTHES
    found = " ".join(oddities("lower_body", keypoints, labels))
    assert "almost no garment" in found and "called upper clothes" in found
    keypoints[2:9] = np.nan
    assert "7 of 13 body joints missing" in " ".join(oddities("lower_body", keypoints, None))


def test_inspection_tells_that_a_part_of_the_garment_bears_another_class():
    keypoints, _, labels, _ = figure(Category.LOWER_BODY)
    who = Identity(Category.LOWER_BODY, "train", "000001", "000001")
    person = Person(who, keypoints=keypoints, label_map=labels)
    told = lambda: [n for n in judge(person, 0, Question()).notes if "another class" in n]
    assert told() == []
    rows = np.flatnonzero((labels == Atr.PANTS).any(1))
    half = labels[rows[len(rows) // 2] :]
    half[half == Atr.PANTS] = Atr.UPPER_CLOTHES
    (note,) = told()
    assert 30 < int(note.split("%")[0]) < 70


def test_inspection_tells_oddities_of_a_person():
    keypoints, dense, labels, _ = figure(Category.LOWER_BODY)
    who = Identity(Category.LOWER_BODY, "train", "000001", "000001")
    before = judge(
        Person(who, keypoints=keypoints, label_map=labels.copy(), dense_i=dense), 0, Question()
    )
    labels[labels == Atr.PANTS] = 0
    after = judge(Person(who, keypoints=keypoints, label_map=labels, dense_i=dense), 0, Question())
    told = "almost no garment of the category in the label map"
    assert told not in before.notes and told in after.notes and told in after.reasons
