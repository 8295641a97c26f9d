"""Peers' recipes draw what their descriptions say, in the frame that they use."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import binary_dilation, binary_erosion
from test_agnostic import SMALL, people, standing, without

from cli import main
from pipeline.base.labels import Atr, Category, Joint, is_in
from pipeline.masks.peers import Figure, knows
from pipeline.masks.render import render_agnostic_mask, render_agnostic_masks
from pipeline.masks.styles import ALL_STYLES, PEER_STYLES
from pipeline.shards.folder import ShardFolder

UPPER = Category.UPPER_BODY


def figure(shape=(256, 192)):
    """An upper body in a frame, nothing on the maps."""
    keypoints = np.full((18, 3), np.nan, np.float32)
    for joint, place in {
        Joint.NECK: (100, 60),
        Joint.R_SHOULDER: (80, 60),
        Joint.L_SHOULDER: (120, 60),
        Joint.R_HIP: (90, 140),
        Joint.L_HIP: (110, 140),
    }.items():
        keypoints[joint] = (*place, 1)
    return keypoints, np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)


def test_daflow_hides_a_square_around_the_neck_and_ellipses_at_shoulders_and_widened_hips():
    mask = render_agnostic_mask(UPPER, *figure(), "daflow")
    assert mask[20, 60:141].all() and not mask[19].any()  # the square, 40 around the neck
    assert mask[60, 40] and not mask[60, 39]  # 40 to the left of the right shoulder
    assert mask[60, 170] and not mask[60, 171]  # 50 to the right of the left one
    # hips as far apart as shoulders, at 80 and 120; their line is 120 wide, the ellipses 30 x 60
    assert mask[140, 50] and not mask[140, 49] and mask[200, 80:121].any() and not mask[202].any()


def daflow_by_formula(keypoints: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The recipe from its description, by distances and inequalities at every pixel."""
    height, width = labels.shape
    y, x = np.mgrid[:height, :width].astype(float)
    at = np.nan_to_num(keypoints[:, :2].astype(float), nan=0.0)
    shoulders, hips = np.hypot(*(at[5] - at[2])), np.hypot(*(at[11] - at[8]))
    middle = (at[8] + at[11]) / 2
    at[[8, 11]] = middle + (at[[8, 11]] - middle) * (shoulders / max(hips, 1e-9))

    def line(a, b, thick):
        length = max(np.hypot(*(at[b] - at[a])), 1e-9)
        ux, uy = (at[b] - at[a]) / length
        along = (x - at[a, 0]) * ux + (y - at[a, 1]) * uy
        across = np.abs((x - at[a, 0]) * uy - (y - at[a, 1]) * ux)
        return (along >= 0) & (along <= length) & (across <= thick / 2)

    def ellipse(joint, left, right, half):
        middle, radius = at[joint, 0] + (right - left) / 2, (left + right) / 2
        return ((x - middle) / radius) ** 2 + ((y - at[joint, 1]) / half) ** 2 <= 1

    def inside(corners):
        odd = np.zeros(labels.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]]):
            if ay != by:
                odd ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
        return odd

    hidden = line(2, 5, 70) | line(2, 8, 60) | line(5, 11, 60) | line(8, 11, 120)
    hidden |= ellipse(2, 40, 50, 40) | ellipse(5, 40, 50, 40)
    hidden |= ellipse(8, 30, 30, 60) | ellipse(11, 30, 30, 60)
    for joint in (3, 4, 6, 7):
        if at[joint].any() and at[joint - 1].any():
            hidden |= line(joint - 1, joint, 100)
            hidden |= ellipse(joint, 40, 40, 40) & (joint in (3, 6))
    hidden |= inside([at[2], at[5], *(at[hip] for hip in (11, 8) if (at[hip] >= 1).any())])
    hidden |= (np.abs(x - at[1, 0]) <= 40) & (np.abs(y - at[1, 1]) <= 40)
    nothing = np.zeros_like(labels)
    face = Figure(UPPER, keypoints[:, :2].astype(float), nothing, labels).face()
    back = (Atr.HAIR, Atr.SUNGLASSES, Atr.PANTS, Atr.SKIRT, Atr.LEFT_LEG, Atr.RIGHT_LEG)
    back += (Atr.LEFT_SHOE, Atr.RIGHT_SHOE)
    hidden &= ~(is_in(labels, back) | face)
    return hidden | is_in(labels, (Atr.UPPER_CLOTHES, Atr.DRESS))


