"""Parts of photos: cut out, packed, trained on, dressed, and put back where they were."""

from __future__ import annotations

import dataclasses
import json
import shutil

import cv2
import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from model.data.dataset import TryOnDataset, to_image, to_tensor
from model.data.people import PeopleDataset
from model.evaluation.evaluate import evaluate
from model.evaluation.methods import Network
from model.tryon.dress import Look, try_on
from model.tryon.orders import Order
from model.tryon.predictor import TryOn
from model.tryon.step import prepare_step
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import REGION, WHOLE
from pipeline.dataset.crop import Crop
from pipeline.dataset.pose import joints_inside, render_pose
from pipeline.dataset.readers import resize_image
from pipeline.masks.person import person_masks
from pipeline.masks.region import SHOWN, cut_region, region_of
from pipeline.masks.styles import ALL_STYLES, PEER_STYLES, STYLES
from pipeline.people.open import open_people
from pipeline.preprocess.run import preprocess
from pipeline.shards.folder import ShardFolder

SIZE = (128, 96)
LOSSLESS = {"size_hw": SIZE, "images": "raw", "frame": REGION}


class GarmentColour(torch.nn.Module):
    """Paints everything in the mean colour of the garment."""

    def forward(self, reference, garment, agnostic):
        return garment.mean((2, 3), keepdim=True).expand_as(garment)


def predictor(frame: str, size: str = "128x96") -> TryOn:
    facts = {"file": "c.pt", "sha256": "0", "choice": "raw", "frame": frame}
    return TryOn(GarmentColour(), facts=facts | {"config": {"data": {"size": size}}})


@pytest.fixture(scope="module")
def parts(sample_dataset, tmp_path_factory):
    """Shards of parts of the sample's people, all styles of masks, lossless."""
    out = tmp_path_factory.mktemp("parts") / "train"
    preprocess(sample_dataset, out, styles=ALL_STYLES, **LOSSLESS)
    return out


@pytest.fixture(scope="module")
def people(sample_dataset):
    return list(open_people(sample_dataset))


def test_a_part_shows_the_joints_of_its_category_and_all_that_is_hidden(people):
    for person in people:
        masks = person_masks(person, STYLES)
        crop = region_of(person.category, person.keypoints, masks["standard"], SIZE, masks.values())
        for mask in masks.values():
            assert crop.cut(mask).sum() == mask.sum()
        shown = person.keypoints[list(SHOWN[person.category])]
        there = np.isfinite(shown[:, 0])
        inside = joints_inside(crop.joints(shown, SIZE), SIZE)
        assert np.isfinite(inside[there, 0]).all()


def test_a_part_has_the_asked_shape_to_a_pixel_and_lies_in_the_photo(people):
    for person in people:
        mask = person_masks(person)["standard"]
        for aspect in ((4, 3), (1, 1), (3, 4)):
            crop = region_of(person.category, person.keypoints, mask, aspect)
            if crop.is_whole:
                continue
            assert abs(crop.width - crop.height * aspect[1] / aspect[0]) <= 0.5
            assert crop.top + crop.height <= mask.shape[0]


def test_upper_and_lower_bodies_are_much_larger_in_their_part_and_dresses_hardly(people):
    zoom = {category: [] for category in Category}
    for person in people:
        mask = person_masks(person)["standard"]
        crop = region_of(person.category, person.keypoints, mask, SIZE)
        zoom[person.category].append(mask.shape[0] / crop.height)
    assert np.median(zoom[Category.UPPER_BODY]) > 1.5
    assert np.median(zoom[Category.LOWER_BODY]) > 1.4
    assert np.median(zoom[Category.DRESSES]) < 1.2


def test_without_joints_or_mask_the_part_is_the_whole_photo():
    nowhere = np.full((18, 3), np.nan, np.float32)
    crop = region_of(Category.DRESSES, nowhere, np.zeros((64, 48), bool), SIZE)
    assert crop == Crop((64, 48), 0, 0, 64, 48)
    assert crop.is_whole


def test_a_crop_outside_of_its_photo_is_refused():
    for values in ((64, 48, -1, 0, 8, 6), (64, 48, 60, 0, 8, 6), (64, 48, 0, 0, 0, 6)):
        with pytest.raises(ValueError, match="outside"):
            Crop.of(values)


