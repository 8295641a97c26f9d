"""Masks and label maps go out to labelling tools, are mended there, and come back to the pixel."""

from __future__ import annotations

import json
import shutil
import zipfile
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cli import main
from pipeline.labelling.cvat import decode_mask, encode_mask
from pipeline.labelling.label_studio import decode_brush, encode_brush
from pipeline.shards.folder import ShardFolder

REGIONS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@settings(max_examples=60, deadline=None)
@given(REGIONS)
def test_every_region_survives_both_packings(region):
    assert np.array_equal(decode_brush(encode_brush(region), region.shape), region)
    if region.any():
        told = encode_mask(region)
        box = tuple(int(told[key]) for key in ("left", "top", "width", "height"))
        assert np.array_equal(decode_mask(str(told["rle"]), box, region.shape), region)


def test_long_runs_are_cut_into_pieces():
    region = np.ones((300, 300), bool)
    assert np.array_equal(decode_brush(encode_brush(region), region.shape), region)


def test_the_runs_of_a_small_mask_are_those_of_cvats_documentation():
    region = np.zeros((6, 8), bool)
    region[2, 3:5], region[3, 2:4] = True, True
    told = encode_mask(region)
    assert told == {"rle": "1, 4, 1", "left": 2, "top": 2, "width": 3, "height": 2}


@pytest.fixture(scope="module")
def data(dataset, tmp_path_factory):
    return shutil.copytree(dataset, tmp_path_factory.mktemp("labelled") / "data")


def run(*words) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def packed(data, out, *more) -> str:
    options = ("--size", "128x96", "--mask-style", "standard", "--jobs", "1")
    return run("preprocess", data, out, *options, *more)


def exported(data, tool, out):
    run("inspect-mask", data, "--export", tool, out, "--jobs", "1", "--worst", "100")
    return out


