"""What somebody wears: as a garment for others, and as the labels of an outfit's next piece."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_colours import COLUMNS, HIPS, dressed
from tiny import tiny_network
from tiny_dresscode import FIRST, write_dataset

from commands.try_on import _remark
from model.network.daflow import DAFlow
from model.tryon.dress import Look, try_on
from model.tryon.orders import Order, Piece, garment_picture, resolve
from model.tryon.predictor import TryOn
from model.tryon.step import Step, prepare_step
from model.tryon.worn import after, worn_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import Atr, Category, is_in
from pipeline.base.names import REGION, WHOLE
from pipeline.base.places import ORIGINS
from pipeline.dataset.crop import Crop
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import GUESSED, Person
from pipeline.masks.person import person_masks
from pipeline.people.in_dataset import DatasetPeople, origins_of

UPPER = f"{FIRST[Category.UPPER_BODY, 'test']:06}"
LOWER = f"{FIRST[Category.LOWER_BODY, 'test']:06}"


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return DatasetPeople(write_dataset(tmp_path_factory.mktemp("worn") / "data"))


def standing() -> Person:
    """A person in a shirt, with a hand before it, and trousers."""
    photo = np.full((64, 48, 3), 240, np.uint8)
    labels, dense = np.zeros((64, 48), np.uint8), np.zeros((64, 48), np.uint8)
    labels[12:36, 14:34], dense[12:36, 14:34] = Atr.UPPER_CLOTHES, 2
    labels[20:36, 10:14], dense[20:36, 10:14] = Atr.RIGHT_ARM, 22
    labels[36:60, 16:32], dense[36:60, 16:32] = Atr.PANTS, 9
    photo[labels == Atr.UPPER_CLOTHES] = (200, 30, 60)
    labels[22:28, 20:26] = Atr.RIGHT_ARM
    labels[8:30, 16:19] = Atr.HAIR
    photo[labels == Atr.RIGHT_ARM] = (220, 180, 150)
    photo[labels == Atr.HAIR] = (40, 20, 10)
    photo[labels == Atr.PANTS] = (30, 40, 90)
    who = Identity(Category.UPPER_BODY, "train", "000001", "000001")
    return Person(who, photo=photo, label_map=labels, dense_i=dense, keypoints=np.ones((18, 3)))


def test_a_worn_garment_lies_on_white_without_hand_and_hair_before_it():
    person = standing()
    person.label_map[40, 8] = Atr.UPPER_CLOTHES  # a speck, which would make the frame larger
    cut = worn_garment(person, Category.UPPER_BODY, (64, 48))
    assert cut.shape == (64, 48, 3) and (cut[0] > 250).all() and (cut[-1] > 250).all()
    reddish = (cut[..., 0] > 150) & (cut[..., 1] < 120)
    rows, columns = np.nonzero(reddish)
    inner = reddish[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()]
    assert inner.mean() > 0.97, "where hand and hair were is filled from around"
    assert rows.max() - rows.min() > 40, "it fills the frame as a shop's picture does"


def test_a_ragged_label_map_is_cut_out_all_the_same():
    person = standing()
    ragged = np.zeros((64, 48), bool)
    ragged[::2, ::2] = True
    assert (ragged & (person.label_map == 0)).sum() > 300
    person.label_map[ragged & (person.label_map == 0)] = Atr.UPPER_CLOTHES
    cut = worn_garment(person, Category.UPPER_BODY, (64, 48))
    assert (cut[0] > 250).all() and ((cut[..., 0] > 150) & (cut[..., 1] < 120)).mean() > 0.3


def test_who_wears_nothing_of_the_category_is_told():
    with pytest.raises(DataError, match="dress covers 0.0% of the person"):
        worn_garment(standing(), Category.DRESSES, (64, 48))
    with pytest.raises(DataError, match="no label map"):
        worn_garment(replace(standing(), label_map=None), Category.UPPER_BODY, (64, 48))


def test_orders_name_what_a_person_wears(people):
    order = resolve(people, Order(UPPER, (Piece(f"worn:lower_body/{LOWER}"),)))
    [piece] = order.pieces
    assert piece.category is Category.LOWER_BODY and not order.paired
    picture = garment_picture(people, piece, (128, 96))
    person = people.person(f"lower_body/{LOWER}")
    worn = person.photo[is_in(person.label_map, (Atr.SKIRT, Atr.PANTS))].mean(0)
    inside = picture[(picture < 250).any(2)].mean(0)
    assert picture.shape == (128, 96, 3) and np.abs(worn - inside).max() < 25
    with pytest.raises(DataError, match="names nobody"):
        resolve(people, Order(UPPER, (Piece("worn:"),)))
    with pytest.raises(DataError, match="999999"):
        resolve(people, Order(UPPER, (Piece("worn:999999"),)))


def labels_after(person, category, weight, mask, crop=None):
    inputs = (torch.zeros(1), torch.zeros(1), torch.zeros(1))
    return after(person, Step(person.photo, mask, inputs, crop), weight, category).label_map


def test_the_labels_of_a_result_are_garment_skin_and_what_was_there():
    person = standing()
    mask = np.zeros((64, 48), bool)
    mask[10:38, 8:40] = True
    weight = np.zeros((32, 24))
    weight[6:12, 7:17] = 0.9  # a cropped top, of half the size: rows 12 to 24 of the photo
    labels = labels_after(person, Category.UPPER_BODY, weight, mask)
    assert (labels[14:22, 16:32] == Atr.UPPER_CLOTHES).all()
    assert (labels[28:34, 27:33] == 0).all(), "the belly that the old shirt hid is free to be drawn"
    assert (labels[22:34, 10:13] == Atr.RIGHT_ARM).all(), "an arm stays one"
    assert (labels[~mask] == person.label_map[~mask]).all()
    assert (labels[39:60, 16:32] == Atr.PANTS).all()


def test_a_part_that_the_network_saw_is_put_back_where_it_was():
    mask = np.zeros((64, 48), bool)
    mask[12:36, 12:36] = True
    crop = Crop(top=8, left=6, height=32, width=36, photo_hw=(64, 48))
    weight = np.zeros((16, 18))
    weight[4:8, 6:10] = 1
    labels = labels_after(standing(), Category.UPPER_BODY, weight, mask, crop)
    found = np.argwhere(labels == Atr.UPPER_CLOTHES)
    assert np.abs(found.min(0) - (16, 18)).max() <= 1 and np.abs(found.max(0) - (23, 25)).max() <= 1


def test_without_a_label_map_nothing_is_told():
    person = replace(standing(), label_map=None)
    weight, mask = np.ones((64, 48)), np.ones((64, 48), bool)
    assert labels_after(person, Category.UPPER_BODY, weight, mask) is None


def test_the_second_piece_is_masked_on_the_labels_of_the_first(people):
    torch.manual_seed(0)
    predictor, found = TryOn(DAFlow(tiny_network()).eval()), []
    order = Order(UPPER, (Piece(f"upper_body/{UPPER}"), Piece(f"lower_body/{LOWER}")))
    list(try_on(predictor, people, [order], Look((128, 96)), finish=found.append))
    [outfit] = found
    before, now = people.person(f"upper_body/{UPPER}"), outfit.person
    assert (now.label_map != before.label_map).any()
    changed = now.label_map != before.label_map
    assert outfit.masks[0][changed].all(), "labels change where the first piece was drawn"
    drawn = person_masks(now, ("standard",), Category.LOWER_BODY)["standard"]
    assert (outfit.masks[1] == drawn).all()
    assert (outfit.photo == before.photo).all()


@pytest.mark.parametrize("frame", [WHOLE, REGION])
def test_the_next_mask_looks_at_the_result_before_it(frame):
    """A hem under the trousers' label is known by its colours in the photo; in a picture where it
    has the trousers' colours it is theirs."""
    keypoints, dense, labels, photo = dressed((200, 40, 40), (40, 60, 180))
    labels[HIPS - 26 : HIPS, COLUMNS] = Atr.PANTS
    who = Identity(Category.UPPER_BODY, "train", "000001", "000001")
    person = Person(who, photo, photo, keypoints, labels, dense)
    trousers = np.where((labels == Atr.PANTS)[..., None], np.uint8((40, 60, 180)), photo)
    garment = np.full((64, 48, 3), 255, np.uint8)
    before, after = (
        prepare_step(person, garment, Category.UPPER_BODY, picture=picture, frame=frame).mask
        for picture in (None, trousers)
    )
    hem = np.s_[HIPS - 20 : HIPS - 4, COLUMNS]
    assert before[hem].all() and not after[hem].any()


def test_a_garment_that_a_guessed_map_cuts_out_is_told(tmp_path):
    root = write_dataset(tmp_path / "data")
    worn = Piece(f"worn:{LOWER}", Category.LOWER_BODY)
    assert _remark(DatasetPeople(root), worn) == ""
    origins = {f"lower_body/{LOWER}": {"sources": {"label_map": GUESSED}}}
    (root / ORIGINS).write_text(json.dumps(origins))
    origins_of.cache_clear()
    people = DatasetPeople(root)
    assert "guessed from the joints" in _remark(people, worn)
    assert people.person(LOWER, Category.LOWER_BODY).sources == {"label_map": GUESSED}
    assert _remark(people, Piece(f"worn:{UPPER}", Category.UPPER_BODY)) == ""