def test_what_is_put_back_changes_its_place_alone():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (64, 48, 3), np.uint8)
    crop = Crop((64, 48), 10, 6, 32, 24)
    back = crop.put_back(crop.image(photo, (32, 24)), photo)
    np.testing.assert_array_equal(back, photo)
    black = crop.put_back(np.zeros((64, 48, 3), np.uint8), photo)
    assert not crop.cut(black).any()
    crop.cut(black)[:] = crop.cut(photo)
    np.testing.assert_array_equal(black, photo)


def test_our_masks_are_those_of_the_whole_person_and_peers_those_of_the_part(people):
    for person in people:
        region = cut_region(person, ("standard", "loose", "daflow"), SIZE)
        crop = region.person.crop
        whole = person_masks(person, ("standard", "loose"))
        for style, mask in whole.items():
            np.testing.assert_array_equal(region.masks[style], crop.map(mask, SIZE))
            np.testing.assert_array_equal(region.whole[style], mask)
        seen = region.person
        seen.masks.clear()
        seen.keypoints = joints_inside(seen.keypoints, SIZE)
        drawn = person_masks(seen, ("daflow",))["daflow"]
        np.testing.assert_array_equal(region.masks["daflow"], drawn)


def test_shards_of_parts_hold_the_part_of_everything(sample_dataset, parts):
    folder = ShardFolder(parts)
    assert folder.frame == REGION
    for person, packed in zip(open_people(sample_dataset), folder, strict=True):
        region = cut_region(person, ALL_STYLES, SIZE)
        assert packed.crop == region.person.crop
        np.testing.assert_array_equal(packed.photo, region.person.photo)
        np.testing.assert_array_equal(packed.label_map, region.person.label_map)
        np.testing.assert_array_equal(packed.dense_i, region.person.dense_i)
        np.testing.assert_array_equal(packed.keypoints, region.person.keypoints)
        for style in ALL_STYLES:
            np.testing.assert_array_equal(packed.masks[style], region.masks[style])


def test_shards_of_whole_photos_are_the_same_bytes_as_without_the_option(
    sample_dataset, sample_shards, tmp_path
):
    preprocess(sample_dataset, tmp_path / "again", size_hw=SIZE, frame=WHOLE)
    for shard in sorted(sample_shards["train"].glob("*.h5")):
        assert shard.read_bytes() == (tmp_path / "again" / shard.name).read_bytes()


def test_a_damaged_table_of_parts_is_noticed(parts, tmp_path):
    copy = shutil.copytree(parts, tmp_path / "copy")
    shard = next(copy.glob("upper_body*.h5"))
    with h5py.File(shard, "r+") as file:
        file["crop"][0, 5] -= 1
    with pytest.raises(DataError, match="checksum"):
        ShardFolder(copy)[0]


def test_parts_and_whole_photos_are_not_mixed_in_a_run(parts, sample_shards):
    with pytest.raises(DataError, match="parts of photos"):
        TryOnDataset([parts, sample_shards["train"]])


def test_a_style_that_needs_the_whole_person_is_not_drawn_on_a_part(sample_dataset, tmp_path):
    preprocess(sample_dataset, tmp_path / "one", styles=("standard",), **LOSSLESS)
    cut_off = [p for p in ShardFolder(tmp_path / "one") if not p.crop.is_whole]
    assert cut_off
    with pytest.raises(DataError, match="--mask-style loose"):
        person_masks(cut_off[0], ("loose",))
    assert person_masks(cut_off[0], PEER_STYLES).keys() == set(PEER_STYLES)


def test_the_pose_picture_of_a_part_lacks_joints_that_a_detector_would_not_see(parts):
    dataset = TryOnDataset([parts])
    row = next(i for i, r in enumerate(dataset.rows) if r.category == Category.UPPER_BODY)
    person = ShardFolder(parts)[row]
    assert (person.keypoints[:, 1] > SIZE[0]).any()  # the feet lie below
    seen = to_image(dataset[row]["reference"][:3])
    person.keypoints = joints_inside(person.keypoints, SIZE)
    np.testing.assert_array_equal(seen, render_pose(person.keypoints, SIZE))
    again = PeopleDataset(open_people(parts))[row]
    np.testing.assert_array_equal(to_image(again["reference"][:3]), seen)


