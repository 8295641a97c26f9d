"""Training's random changes of background, angle and mask style: what belongs together stays so."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from tiny import tiny_sample, tiny_shards, write_shards

from model.data.augment import (
    Augmentation,
    drawn_background,
    paste_background,
    random_view,
    seen_through,
    spoil,
    turn_garment,
)
from model.data.dataset import TryOnDataset
from model.data.loading import Loader
from model.data.styles import StylePlan, final_style
from pipeline.base.errors import DataError
from pipeline.base.labels import Atr, Category
from pipeline.dataset.flows import to_codes, to_pixels

SIZE = (256, 192)


def random(number: int) -> np.random.Generator:
    return np.random.default_rng(number)


@pytest.mark.parametrize("seed", range(8))
def test_photo_mask_and_joints_move_as_one_and_the_photo_fills_the_frame(seed):
    height, width = SIZE
    photo = np.full((*SIZE, 3), 90, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[80:180, 60:130] = 1
    photo[mask > 0] = (200, 40, 40)
    joints = np.full((18, 3), (np.nan, np.nan, 0), np.float32)
    for i, (x, y) in enumerate([(70, 90), (120, 90), (95, 130), (70, 170), (120, 170), (1, 1)]):
        joints[i] = (x, y, 1)
        cv2.circle(photo, (x, y), 2, (0, 255, 0), -1)
    matrix = random_view(SIZE, 1.0, random(seed))
    corners = np.array([[[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]], float)
    source = cv2.perspectiveTransform(corners, np.linalg.inv(matrix))[0]
    assert (source > -0.6).all() and (source < (width - 0.4, height - 0.4)).all()
    before = joints.copy()
    moved = seen_through(matrix, photo, mask, joints)
    assert np.array_equal(joints, before, equal_nan=True)
    known = np.isfinite(moved[:, 0])
    assert known[2] and not known[6:].any() and (moved[~known, 2] == 0).all()
    for x, y in moved[known, :2].round().astype(int):
        if 2 < x < width - 2 and 2 < y < height - 2:
            assert photo[y, x, 1] > 200
    reddish = photo[..., 0] > photo[..., 1].astype(int) + 60
    inner = cv2.erode(mask, np.ones((7, 7), np.uint8)) > 0
    outer = cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0
    greenish = cv2.dilate((photo[..., 1] > 120).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert reddish[inner & ~greenish].mean() > 0.99 and reddish[outer].mean() < 0.01


def test_a_new_background_leaves_the_person_alone():
    photo = random(0).integers(0, 256, (*SIZE, 3), np.uint8)
    person = np.zeros(SIZE, bool)
    person[60:200, 50:140] = True
    was, background = photo.copy(), drawn_background(SIZE, random(1))
    paste_background(photo, person, background)
    inner = cv2.erode(person.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    outer = cv2.dilate(person.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert np.array_equal(photo[inner], was[inner])
    assert np.array_equal(photo[outer], background[outer])


def test_noise_and_turned_garments_change_little():
    picture = cv2.resize(random(0).integers(0, 256, (16, 12, 3), np.uint8), SIZE[::-1])
    for seed in range(4):
        photo, garment = picture.copy(), np.full((*SIZE, 3), 255, np.uint8)
        spoil(photo, random(seed))
        assert 0 < np.abs(photo.astype(int) - picture).mean() < 12
        garment[90:160, 60:130] = (10, 60, 200)
        turn_garment(garment, 1.0, random(seed))
        assert (garment[0] == 255).all() and (garment[125, 95] == (10, 60, 200)).all()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    samples = [tiny_sample(c, i) for c in Category for i in range(4)]
    for sample in samples:
        labels = np.zeros(sample.masks["standard"].shape, np.uint8)
        labels[8:56, 20:44] = 4
        sample.label_map = labels
    return write_shards(tmp_path_factory.mktemp("augment") / "shards", samples)


ALL = Augmentation(angles=0.5, backgrounds=1.0, noise=0.3)


def test_changes_are_a_function_of_seed_epoch_and_row_whatever_the_workers(shards):
    def load(workers, epoch=1, seed=3):
        dataset = TryOnDataset([shards], mirror=True, augmentation=ALL, seed=seed)
        batches = [[(epoch, row)] for row in range(len(dataset))]
        return [b["person"] for b in Loader(dataset, batches, workers=workers)]

    first = load(0)
    assert all(torch.equal(a, b) for a, b in zip(first, load(1), strict=True))
    for other in (load(0, epoch=2), load(0, seed=4)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_agnostic_picture_is_the_changed_photo_without_what_the_mask_hides(shards):
    dataset = TryOnDataset([shards], mirror=True, augmentation=ALL)
    for row in range(len(dataset)):
        sample = dataset[2, row]
        hidden = sample["mask"].bool().expand(3, -1, -1)
        assert hidden.any() and (sample["agnostic"][hidden] == -1).all()
        assert torch.equal(sample["agnostic"][~hidden], sample["person"][~hidden])


def test_nothing_is_changed_by_default_and_without_label_maps_backgrounds_stay(shards, tmp_path):
    plain = TryOnDataset([shards])
    assert torch.equal(plain[1, 0]["person"], plain[0, 0]["person"])
    bare = tiny_shards(tmp_path / "bare", people=1)
    changed = TryOnDataset([bare], augmentation=Augmentation(backgrounds=1.0))
    assert torch.equal(changed[0]["person"], TryOnDataset([bare])[0]["person"])


def test_backgrounds_come_from_the_folder_that_is_named(shards, tmp_path):
    (tmp_path / "photos").mkdir()
    green = np.zeros((80, 100, 3), np.uint8)
    green[..., 1] = 255
    cv2.imwrite(str(tmp_path / "photos" / "lawn.png"), green)
    wanted = Augmentation(backgrounds=1.0, photos=str(tmp_path / "photos"))
    dataset = TryOnDataset([shards], augmentation=wanted)
    corners = torch.stack([dataset[0, row]["person"][:, 1, 1] for row in range(len(dataset))])
    lawn = (corners == torch.tensor([-1.0, 1.0, -1.0])).all(1)
    assert 0 < lawn.sum() < len(dataset)
    for folder in (tmp_path / "none", shards):
        with pytest.raises(DataError, match="no photos|no such folder"):
            TryOnDataset([shards], augmentation=Augmentation(backgrounds=1.0, photos=str(folder)))


def test_one_mask_style_gives_way_to_the_other_over_the_epochs():
    plan = StylePlan.of("daflow > standard", ("standard", "daflow"), 3)
    chances = np.linspace(0, 0.999, 1000)
    shares = [np.mean([plan.style(e, c) == "standard" for c in chances]) for e in range(5)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1], abs=0.002)
    assert plan.final == final_style("daflow>standard") == "standard" == final_style("standard")
    mixed = StylePlan.of("mix", ("standard", "tight"), 3)
    assert {mixed.style(9, c) for c in chances} == {"standard", "tight"}


@pytest.mark.parametrize("wanted, named", [("daflow>standard", "daflow"), ("a>b>c", "a>b>c")])
def test_styles_that_the_shards_do_not_hold_are_refused_by_name(shards, wanted, named):
    with pytest.raises(
        DataError, match=f"no masks of style '{named}'.*standard, loose; training also takes mix"
    ):
        TryOnDataset([shards], mask_style=wanted)


def test_label_map_and_flow_move_with_the_photo_and_the_flow_with_the_garment_too():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    # Every colour tells the place on the garment picture that it was fetched from.
    garment = np.dstack([x, y, np.zeros_like(x)]).round().astype(np.uint8)
    worn = np.zeros(SIZE, bool)
    worn[60:190, 50:140] = True
    places = np.dstack([x, y]) + 8
    photo = (
        np.where(worn[..., None], np.dstack([x + 8, y + 8, 0 * x]), 255).round().astype(np.uint8)
    )
    codes = to_codes(np.where(worn[..., None], places, np.nan))
    joints = np.full((18, 3), (np.nan, np.nan, 0), np.float32)
    for seed in range(6):
        seen, cloth, mask = photo.copy(), garment.copy(), worn.astype(np.uint8)
        labels = worn * np.uint8(Atr.UPPER_CLOTHES)
        view = Augmentation(angles=1.0).apply(seen, cloth, mask, joints, None, random(seed))
        assert np.array_equal(view.labels(labels) > 0, mask > 0)
        flow = to_pixels(view.flow(codes))
        known = np.isfinite(flow[..., 0])
        assert known.sum() > 4000 and not (known & (mask == 0)).any()
        inner = known & (cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0)
        fetched = cv2.remap(cloth, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR)
        off = np.abs(fetched[inner].astype(int) - seen[inner])[:, :2]
        assert np.median(off) <= 1 and np.percentile(off, 99) <= 3


def test_guides_learn_from_changed_people_too(tmp_path):
    samples = []
    for sample in [tiny_sample(c, i) for c in Category for i in range(2)]:
        sample.label_map = sample.masks["standard"] * np.uint8(Atr.UPPER_CLOTHES)
        samples.append(sample)
    shards = write_shards(tmp_path / "shards", samples)
    dataset = TryOnDataset([shards], augmentation=Augmentation(angles=1.0), cloth=True)
    for row, who in enumerate(dataset.rows):
        if who.category is Category.UPPER_BODY:
            sample = dataset[1, row]
            assert torch.equal(sample["cloth"], sample["mask"]) and sample["cloth"].any()