def test_daflow_is_what_its_description_says_but_for_a_pixel_at_the_edge(crowd):
    # Pillow, which the original draws with, rounds edges in its own way.
    upper = [person for person in crowd if person[1] is UPPER]
    assert len(upper) >= 4
    for _, category, keypoints, _, labels in upper:
        mask = render_agnostic_mask(category, keypoints, None, labels, "daflow")
        expected = daflow_by_formula(keypoints, labels)
        assert (mask & expected).sum() / (mask | expected).sum() > 0.98
        inner, outer = binary_erosion(expected), binary_dilation(expected, np.ones((3, 3)))
        assert (inner & ~mask).sum() + (mask & ~outer).sum() <= 40


def test_daflow_brings_back_hair_face_and_legs_but_no_arm_no_neck_and_no_garment():
    keypoints, dense, labels = figure()
    shown, hidden = (Atr.HAIR, Atr.PANTS, Atr.LEFT_LEG), (Atr.LEFT_ARM, Atr.RIGHT_ARM, Atr.BAG)
    for column, label in enumerate(shown + hidden):
        labels[100:110, 70 + 8 * column : 78 + 8 * column] = label
    labels[22:60, 90:110] = Atr.HEAD
    labels[240:250] = Atr.UPPER_CLOTHES  # far from all that is drawn
    mask = render_agnostic_mask(UPPER, keypoints, dense, labels, "daflow")
    assert not mask[is_in(labels, shown)].any() and mask[is_in(labels, hidden)].all()
    assert not mask[22:45, 90:110].any() and mask[50:60, 90:110].all()
    assert mask[labels == Atr.UPPER_CLOTHES].all()


def test_daflow_in_a_larger_picture_is_its_mask_in_its_own_frame_enlarged():
    small = render_agnostic_mask(UPPER, *figure(), "daflow")
    keypoints, dense, labels = figure((1024, 768))
    keypoints[:, :2] *= 4
    large = render_agnostic_mask(UPPER, keypoints, dense, labels, "daflow")
    assert np.array_equal(large, small.repeat(4, 0).repeat(4, 1))


def test_dresscode_draws_arms_as_a_line_and_keeps_the_hands_beyond_it():
    keypoints, dense, labels = standing(UPPER, (512, 384))
    wrist = keypoints[Joint.L_WRIST, :2].astype(int)
    hand = slice(wrist[1] + 4, wrist[1] + 12), slice(wrist[0] - 6, wrist[0] + 6)
    labels[hand] = Atr.LEFT_ARM
    mask = render_agnostic_mask(UPPER, keypoints, dense, labels, "dresscode")
    elbow = keypoints[Joint.L_ELBOW, :2].astype(int)
    # half of the line, and ten pixels for growing
    assert mask[elbow[1], elbow[0] + 23] and not mask[elbow[1], elbow[0] + 30]
    assert not mask[hand][labels[hand] == Atr.LEFT_ARM].any()
    wider = render_agnostic_mask(UPPER, keypoints, dense, labels, "ladi")
    assert wider[elbow[1], elbow[0] + 30] and (wider | ~mask).mean() > 0.99


def test_dresscode_grows_the_garment_by_ten_pixels_and_never_hides_skirts_called_skirts():
    empty = np.zeros((512, 384), np.uint8)
    labels = empty.copy()
    labels[200:300, 100:200] = Atr.PANTS
    labels[310:330, 100:200] = Atr.SKIRT
    joints = np.full((18, 3), np.nan, np.float32)
    mask = render_agnostic_mask("lower_body", joints, None, labels, "dresscode")
    grown = empty > 0
    grown[190:310, 90:210] = True
    assert np.array_equal(mask, grown)