def test_what_a_network_sees_of_a_person_is_what_it_was_trained_on(sample_dataset, parts):
    dataset = TryOnDataset([parts])
    for row, person in enumerate(open_people(sample_dataset)):
        packed = dataset[row]
        garment = to_image(packed["garment"])
        step = prepare_step(person, garment, person.category, frame=REGION)
        for mine, theirs in zip(step.inputs, ("reference", "garment", "agnostic")):
            assert torch.equal(mine, packed[theirs])


def test_a_dressed_photo_has_its_own_size_and_its_own_pixels_where_nothing_is_hidden(people):
    network = predictor(REGION)
    for person in people:
        dressed = network.dress(person)
        mask = person_masks(person)["standard"]
        assert dressed.shape == person.photo.shape
        np.testing.assert_array_equal(dressed[~mask], person.photo[~mask])
        raw = network.dress(person, raw=True)
        crop = cut_region(person, ("standard",), SIZE).person.crop
        outside = np.ones(mask.shape, bool)
        crop.cut(outside)[:] = False
        np.testing.assert_array_equal(raw[outside], person.photo[outside])
        assert np.ptp(crop.cut(raw), axis=(0, 1)).max() == 0


def test_an_outfit_is_dressed_part_by_part(people):
    person = next(p for p in people if p.category == Category.UPPER_BODY)
    red, blue = (np.full((*SIZE, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    first = prepare_step(person, red, Category.LOWER_BODY, frame=REGION)
    after = first.finish(to_tensor(red))
    second = prepare_step(person, blue, Category.UPPER_BODY, picture=after, frame=REGION)
    assert first.crop != second.crop
    done = second.finish(to_tensor(blue))
    np.testing.assert_array_equal(done[~second.mask], after[~second.mask])
    hidden, seen = second.crop.map(second.mask, SIZE), second.crop.image(after, SIZE)
    shown = np.where(hidden[..., None], 0, seen)
    np.testing.assert_array_equal(to_image(second.inputs[2]), shown)


def test_a_smaller_result_is_the_large_one_made_smaller(sample_dataset):
    """The part is cut from the photo at its own size, whatever size is asked for."""
    source = open_people(sample_dataset)
    order, found = Order.of(source.names[0]), []
    for size in (None, (128, 96)):
        look = Look((64, 48), size, frame=REGION)
        list(try_on(predictor(REGION), source, [order], look, finish=found.append))
    whole, small = found
    assert small.picture.shape == (128, 96, 3) and small.mask.shape == (128, 96)
    np.testing.assert_array_equal(small.picture, resize_image(whole.picture, (128, 96)))


def test_a_network_of_parts_is_measured_on_whole_photos(sample_shards):
    found = evaluate(predictor(REGION), [sample_shards["test_paired"]])
    plain = evaluate(predictor(WHOLE), [sample_shards["test_paired"]])
    for mine, whole in zip(found.rows, plain.rows, strict=True):
        assert mine["l1_inside"] == pytest.approx(whole["l1_inside"], abs=0.02)
    ours = found.result["methods"][0]["pictures"]["own"]["paired"]["all"]
    theirs = plain.result["methods"][0]["pictures"]["own"]["paired"]["all"]
    assert ours["l1"] < theirs["l1"]  # around its part the photo is the person's own
    assert found.result["protocol"]["frame"] == "whole photos"


def test_shards_of_parts_are_measured_as_they_are(parts):
    network = Network(predictor(REGION))
    found = evaluate([network], [parts])
    assert found.result["protocol"]["frame"] == "the part of the photo around the garment"
    assert not network._steps([])


def test_the_sentence_of_a_run_says_that_it_sees_parts(parts, tmp_path):
    arguments = ["train", str(parts), str(tmp_path / "run"), "--preset", "small", "--epochs", "1"]
    options = ["--perceptual", "none", "--batch-size", "4", "--limit", "4", "--pictures", "0"]
    options += ["--validation-share", "0", "--workers", "0"]
    result = CliRunner().invoke(main, [*arguments, *options])
    assert result.exit_code == 0, result.output
    assert "128 x 96 of the part around the garment" in result.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["frame"] == REGION
    trained = TryOn.load(tmp_path / "run" / "last.pt", "cpu")
    assert trained.frame == REGION
    assert TryOn.load(tmp_path / "run" / "last.pt", "cpu", frame=WHOLE).frame == WHOLE
    assert "of the part around the garment" in trained.story
    weights = tmp_path / "own.safetensors"
    exported = CliRunner().invoke(main, ["export", str(tmp_path / "run/last.pt"), str(weights)])
    assert exported.exit_code == 0, exported.output
    assert TryOn.load(weights, "cpu").frame == REGION
    assert "128x96 of the part around the garment" in weights.with_suffix(".md").read_text()


def test_masks_of_parts_are_scored_and_held_against_the_dataset(sample_dataset, parts, tmp_path):
    arguments = ["inspect-mask", str(parts), "--data", str(sample_dataset)]
    result = CliRunner().invoke(main, [*arguments, "--json", str(tmp_path / "scores.json")])
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "scores.json").read_text())["people"]
    assert len(told) == len(ShardFolder(parts))
    assert [p["scores"].get("stored", p) for p in told] == [1.0] * len(told)
    assert not [person for person in told if person["problems"]]


def test_exported_parts_hold_the_joints_that_are_in_them_and_their_card_says_so(parts, tmp_path):
    out = tmp_path / "out"
    result = CliRunner().invoke(
        main, ["export-data", str(parts), str(out), "--layout", "ootdiffusion"]
    )
    assert result.exit_code == 0, result.output
    assert "part of the photo around the garment" in (out / "README.md").read_text()
    files = list(out.glob("*/keypoints/*.json"))
    assert len(files) == len(ShardFolder(parts))
    for path in files:
        joints = np.array(json.loads(path.read_text())["pose_keypoints_2d"])
        assert (joints >= 0).all() and joints[:, 0].max() < 384 and joints[:, 1].max() < 512


def test_parts_are_not_handed_out_to_be_mended(parts, tmp_path):
    arguments = ["inspect-mask", str(parts), "--export", "fiftyone", str(tmp_path / "m")]
    result = CliRunner().invoke(main, arguments)
    assert "Export from the dataset" in result.output
    assert not list((tmp_path / "m").rglob("*.png"))


def test_mended_masks_are_those_of_the_whole_photo_cut_out(sample_dataset, people, tmp_path):
    person = next(p for p in people if p.category == Category.UPPER_BODY)
    mended = {}
    for style in ("standard", "daflow"):
        mask = person_masks(person, (style,))[style].copy()
        mask[-40:, :30] = True
        mended[style] = mask
        place = tmp_path / "mended/masks" / style / f"{person.category}-{person.who.person_id}.png"
        place.parent.mkdir(parents=True)
        cv2.imwrite(str(place), mask.astype(np.uint8) * 255)
    masks = tmp_path / "mended"
    preprocess(
        sample_dataset, tmp_path / "out", styles=("standard", "daflow"), masks=masks, **LOSSLESS
    )
    packed = next(p for p in ShardFolder(tmp_path / "out") if p.who.key == person.who.key)
    for style, mask in mended.items():
        np.testing.assert_array_equal(packed.masks[style], packed.crop.map(mask, SIZE))
        assert packed.crop.cut(mask).sum() == mask.sum()  # what was added lies in the part


def test_flows_of_a_part_point_to_the_same_places_of_the_garment(people):
    person = people[0]
    height, width = person.size_hw
    codes = np.random.default_rng(1).integers(0, 65536, (height, width, 2)).astype(np.uint16)
    person = dataclasses.replace(person, flow=codes)
    crop = Crop((height, width), 16, 12, height // 2, width // 2)
    part = person.cut(crop, (height // 2, width // 2))
    np.testing.assert_array_equal(part.flow, crop.cut(codes))


def test_a_card_and_a_story_tell_what_was_trained_not_what_was_asked_for():
    data = {"size": "128x96", "pairs": 3}
    facts = {"file": "w.pt", "config": {"data": data}, "frame": REGION}
    assert "part" not in TryOn(GarmentColour(), facts=facts).story
    trained = {**facts, "config": {"data": {**data, "frame": REGION}}}
    assert "of the part around the garment" in TryOn(GarmentColour(), facts=trained).story


def test_disturbed_photos_are_refused_before_anybody_is_dressed(sample_shards, sample_dataset):
    folder = str(sample_shards["test_paired"])
    arguments = ["evaluate", "drawn", folder, "--frame", "region", "--disturbed"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "--frame region" in result.output
    assert "Dressing" not in result.output
    arguments = ["preprocess", str(sample_dataset), folder, "--size", "128x96"]
    other = CliRunner().invoke(main, [*arguments, "--frame", "region", "--split", "test_paired"])
    assert other.exit_code == 1 and "frame was whole, is region" in other.output
