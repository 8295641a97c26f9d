"""Where labels and joints leave it open whose clothes these are, the photo's colours tell."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline import ShardFolder
from pipeline.base.labels import GARMENT_LABELS, Atr, Category, Joint, is_in
from pipeline.check.dataset import check_dataset
from pipeline.dataset.index import index_pairs
from pipeline.dataset.person import read_person
from pipeline.masks.body import TEMPLATE
from pipeline.masks.render import mislabelled_share, render_agnostic_mask
from pipeline.preprocess.run import preprocess

SIZE = (256, 192)
RED, BLUE, WHITE, CREAM = (200, 40, 40), (40, 60, 180), (245, 245, 245), (232, 226, 214)
HIPS, SHOULDERS, COLUMNS = 140, 60, slice(66, 126)


def dressed(shirt, trousers, border=HIPS, seed=0):
    """A standing figure, shirt over trousers: keypoints, DensePose parts, label map, photo with a
    camera's noise. Colours are RGB, or functions of rows and columns that give them."""
    keypoints = np.ones((18, 3), np.float32)
    keypoints[:, :2] = TEMPLATE * 43.5 + (96, 0)
    keypoints[:, 1] += HIPS - keypoints[Joint.R_HIP, 1]
    labels, dense = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    labels[SHOULDERS:border, COLUMNS], labels[border:230, COLUMNS] = 4, 6
    dense[SHOULDERS : HIPS + 5, COLUMNS], dense[HIPS + 5 : 230, COLUMNS] = 2, 9
    photo = np.full((*SIZE, 3), 200, np.float32)
    for number, colour in ((4, shirt), (6, trousers)):
        rows, columns = np.nonzero(labels == number)
        photo[rows, columns] = colour(rows, columns) if callable(colour) else colour
    photo += np.random.default_rng(seed).normal(0, 4, photo.shape)
    return keypoints, dense, labels, np.clip(photo, 0, 255).astype(np.uint8)


