"""People of a dataset and of shards in one form, by number and by name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from tiny import tiny_sample, write_shards

from pipeline import Category, DataError, open_people, person_masks
from pipeline.base.labels import Joint
from pipeline.dataset.index import index_pairs
from pipeline.dataset.person import Person, read_person
from pipeline.people.in_dataset import DatasetPeople
from pipeline.people.in_shards import ShardPeople
from pipeline.preprocess.run import preprocess

SIZE = (128, 96)


@pytest.fixture(scope="module")
def shards(sample_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("people") / "shards"
    preprocess(sample_dataset, out, size_hw=SIZE, images="raw", limit=2)
    return out


def test_a_dataset_and_its_shards_give_the_same_people(sample_dataset, shards):
    loose, packed = open_people(sample_dataset, size_hw=SIZE, limit=2), open_people(shards)
    assert [who.key for who in loose.names] == [who.key for who in packed.names]
    for one, other in zip(loose, packed, strict=True):
        for name in ("photo", "garment", "keypoints", "label_map", "dense_i"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for style, mask in other.masks.items():
            assert (person_masks(one, (style,))[style] == mask).all()


def test_whoever_is_found_by_name_is_the_same_person(sample_dataset, shards):
    for people in (open_people(sample_dataset, limit=2), open_people(shards)):
        who, first = people.names[0], people[0]
        found = people.person(who.key)
        assert found.who.key == who.key and found.garment is None
        np.testing.assert_array_equal(found.photo, first.photo)
        np.testing.assert_array_equal(
            people.garment(f"{who.category}/{who.garment_id}"), first.garment
        )
        assert people.person(f"{who.person_id}_0.jpg", who.category).who.key == who.key
        with pytest.raises(DataError, match="no person .*987654"):
            people.person("987654")
        with pytest.raises(DataError, match="an id such as"):
            people.person("hats/1")


def test_people_by_name_need_no_list(sample_dataset, tmp_path):
    who = open_people(sample_dataset, limit=1).names[0]
    for folder in ("images", "keypoints", "dense"):
        (tmp_path / f"{who.category}/{folder}").mkdir(parents=True)
        for file in (sample_dataset / f"{who.category}/{folder}").glob(f"{who.person_id}_*"):
            (tmp_path / f"{who.category}/{folder}/{file.name}").write_bytes(file.read_bytes())
    person = DatasetPeople(tmp_path).person(who.person_id)
    assert person.label_map is None and person.dense_i is not None
    assert person_masks(person)["standard"].any()


def test_a_part_travels_to_another_process(shards, sample_dataset):
    for people in (open_people(shards), open_people(sample_dataset, size_hw=SIZE)):
        part = pickle.loads(pickle.dumps(people.part([1, 0])))
        assert [who.key for who in part.names] == [people.names[i].key for i in (1, 0)]
        np.testing.assert_array_equal(part[0].photo, people[1].photo)


def test_folders_of_shards_are_joined_and_chosen_by_split(tmp_path):
    folders = [
        write_shards(tmp_path / split, [tiny_sample(Category.DRESSES, i, split=split)])
        for i, split in enumerate(("train", "test_paired"))
    ]
    assert [who.person_id for who in open_people(folders).names] == ["000000", "000001"]
    assert [who.person_id for who in open_people(folders, split="test_paired").names] == ["000001"]
    with pytest.raises(DataError, match="shards of test_paired, train, expected test_unpaired"):
        open_people(folders, split="test_unpaired")


def test_a_mask_of_another_category_is_drawn_not_taken(shards):
    person = open_people(shards)[0]
    assert person.category is Category.UPPER_BODY
    person.masks = {"standard": np.zeros(SIZE, bool)}
    assert not person_masks(person)["standard"].any()
    assert person_masks(person, category=Category.DRESSES)["standard"].any()


def test_without_label_map_and_dense_no_mask_can_be_had(sample_dataset, shards):
    record = index_pairs(sample_dataset)[0]
    person = open_people(shards)[0]
    bare = Person(person.who, photo=person.photo, keypoints=person.keypoints)
    with pytest.raises(DataError, match="neither label map nor DensePose"):
        person_masks(bare)
    nothing = type(record)(
        *(getattr(record, name) for name in ("category", "split", "person_id", "garment_id")),
        record.image,
        record.garment,
        record.keypoints,
    )
    with pytest.raises(DataError, match=rf"{record.person_id}_4.png: neither label map"):
        read_person(nothing, SIZE)
    with pytest.raises(DataError, match="no keypoints"):
        person_masks(Person(person.who, label_map=person.label_map))


def test_a_person_at_another_size_has_joints_and_maps_there(sample_dataset):
    person = open_people(sample_dataset, limit=1)[0]
    height, width = person.size_hw
    small = person.at((height // 2, width // 2))
    assert small.photo.shape == (height // 2, width // 2, 3)
    assert small.label_map.shape == small.dense_i.shape == (height // 2, width // 2)
    np.testing.assert_allclose(
        small.keypoints[Joint.NECK, :2] * 2, person.keypoints[Joint.NECK, :2], rtol=1e-5
    )
    assert person.at((height, width)) is person


@pytest.mark.parametrize("kind", ["dataset", "shards"])
def test_a_garments_picture_is_no_person_and_a_persons_photo_no_garment(
    sample_dataset, sample_shards, kind
):
    people = (
        DatasetPeople(sample_dataset) if kind == "dataset" else ShardPeople(sample_shards["train"])
    )
    number = "000000"
    assert people.locate("person", f"upper_body/{number}_0.jpg")[1] == number
    assert people.locate("garment", f"upper_body/{number}_1.jpg")[1] == number
    with pytest.raises(DataError, match="is a garment's picture, expected a person's photo"):
        people.locate("person", f"upper_body/{number}_1.jpg")
    with pytest.raises(DataError, match=f"is a person's photo.*worn:{number}"):
        people.locate("garment", f"{number}_0.jpg")


def test_a_photo_is_also_called_by_its_path_below_the_folder(sample_dataset):
    people = DatasetPeople(sample_dataset)
    path = "upper_body/images/000000_0.jpg"
    for name in (path, str(sample_dataset / path)):
        assert people.locate("person", name) == (Category.UPPER_BODY, "000000")