def test_ootd_fills_holes_and_keeps_the_largest_piece_alone():
    labels = np.zeros((512, 384), np.uint8)
    labels[100:300, 100:300] = Atr.PANTS
    labels[180:220, 180:220] = Atr.BAG  # kept, and yet in a hole
    labels[400:410, 300:310] = Atr.PANTS
    joints = np.full((18, 3), np.nan, np.float32)
    mask = render_agnostic_mask("lower_body", joints, None, labels, "ootd")
    whole = np.zeros_like(mask)
    whole[90:310, 90:310] = True
    assert np.array_equal(mask, whole)


def test_catvton_hides_the_hull_of_body_and_clothes_and_a_little_of_the_hands(crowd):
    for name, category, keypoints, dense, labels in crowd:
        mask = render_agnostic_mask(category, keypoints, dense, labels, "catvton")
        clothes = {UPPER: (4, 7), Category.LOWER_BODY: (5, 6, 7), Category.DRESSES: (4, 5, 6, 7)}
        hands = is_in(dense, (3, 4, 5, 6)) & is_in(labels, (12, 13, 14, 15))
        assert mask[is_in(labels, clothes[category]) & ~hands].mean() > 0.97, name
        assert not hands.sum() > 20 or mask[hands].mean() < 0.6, name


def test_hr_viton_keeps_the_arm_beyond_its_own_narrower_drawing():
    keypoints, dense, labels = standing(UPPER, (1024, 768))
    labels[:] = Atr.LEFT_ARM
    mask = render_agnostic_mask(UPPER, keypoints, dense, labels, "hr-viton")
    labels[:] = 0
    drawn = render_agnostic_mask(UPPER, keypoints, dense, labels, "hr-viton")
    assert mask.any() and not (mask & ~drawn).any() and mask.sum() < drawn.sum()


@pytest.fixture(scope="module")
def crowd(sample_dataset):
    return list(people(sample_dataset, SMALL))


@pytest.mark.parametrize("style", PEER_STYLES)
def test_a_recipe_draws_something_whatever_is_missing_and_the_same_each_time(crowd, style):
    for _, category, keypoints, dense, labels in crowd[::4]:
        for joints in ((), (2, 8), (4, 7), (3, 6), range(18)):
            for maps in ((dense, labels), (None, labels), (dense, None)):
                person = category, without(keypoints, joints), *maps
                mask = render_agnostic_mask(*person, style)
                assert mask.shape == SMALL and mask.dtype == bool
                assert np.array_equal(mask, render_agnostic_mask(*person, style))
        assert render_agnostic_mask(category, keypoints, dense, labels, style).any()


def test_recipes_for_upper_bodies_give_standard_elsewhere(crowd):
    assert [s for s in PEER_STYLES if not knows(s, Category.DRESSES)] == ["daflow", "hr-viton"]
    for _, category, keypoints, dense, labels in crowd:
        if category is not UPPER:
            masks = render_agnostic_masks(
                category, keypoints, dense, labels, ("standard", "daflow")
            )
            assert np.array_equal(masks["standard"], masks["daflow"])


def test_shards_store_the_styles_that_are_asked_for(sample_dataset, tmp_path):
    out = tmp_path / "shards"
    asked = ["--mask-style", "daflow", "--mask-style", "standard"]
    arguments = ["preprocess", str(sample_dataset), str(out), "--limit", "1", *asked]
    result = CliRunner().invoke(main, [*arguments, "--size", "256x192"])
    assert result.exit_code == 0, result.output
    assert ShardFolder(out).styles == ("daflow", "standard")
    shown = CliRunner().invoke(
        main, ["inspect-mask", str(out), "--style", "daflow", "--against", "catvton"]
    )
    assert shown.exit_code == 0, shown.output


def test_there_are_ten_styles_and_their_names_are_told():
    with pytest.raises(ValueError, match="hr-viton"):
        render_agnostic_mask("dresses", *standing(Category.DRESSES), "acgpn")
    assert len(ALL_STYLES) == len(set(ALL_STYLES)) == 10
