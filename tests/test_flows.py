"""Flows of drawn people: where on the garment picture each pixel of the worn garment comes from."""

from __future__ import annotations

from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli import main
from model.data.dataset import TryOnDataset
from model.data.loading import Loader
from model.data.packing import SKIN
from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, Category
from pipeline.dataset.flows import decode, mirror, read_flow, to_codes, to_pixels
from pipeline.preprocess.run import preprocess
from pipeline.sample import describe_wearer, make_sample, person_files, sample_ids
from pipeline.sample.scene import render_person
from pipeline.shards.folder import ShardFolder
from tests.tiny import tiny_sample, write_shards

SIZE = (128, 96)
DRAWN = (256, 192)


def picture(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def fetched(garment: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return cv2.remap(garment, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR)


def hue_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle in degrees between colours: shading changes their length alone."""
    a, b = a.astype(float) + 1, b.astype(float) + 1
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Five people a category with flows, 256 x 192."""
    root = tmp_path_factory.mktemp("flows") / "data"
    return make_sample(root, 5, DRAWN, seed=3, test_pairs=2, flows=True).out


@pytest.fixture(scope="module")
def packed(drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("flows") / "shards"
    preprocess(drawn, out, size_hw=SIZE, flows=True)
    return out


@pytest.mark.parametrize("category", Category)
def test_the_shop_picture_fetched_along_the_flow_shows_the_worn_garment_up_to_shading(category):
    seen = 0
    for person_id in sample_ids(category, "train", 12):
        person = describe_wearer(category, person_id, 3)
        if person.garment.pattern in ("plain", "lettering") or "behind" in person.pose:
            continue
        files = person_files(category, person_id, 3, (512, 384), flows=True)
        photo, garment = (picture(files[f"images/{person_id}_{k}.jpg"]) for k in (0, 1))
        data = np.frombuffer(files[f"flows/{person_id}_flow.png"], np.uint8)
        pixels = to_pixels(decode(data, (512, 384)))
        known = cv2.erode(np.uint8(np.isfinite(pixels).all(2)), np.ones((5, 5))) > 0
        if known.sum() < 500:
            continue
        photo, garment = (cv2.blur(image, (3, 3)) for image in (photo, garment))
        worn, flat = photo[known], fetched(garment, pixels)[known]
        elsewhere = flat[np.random.default_rng(0).permutation(len(flat))]
        assert np.median(hue_error(worn, flat)) < 6, person_id
        assert hue_error(worn, flat).mean() < 0.7 * hue_error(worn, elsewhere).mean() + 1, person_id
        seen += 1
    assert seen >= 3


def test_nearly_all_of_a_dress_has_its_place_and_nothing_else_has():
    for person_id in sample_ids(Category.DRESSES, "train", 8):
        person = describe_wearer(Category.DRESSES, person_id, 3)
        if "coat" in person.worn or "behind" in person.pose:
            continue
        drawn, _, _ = render_person(person, DRAWN, flows=True)
        known, worn = np.isfinite(drawn.flow).all(2), drawn.labels == person.garment.cut.label
        assert known[worn].mean() > 0.75, person_id
        assert not known[cv2.dilate(np.uint8(worn), np.ones((3, 3))) == 0].any(), person_id


def test_drawing_flows_changes_no_other_file():
    person_id = sample_ids(Category.UPPER_BODY, "train", 1)[0]
    plain = person_files(Category.UPPER_BODY, person_id, 3, SIZE)
    more = person_files(Category.UPPER_BODY, person_id, 3, SIZE, flows=True)
    assert set(more) - set(plain) == {f"flows/{person_id}_flow.png"}
    assert all(more[name] == data for name, data in plain.items())


def test_codes_keep_pixels_to_a_hundredth_and_mirror_exactly():
    pixels = np.random.default_rng(0).uniform(-0.5, 1, (8, 6, 2)) * (5, 7) % (5, 7)
    pixels[2, 3] = np.nan
    pixels[1, 1] = -4, 2
    codes = to_codes(pixels)
    back = to_pixels(codes)
    unknown = np.isnan(back).all(2)
    assert unknown[2, 3] and unknown[1, 1] and unknown.sum() == 2
    assert np.nanmax(np.abs(back - np.where(unknown[..., None], np.nan, pixels))) < 0.01
    flipped = to_pixels(mirror(codes))
    expected = back[:, ::-1] * (-1, 1) + (5, 0)
    np.testing.assert_allclose(flipped, expected, atol=1e-3)
    np.testing.assert_array_equal(mirror(mirror(codes)), codes)


def test_shards_hold_the_flows_of_the_dataset(drawn, packed):
    folder = ShardFolder(packed)
    assert folder.flows and len(folder) == 15
    for sample in folder:
        path = drawn / str(sample.category) / "flows" / f"{sample.who.person_id}_flow.png"
        np.testing.assert_array_equal(sample.flow, read_flow(path, SIZE))


def test_shards_without_flows_are_the_same_as_of_a_dataset_that_has_none(drawn, tmp_path):
    preprocess(drawn, tmp_path / "a", size_hw=SIZE, limit=2)
    folder = ShardFolder(tmp_path / "a")
    assert not folder.flows and "flows" not in folder.configuration
    assert folder[0].flow is None
    for shard in folder.shards:
        with h5py.File(tmp_path / "a" / shard["file"]) as file:
            assert "flow" not in file and "flows" not in file.attrs


def test_people_of_an_unpaired_list_have_no_flow(drawn, tmp_path):
    preprocess(drawn, tmp_path / "u", size_hw=SIZE, split="test_unpaired", flows=True)
    assert all(sample.flow is None for sample in ShardFolder(tmp_path / "u"))
    batch = TryOnDataset([tmp_path / "u"], flows=True)[0]
    assert not batch["flow_known"].any() and not batch["flow"].any()


def test_the_loader_gives_pixels_of_the_garment_picture_whether_mirrored_or_not(packed):
    plain = TryOnDataset([packed], flows=True)
    mirrored = TryOnDataset([packed], flows=True, mirror=True)
    turned = 0
    for index in range(len(plain)):
        a, b = plain[index], mirrored[index]
        assert a["flow"].shape == (2, *SIZE) and a["flow_known"].shape == (1, *SIZE)
        if torch.equal(a["person"], b["person"]):
            assert torch.equal(a["flow"], b["flow"])
            continue
        turned += 1
        known = a["flow_known"][0] > 0
        assert torch.equal(b["flow_known"][0] > 0, known.flip(1))
        expected = SIZE[1] - 1 - a["flow"][0]
        torch.testing.assert_close(
            b["flow"][0][known.flip(1)], expected.flip(1)[known.flip(1)], atol=1e-2, rtol=0
        )
        torch.testing.assert_close(
            b["flow"][1][known.flip(1)], a["flow"][1].flip(1)[known.flip(1)], atol=1e-2, rtol=0
        )
    assert turned >= 3


def test_batches_hold_what_single_samples_hold_and_pictures_as_without_flows(packed):
    with_flows, without = TryOnDataset([packed], flows=True), TryOnDataset([packed])
    batch = next(iter(Loader(with_flows, [[2, 0]])))
    for at, index in enumerate((2, 0)):
        for name, value in with_flows[index].items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(batch[name][at], value), name
        for name, value in without[index].items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(batch[name][at], value), name


def test_flows_that_nobody_has_drawn_are_asked_for_in_vain(sample_dataset, sample_shards, tmp_path):
    asked = ["preprocess", str(sample_dataset), str(tmp_path / "s"), "--size", "128x96", "--flows"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 1 and "make-sample --flows" in result.output
    with pytest.raises(DataError, match="no flows"):
        TryOnDataset([sample_shards["train"]], flows=True)


@pytest.mark.parametrize("damage", [b"", b"\x89PNG no", "half", "grey"])
def test_a_damaged_flow_is_told_by_its_name(drawn, tmp_path, damage):
    path = next((drawn / "dresses/flows").iterdir())
    data = path.read_bytes()
    if damage == "half":
        damage = data[: len(data) // 2]
    elif damage == "grey":
        damage = cv2.imencode(".png", np.zeros(DRAWN, np.uint8))[1].tobytes()
    (tmp_path / path.name).write_bytes(damage)
    with pytest.raises(DataError, match=path.name):
        read_flow(tmp_path / path.name)


def test_both_commands_make_shards_with_flows(tmp_path):
    data, out = str(tmp_path / "data"), str(tmp_path / "shards")
    few = ["--category", "dresses", "--size", "128x96", "--jobs", "1"]
    made = CliRunner().invoke(main, ["make-sample", data, "--pairs", "1", "--flows", *few])
    packed = CliRunner().invoke(main, ["preprocess", data, out, "--flows", *few])
    assert made.exit_code == 0 and packed.exit_code == 0, made.output + packed.output
    assert ShardFolder(tmp_path / "shards")[0].flow is not None


def test_the_garments_pixels_reach_the_batch_and_are_mirrored_with_the_photo(packed):
    plain = TryOnDataset([packed], cloth=True)
    mirrored = TryOnDataset([packed], cloth=True, mirror=True)
    folder = ShardFolder(packed)
    turned = 0
    for i, row in enumerate(plain.rows):
        found = plain[i]["cloth"]
        labels = np.isin(folder[i].label_map, GARMENT_LABELS[row.category])
        assert found.shape == (1, *SIZE) and found.dtype == torch.float32
        np.testing.assert_array_equal(found[0].numpy() == 1, labels)
        for kind, classes in zip(plain[i]["skin"].numpy(), SKIN):
            np.testing.assert_array_equal(kind == 1, np.isin(folder[i].label_map, classes))
        other = mirrored[i]
        if not torch.equal(other["person"], plain[i]["person"]):
            turned += 1
            torch.testing.assert_close(other["cloth"], found.flip(-1))
            torch.testing.assert_close(other["skin"], plain[i]["skin"].flip(-1))
            torch.testing.assert_close(other["person"], plain[i]["person"].flip(-1))
    assert 0 < turned < len(plain)


def test_what_else_a_sample_holds_moves_nothing(packed):
    plain = TryOnDataset([packed])[0]
    for more in ({"cloth": True}, {"flows": True}, {"cloth": True, "flows": True}):
        found = TryOnDataset([packed], **more)[0]
        assert ("cloth" in found, "flow" in found) == ("cloth" in more, "flows" in more)
        for name in ("reference", "garment", "person", "mask"):
            assert torch.equal(found[name], plain[name])
    both = TryOnDataset([packed], cloth=True, flows=True)[0]
    assert torch.equal(both["flow"], TryOnDataset([packed], flows=True)[0]["flow"])


def test_without_a_label_map_the_garments_pixels_are_not_known(tmp_path):
    bare = [replace(tiny_sample(Category.DRESSES, i), label_map=None) for i in range(2)]
    batch = TryOnDataset([write_shards(tmp_path / "bare", bare)], cloth=True)[0]
    assert (batch["cloth"] == -1).all()
