"""Masks hide the garment, keep the person, and survive what is missing."""

import numpy as np
import pytest

from pipeline.agnostic import STYLES, apply_mask, render_agnostic_mask
from pipeline.geometry import TEMPLATE
from pipeline.labels import GARMENT_LABELS, Category, is_in
from pipeline.rules import RULES


def standing(category: Category, size_hw=(256, 192)):
    """A standing figure with a rectangle as garment: keypoints, DensePose parts, label map."""
    height, width = size_hw
    keypoints = np.ones((18, 3), np.float32)
    keypoints[:, :2] = TEMPLATE * 0.17 * height + (width / 2, 0.12 * height)
    labels, dense = np.zeros(size_hw, np.uint8), np.zeros(size_hw, np.uint8)
    box = (slice(height // 8, height // 2), slice(int(width * 0.35), int(width * 0.65)))
    labels[box] = GARMENT_LABELS[category][0]
    dense[box] = 2
    return keypoints, dense, labels


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("category", list(Category))
def test_mask_hides_garment_and_not_the_whole_picture(category, style):
    keypoints, dense, labels = standing(category)
    mask = render_agnostic_mask(category, keypoints, dense, labels, style)
    assert mask.shape == labels.shape and mask.dtype == bool
    assert mask[is_in(labels, GARMENT_LABELS[category])].all()
    assert 0.05 < mask.mean() < 0.6


def test_every_category_has_a_rule_for_every_style():
    assert set(RULES) == {(c, s) for c in Category for s in STYLES}


def test_agnostic_image_is_black_where_hidden_and_unchanged_elsewhere():
    image = np.full((4, 3, 3), 200, np.uint8)
    mask = np.zeros((4, 3), bool)
    mask[1:3] = True
    agnostic = apply_mask(image, mask)
    assert (agnostic[mask] == 0).all() and (agnostic[~mask] == 200).all() and (image == 200).all()