def stripes(rows, columns):
    return np.where((rows // 6 % 2 == 0)[:, None], RED, WHITE)


def shown(category, figure, part, alien, photo=True):
    """Share of ``part`` that the mask leaves visible where it has the class ``alien``."""
    keypoints, dense, labels, picture = figure
    wrong = labels.copy()
    wrong[part] = alien
    seen = picture if photo else None
    mask = render_agnostic_mask(category, keypoints, dense, wrong, photo=seen)
    return (~mask[part]).mean()


@pytest.mark.parametrize("shirt", [RED, stripes], ids=["plain", "striped"])
@pytest.mark.parametrize("alien", [Atr.PANTS, Atr.SKIRT])
def test_a_shirts_hem_that_is_called_trousers_is_hidden_by_its_colours(shirt, alien):
    figure = dressed(shirt, BLUE)
    part = np.zeros(SIZE, bool)
    part[HIPS - 26 : HIPS, COLUMNS] = True
    assert shown(Category.UPPER_BODY, figure, part, alien, photo=False) > 0.5
    assert shown(Category.UPPER_BODY, figure, part, alien) < 0.05


def test_a_waist_that_is_called_a_shirt_is_hidden_by_its_colours():
    figure = dressed(WHITE, BLUE, border=HIPS - 15)
    part = np.zeros(SIZE, bool)
    part[HIPS - 15 : HIPS + 5, COLUMNS] = True
    alien = Atr.UPPER_CLOTHES
    assert shown(Category.LOWER_BODY, figure, part, alien, photo=False) > 0.5
    assert shown(Category.LOWER_BODY, figure, part, alien) < 0.05


@pytest.mark.parametrize("category", [Category.UPPER_BODY, Category.LOWER_BODY])
@pytest.mark.parametrize("border", [HIPS - 20, HIPS, HIPS + 12])
@pytest.mark.parametrize("shirt, trousers", [(RED, BLUE), (WHITE, WHITE), (stripes, RED)])
def test_right_labels_are_left_alone(category, border, shirt, trousers):
    keypoints, dense, labels, photo = dressed(shirt, trousers, border)
    alone = render_agnostic_mask(category, keypoints, dense, labels)
    np.testing.assert_array_equal(
        render_agnostic_mask(category, keypoints, dense, labels, photo=photo), alone
    )


def test_clothes_of_one_colour_are_told_by_their_labels():
    figure = dressed(WHITE, WHITE)
    part = np.zeros(SIZE, bool)
    part[HIPS - 26 : HIPS, COLUMNS] = True
    ways = [shown(Category.UPPER_BODY, figure, part, Atr.PANTS, photo) for photo in (True, False)]
    assert ways[0] == ways[1]


def test_a_shirt_in_shade_does_not_become_the_shorts_that_it_looks_like():
    """White shorts under a cream shirt that is lit as they are just above its hem: colours alone
    would take that part for shorts, but the edge lies at the hem."""

    def shirt(rows, columns):
        above, at_hem = (rows[:, None] > HIPS - start for start in (18, 4))
        return np.where(at_hem, 150, np.where(above, np.add(CREAM, (6, 9, 16)), CREAM))

    keypoints, dense, labels, photo = dressed(shirt, WHITE)
    alone = render_agnostic_mask(Category.LOWER_BODY, keypoints, dense, labels)
    seen = render_agnostic_mask(Category.LOWER_BODY, keypoints, dense, labels, photo=photo)
    np.testing.assert_array_equal(seen, alone)


def test_a_smaller_photo_serves_and_one_of_another_shape_is_refused():
    keypoints, dense, labels, photo = dressed(RED, BLUE)
    labels[HIPS - 26 : HIPS, COLUMNS] = Atr.PANTS
    half = cv2.resize(photo, (96, 128), interpolation=cv2.INTER_AREA)
    mask = render_agnostic_mask(Category.UPPER_BODY, keypoints, dense, labels, photo=half)
    assert mask[HIPS - 24 : HIPS - 2, COLUMNS].mean() > 0.95
    with pytest.raises(ValueError, match="differ in shape"):
        render_agnostic_mask(Category.UPPER_BODY, keypoints, dense, labels, photo=photo[:, :100])


def test_the_photo_is_not_changed():
    keypoints, dense, labels, photo = dressed(RED, BLUE)
    labels[HIPS - 26 : HIPS, COLUMNS] = Atr.PANTS
    for array in (keypoints, dense, labels, photo):
        array.setflags(write=False)
    render_agnostic_mask(Category.UPPER_BODY, keypoints, dense, labels, photo=photo)


@pytest.fixture(scope="module")
def crowd(sample_dataset):
    """Everybody of the sample with a photo, in whose label map the garment is."""
    records = [r for s in ("train", "test_paired") for r in index_pairs(sample_dataset, split=s)]
    people = [read_person(record, SIZE) for record in records]
    worn = [is_in(person.label_map, GARMENT_LABELS[person.category]) for person in people]
    return [(person, where) for person, where in zip(people, worn) if where.sum() > 500]


PARTS = {"lower third": (2 / 3, 1), "lower half": (1 / 2, 1), "top fifth": (0, 1 / 5)}


@pytest.mark.parametrize(
    "category, alien",
    [(Category.UPPER_BODY, Atr.SKIRT), (Category.LOWER_BODY, Atr.UPPER_CLOTHES)],
)
@pytest.mark.parametrize("part", PARTS)
def test_drawn_peoples_garments_are_hidden_where_a_part_has_another_class(
    crowd, category, alien, part
):
    visible = []
    for person, worn in crowd:
        if person.category is not category:
            continue
        first, *_, last = np.flatnonzero(worn.any(1))
        top, bottom = (int(first + share * (last + 1 - first)) for share in PARTS[part])
        labels = person.label_map.copy()
        labels[top:bottom][worn[top:bottom]] = alien
        sources = person.keypoints, person.dense_i, labels
        mask = render_agnostic_mask(category, *sources, photo=person.photo)
        visible.append((worn & ~mask).sum() / worn.sum())
    assert len(visible) >= 5 and np.median(visible) <= 0.05 > 0.5 * np.mean(visible), visible


def test_of_drawn_peoples_other_clothes_no_more_is_hidden(crowd):
    for person, _ in crowd:
        sources = person.keypoints, person.dense_i, person.label_map
        alone = render_agnostic_mask(person.category, *sources)
        seen = render_agnostic_mask(person.category, *sources, photo=person.photo)
        np.testing.assert_array_equal(seen, alone, err_msg=person.who.key)


def test_preprocess_and_check_look_at_the_photo(sample_dataset, tmp_path):
    """Of somebody whose hem has another class the stored mask hides it, and ``check`` tells."""
    sample_copy = shutil.copytree(sample_dataset, tmp_path / "copy")
    for record in index_pairs(sample_copy, categories=[Category.UPPER_BODY]):
        labels = np.array(Image.open(record.label_map))
        rows = np.flatnonzero((labels == Atr.UPPER_CLOTHES).any(1))
        hem = rows[int(len(rows) * 0.6)]
        part = labels == Atr.UPPER_CLOTHES
        part[:hem] = False
        person = read_person(record, labels.shape)
        wrong = np.where(part, Atr.SKIRT, labels).astype(np.uint8)
        sources = Category.UPPER_BODY, person.keypoints, person.dense_i, wrong
        if mislabelled_share(*sources) < 0.1 and mislabelled_share(*sources, person.photo) > 0.25:
            break
    else:
        pytest.fail("no hem of the sample needs the photo")
    picture = Image.open(record.label_map)
    picture.putdata(wrong.ravel().tolist())
    picture.save(record.label_map)
    told = [d for d in check_dataset(sample_copy).defects if d.key == record.key]
    assert "garment_mislabelled" in [defect.kind for defect in told]
    preprocess(sample_copy, tmp_path / "shards", size_hw=SIZE, categories=[Category.UPPER_BODY])
    folder = ShardFolder(tmp_path / "shards")
    stored = folder[[who.key for who in folder.names].index(record.key)].masks["standard"]
    small = cv2.resize(part.astype(np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0
    assert stored[small].mean() > 0.9