@pytest.mark.parametrize("tool", ["cvat", "label-studio", "fiftyone"])
def test_a_mended_mask_comes_back_to_the_pixel(tool, data, tmp_path):
    folder = exported(data, tool, tmp_path / "out")
    place, name, size = mend(tool, folder)
    first, again = tmp_path / "first", tmp_path / "again"
    packed(data, first)
    shutil.copytree(first, again)
    told = packed(data, again, "--masks", place)
    category = name.rsplit("-", 1)[0]
    assert f"{category}-00000.h5 was made again" in told
    before, after = ShardFolder(first), ShardFolder(again)
    whole = np.zeros(size, np.uint8)
    whole[: size[0] // 2] = 1
    expected = cv2.resize(whole, (96, 128), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    for i, who in enumerate(after.names):
        new, old = after[i], before[i]
        if f"{who.category}-{who.person_id}" == name:
            assert np.array_equal(new.masks["standard"], expected)
        else:  # what nobody touched comes back too, from the photo's size to the shard's
            assert (new.masks["standard"] ^ old.masks["standard"]).mean() < 0.03
        assert np.array_equal(new.label_map, old.label_map)


def mend(tool, folder):
    """Hides the upper half of the first picture, as the tool would write it; what to give to
    ``--masks``, whose picture it is, and its size."""
    if tool == "fiftyone":
        path = sorted((folder / "masks/standard").glob("*.png"))[0]
        height, width = cv2.imread(str(path), 0).shape
        picture = np.zeros((height, width), np.uint8)
        picture[: height // 2] = 255
        cv2.imwrite(str(path), picture)
        return folder, path.stem, (height, width)
    if tool == "cvat":
        tree = ElementTree.parse(folder / "annotations.xml")
        image = next(iter(tree.getroot().iter("image")))
        for mask in [m for m in image if m.get("label") == "hidden (standard)"]:
            image.remove(mask)
        height, width = int(image.get("height")), int(image.get("width"))
        corners = f"0,0;{width - 1},0;{width - 1},{height // 2 - 1};0,{height // 2 - 1}"
        drawn = {"label": "hidden (standard)", "points": corners, "z_order": "99"}
        ElementTree.SubElement(image, "polygon", drawn)
        with zipfile.ZipFile(folder / "done.zip", "w") as archive:
            archive.writestr("annotations.xml", ElementTree.tostring(tree.getroot()))
        return folder / "done.zip", image.get("name")[:-4], (height, width)
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:  # accepted as they are: what was predicted is what was annotated
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
    result = tasks[0]["annotations"][0]["result"]
    (mask,) = (r for r in result if r["value"]["brushlabels"] == ["hidden (standard)"])
    size = mask["original_height"], mask["original_width"]
    region = np.zeros(size, bool)
    region[: size[0] // 2] = True
    mask["value"]["rle"] = encode_brush(region)
    (folder / "done.json").write_text(json.dumps(tasks))
    return folder / "done.json", tasks[0]["data"]["image"].rsplit("/", 1)[1][:-4], size


def test_a_mended_label_map_takes_the_place_of_the_datasets(data, tmp_path):
    folder = exported(data, "fiftyone", tmp_path / "out")
    shutil.rmtree(folder / "masks")
    path = sorted((folder / "label_maps").glob("lower_body-*.png"))[0]
    labels = cv2.imread(str(path), 0)
    labels[labels == 0] = 16
    cv2.imwrite(str(path), labels)
    told = packed(data, tmp_path / "shards", "--masks", folder, "--category", "lower_body")
    assert "Mended masks or label maps: 5 people" in told
    found = ShardFolder(tmp_path / "shards")
    at = [f"{who.category}-{who.person_id}" for who in found.names].index(path.stem)
    assert (found[at].label_map == 16).any() and not (found[at].label_map == 0).any()


def test_verify_takes_the_same_folder(data, tmp_path):
    folder = exported(data, "fiftyone", tmp_path / "out")
    few = ("--category", "dresses")
    packed(data, tmp_path / "shards", "--masks", folder, *few)
    run("preprocess", data, tmp_path / "shards", "--verify", "--masks", folder)
    without = CliRunner().invoke(
        main, ["preprocess", str(data), str(tmp_path / "shards"), "--verify"]
    )
    assert without.exit_code == 1 and "--masks" in without.output


def test_what_can_not_be_used_is_told(data, tmp_path):
    folder = exported(data, "fiftyone", tmp_path / "out")
    path = sorted((folder / "masks/standard").glob("dresses-*.png"))[0]
    turned = 255 - cv2.imread(str(path), 0)
    cv2.imwrite(str(path), turned)
    shutil.copy(path, folder / "masks/standard/dresses-nobody.png")
    options = ["--size", "128x96", "--jobs", "1", "--masks", str(folder)]
    out = str(tmp_path / "shards")
    result = CliRunner().invoke(main, ["preprocess", str(data), out, *options])
    assert result.exit_code == 1 and "dresses-nobody.png" in result.output
    assert f"{path.name}: " in result.output and "white = hidden" in result.output


def test_a_mask_may_be_made_much_smaller(data, tmp_path):
    folder = exported(data, "fiftyone", tmp_path / "out")
    path = sorted((folder / "masks/standard").glob("dresses-*.png"))[0]
    small = np.zeros(cv2.imread(str(path), 0).shape, np.uint8)
    small[-8:, :8] = 255  # beside all that is drawn
    cv2.imwrite(str(path), small)
    packed(data, tmp_path / "shards", "--masks", folder, "--category", "dresses")
    found = ShardFolder(tmp_path / "shards")
    at = [f"{who.category}-{who.person_id}" for who in found.names].index(path.stem)
    assert 0 < found[at].masks["standard"].mean() < 0.01


def test_a_mask_of_an_earlier_export_is_not_used_in_silence(data, tmp_path):
    folder = exported(data, "cvat", tmp_path / "out")
    file, name, _ = mend("cvat", folder)
    packed(data, tmp_path / "shards", "--masks", file)
    with zipfile.ZipFile(file) as archive:
        root = ElementTree.fromstring(archive.read("annotations.xml"))
    for image in root.iter("image"):
        for mask in [m for m in image if image.get("name") == f"{name}.jpg"]:
            image.remove(mask)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("annotations.xml", ElementTree.tostring(root))
    command = ["preprocess", data, tmp_path / "shards", "--masks", file, "--jobs", "1"]
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 1 and f"{name}.png" in result.output and "delete" in result.output


def test_a_folder_in_use_is_refused_before_anybody_is_scored(data):
    command = ["inspect-mask", str(data), "--export", "cvat", str(data)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and "is not empty" in result.output
    assert "leak" not in result.output


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.xml", "<a><image width='9' height='12'><mask label='hidden (tight)' rle='1, 99'"
         " left='0' top='0' width='2' height='2'/></image></a>"),
        ("b.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
        ("c.xml", "<annotations><image width='999999' height='4'/></annotations>"),
        ("d.json", "[1, 2]"),
        ("e.json", "[" * 5000),
        ("f.zip", "no archive"),
        ("g.xml", "<annotations/>"),
    ],
)  # fmt: skip
def test_broken_exports_are_one_sentence(name, content, data, tmp_path):
    (tmp_path / name).write_text(content)
    command = ["preprocess", str(data), str(tmp_path / "out"), "--masks", str(tmp_path / name)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and name in result.output and len(result.output) < 400
