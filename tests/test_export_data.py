"""``export-data``: every layout read again by a reader of its own, written from what that layout's
project opens; resumed, refused, and told on a card."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from pipeline.base.labels import Category
from pipeline.layouts import encode
from pipeline.layouts.people import source_people
from pipeline.masks.render import render_agnostic_mask
from pipeline.shards.folder import ShardFolder

PER_CATEGORY = 1
FULL = (768, 1024)


def export(*words):
    return CliRunner().invoke(main, ["export-data", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def source(sample_dataset):
    return sample_dataset


@pytest.fixture(scope="module")
def people(source):
    """Train people as the dataset has them, at full size, with their standard mask."""
    found = {}
    mine = source_people(source, tuple(Category), ["train"], PER_CATEGORY)["train"]
    for i, who in enumerate(mine.names):
        person = mine.load(i, pictures=True)
        sources = person.keypoints, person.dense_i, person.label_map
        mask = render_agnostic_mask(who.category, *sources, photo=person.photo)
        found[str(who.category), who.person_id] = (person, mask)
    return found


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    """Layout -> the folder that it was exported to, train and both tests of every category."""
    made = {}

    def write(layout, form=None):
        if (layout, form) not in made:
            out = tmp_path_factory.mktemp("export") / f"{layout}-{form}"
            words = ["--form", form] if form else []
            limit = ["--limit", PER_CATEGORY, "--jobs", 1]
            result = export(source, out, "--layout", layout, *words, *limit)
            assert result.exit_code == 0, result.output
            made[layout, form] = out
        return made[layout, form]

    return write


def opened(path, mode, size=None):
    picture = Image.open(path)
    assert picture.mode == mode and size in (None, picture.size), path
    return np.asarray(picture)


def only_black_and_white(mask):
    assert set(np.unique(mask)) == {0, 255}
    return mask > 0


def one_space(path):
    """A list as ``line.strip().split(" ")`` reads it."""
    rows = [line.rstrip("\n").split(" ") for line in path.open()]
    assert rows and all(len(row) == 2 for row in rows)
    return rows


def test_catvton_reads_dress_code(written, people):
    root = written("catvton")
    for category in Category:
        for order in ("paired", "unpaired"):
            for person, garment in one_space(root / category / f"test_pairs_{order}.txt"):
                opened(root / category / "images" / person, "RGB")
                opened(root / category / "images" / garment, "RGB")
                name = person.replace(".jpg", ".png")
                opened(root / category / "agnostic_masks" / name, "RGB")
    for (category, number), (_, mask) in people.items():
        found = opened(root / category / "agnostic_masks" / f"{number}_0.png", "RGB")
        assert (only_black_and_white(found) == mask[..., None]).all()


def test_catvton_reads_the_viton_hd_form(written):
    root = written("catvton", "viton-hd")
    for person, garment in one_space(root / "test_pairs_unpaired.txt"):
        size = Image.open(root / "test/image" / person).size
        opened(root / "test/cloth" / garment, "RGB", size)
        mask = opened(root / "test/agnostic-mask" / person.replace(".jpg", "_mask.png"), "RGB")
        only_black_and_white(mask)


def test_idm_vton_reads_the_viton_hd_form(written, people):
    root = written("idm-vton")
    for phase in ("train", "test"):
        tags = json.loads((root / phase / f"vitonhd_{phase}_tagged.json").read_text())
        names = {entry["file_name"]: entry["tag_info"] for entry in tags["data"]}
        for line in (root / f"{phase}_pairs.txt").open():
            person, garment = line.strip().split()
            for folder, name in (
                ("image", person),
                ("cloth", garment),
                ("image-densepose", person),
            ):
                opened(root / phase / folder / name, "RGB", FULL)
            mask = root / phase / "agnostic-mask" / person.replace(".jpg", "_mask.png")
            opened(mask, "RGB", FULL)
            assert names[garment][0]["tag_name"] == "item"
    for (_, number), (person, mask) in people.items():
        drawn = opened(root / "train/image-densepose" / f"{number}_00.jpg", "RGB").astype(int)
        apart = np.abs(drawn[person.dense_i == 0]).mean()
        assert apart < 1  # black ground
        for part, colour in ((1, (37, 60, 163)), (2, (20, 80, 194)), (24, (249, 251, 14))):
            here = person.dense_i == part
            if here.sum() > 2000:
                assert np.abs(np.median(drawn[here], 0) - colour).max() <= 4
        found = opened(root / "train/agnostic-mask" / f"{number}_00_mask.png", "RGB")
        assert (only_black_and_white(found) == mask[..., None]).all()


def test_idm_vton_reads_dress_code(written):
    root = written("idm-vton", "dresscode")
    captions = [line.split() for line in (root / "dc_caption.txt").open()]
    assert all(name.endswith("_1.jpg") and words for name, *words in captions)
    for category in Category:
        for line in (root / category / "test_pairs_paired.txt").open():
            person, garment = line.split()
            number = person.removesuffix("_0.jpg")
            for path in ("images/" + person, "images/" + garment, "image-densepose/" + person):
                opened(root / category / path, "RGB", FULL)
            opened(root / category / f"skeletons/{number}_5.jpg", "RGB", FULL)
            labels = opened(root / category / f"label_maps/{number}_4.png", "P", FULL)
            assert labels.max() <= 17
            joints = json.loads((root / category / f"keypoints/{number}_2.json").read_text())
            assert np.array(joints["keypoints"]).shape == (18, 4)


def test_ootdiffusion_gets_its_names_and_greys(written, people):
    root = written("ootdiffusion")
    names = {"upper_body": "upperbody", "lower_body": "lowerbody", "dresses": "dress"}
    for (category, number), (person, mask) in people.items():
        folder = root / names[category]
        found = only_black_and_white(opened(folder / f"mask/{number}_0.png", "L"))
        grey = opened(folder / f"agnostic/{number}_0.png", "RGB")
        assert (found == mask).all() and (grey[mask] == 127).all()
        assert (grey[~mask] == person.photo[~mask]).all()
        joints = json.loads((folder / f"keypoints/{number}_0.json").read_text())
        pairs = np.array(joints["pose_keypoints_2d"])
        there = np.isfinite(person.keypoints[:, 0])
        wanted = person.keypoints[there, :2] / 2
        assert pairs.shape == (18, 2) and np.allclose(pairs[there], wanted, atol=0.01)
        assert (pairs[~there] == 0).all()


def test_ladi_vton_reads_dress_code(written):
    root = written("ladi-vton")
    everyone = [line.split() for line in (root / "test_pairs_paired.txt").open()]
    assert sorted({int(row[2]) for row in everyone}) == [0, 1, 2]
    for category in Category:
        for line in (root / category / "train_pairs.txt").open():
            person, garment = line.split()
            number = person.removesuffix("_0.jpg")
            cloth = opened(root / category / "images" / garment, "RGB")
            region = opened(root / category / "masks" / garment.replace("jpg", "png"), "L")
            inside = only_black_and_white(region)
            assert 0.05 < inside.mean() < 0.95
            assert (cloth[~inside] > 200).mean() > 0.98  # the ground of a shop's picture is light
            opened(root / category / f"label_maps/{number}_4.png", "P")
            assert (root / category / f"keypoints/{number}_2.json").is_file()


def test_stableviton_and_hr_viton_read_the_viton_hd_layout(written, people):
    root = written("stableviton")
    for phase in ("train", "test"):
        for line in (root / f"{phase}_pairs.txt").open():
            person, garment = line.split()
            stem = person.removesuffix(".jpg")
            here = root / phase
            photo = opened(here / "image" / person, "RGB", FULL)
            opened(here / "cloth" / garment, "RGB", FULL)
            opened(here / "cloth-mask" / garment, "L", FULL)
            opened(here / "image-densepose" / person, "RGB", FULL)
            opened(here / "gt_cloth_warped_mask" / person, "L", FULL)
            opened(here / "openpose_img" / f"{stem}_rendered.png", "RGB", FULL)
            mask = only_black_and_white(
                opened(here / "agnostic-mask" / f"{stem}_mask.png", "RGB", FULL)
            )[..., 0]
            agnostic = opened(here / "agnostic-v3.2" / person, "RGB", FULL).astype(int)
            assert np.abs(np.median(agnostic[mask], 0) - 128).max() <= 1
            assert np.abs(agnostic[~mask] - photo[~mask]).mean() < 4
            parse = opened(here / "image-parse-v3" / f"{stem}.png", "P", FULL)
            bare = opened(here / "image-parse-agnostic-v3.2" / f"{stem}.png", "P", FULL)
            assert parse.max() <= 19 and (bare[mask] == 0).all()
            assert (bare[~mask] == parse[~mask]).all()
            told = json.loads((here / "openpose_json" / f"{stem}_keypoints.json").read_text())
            rows = np.array(told["people"][0]["pose_keypoints_2d"]).reshape(-1, 3)
            assert rows.shape == (25, 3)
    for (_, number), (person, _) in people.items():
        path = root / "train/openpose_json" / f"{number}_00_keypoints.json"
        rows = np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"])
        rows = rows.reshape(25, 3)
        for body_25, coco in ((1, 1), (2, 2), (7, 7), (9, 8), (12, 11), (18, 17)):
            joint = np.nan_to_num(person.keypoints[coco, :2])
            assert np.allclose(rows[body_25, :2], joint, atol=0.01)


def test_plain_folders_hold_what_their_names_say(written, people):
    root = written("folder")
    for (category, number), (person, mask) in people.items():
        read = lambda name, mode: opened(root / category / name / f"{number}.png", mode)  # noqa: B023
        assert (read("photo", "RGB") == person.photo).all()
        assert (read("mask", "L") == mask * np.uint8(255)).all()
        assert (read("agnostic", "RGB") == person.photo * ~mask[..., None]).all()
        assert (read("densepose", "L") == person.dense_i).all()
        assert (read("label_map", "P") == person.label_map).all()
    lines = (root / "pairs.csv").read_text().splitlines()
    assert lines[0] == "split,category,person,garment" and len(lines) == 1 + 3 * 3 * PER_CATEGORY


def test_webdataset_groups_each_persons_files(written, people):
    import webdataset

    root = written("webdataset")
    tars = sorted(str(p) for p in (root / "data").glob("train-*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert len(samples) == len(people)
    for sample in samples:
        about = json.loads(sample["json"])
        person, mask = people[about["category"], about["person_id"]]
        found = np.asarray(Image.open(io.BytesIO(sample["mask.png"])))
        assert ((found > 0) == mask).all() and len(about["keypoints"]) == 18
        dense = np.asarray(Image.open(io.BytesIO(sample["densepose.png"])))
        assert (dense == person.dense_i).all()
    with tarfile.open(tars[0]) as tar:
        assert all(entry.mtime == 0 and entry.isfile() for entry in tar)


def test_datasets_loads_the_parquet_offline(written, people, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    from datasets import load_dataset

    loaded = load_dataset(str(written("parquet")), cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "test_paired", "test_unpaired"}
    assert len(loaded["train"]) == len(people)
    for row in loaded["train"]:
        person, mask = people[row["category"], row["person_id"]]
        assert row["photo"].size == FULL and row["photo"].mode == "RGB"
        assert ((np.asarray(row["mask"]) > 0) == mask).all()
        assert (np.asarray(row["label_map"]) == person.label_map).all()


def test_masks_out_of_shards_are_the_shards_own(sample_shards, tmp_path):
    shards, out = sample_shards["train"], tmp_path / "out"
    assert export(shards, out, "--layout", "folder", "--style", "loose").exit_code == 0
    folder = ShardFolder(shards)
    for sample in (folder[i] for i in range(len(folder))):
        path = out / sample.category / "mask" / f"{sample.who.person_id}.png"
        assert ((opened(path, "L") > 0) == sample.masks["loose"]).all()


def test_photos_of_the_asked_size_are_copied_byte_by_byte(source, tmp_path):
    root = tmp_path / "out"
    export(source, root, "--layout", "catvton", "--limit", 1, "--size", "256x192")
    photos = list(root.glob("*/images/*_0.jpg"))
    assert len(photos) >= 6
    for path in photos:
        assert path.read_bytes() == (source / path.relative_to(root)).read_bytes()


def test_an_export_that_was_stopped_goes_on_and_a_second_run_writes_nothing(source, tmp_path):
    out = tmp_path / "out"
    words = (source, out, "--layout", "folder", "--split", "train", "--limit", 1, "--jobs", 1)
    assert export(*words).exit_code == 0
    whole = {p: p.read_bytes() for p in out.rglob("*.png")}
    lost = next(iter(whole))
    lost.unlink()
    assert export(*words).exit_code == 0
    assert {p: p.read_bytes() for p in out.rglob("*.png")} == whole
    again = export(*words)
    assert "there already" in again.output


def test_a_second_split_joins_the_first_in_lists_and_card(source, tmp_path):
    out = tmp_path / "out"
    words = (source, out, "--layout", "folder", "--limit", 1)
    export(*words, "--split", "train")
    export(*words, "--split", "test_paired")
    splits = {line.split(",")[0] for line in (out / "pairs.csv").read_text().splitlines()[1:]}
    assert splits == {"train", "test_paired"}
    card = (out / "README.md").read_text()
    assert "| train | 1 | 1 | 1 |" in card and "research" in card and "`standard`" in card


def test_another_style_in_the_same_folder_is_refused(source, tmp_path):
    out = tmp_path / "out"
    words = (source, out, "--layout", "folder", "--split", "train", "--limit", 1)
    assert export(*words).exit_code == 0
    refused = export(*words, "--style", "tight")
    assert refused.exit_code == 1 and "style was 'standard', is 'tight'" in refused.output


def test_people_without_what_the_reader_opens_are_listed(sample_dataset, tmp_path):
    source, out = shutil.copytree(sample_dataset, tmp_path / "data"), tmp_path / "out"
    gone = sorted((source / "dresses/dense").glob("*_5.png"))[0]
    gone.unlink()
    words = (source, out, "--layout", "idm-vton", "--category", "dresses", "--split", "train")
    refused = export(*words)
    assert refused.exit_code == 1 and "no DensePose map" in refused.output
    assert "--max-skips 1" in refused.output and not (out / "train_pairs.txt").exists()
    assert export(*words, "--max-skips", 1).exit_code == 0
    assert gone.name[:6] not in (out / "train_pairs.txt").read_text()
    assert gone.name[:6] in (out / "README.md").read_text()


@pytest.mark.parametrize(
    "words, told",
    [
        (["--layout", "ladi-vton", "--form", "viton-hd"], "has no form viton-hd"),
        (["--layout", "idm-vton", "--size", "512x384"], "takes no other"),
        (["--layout", "folder", "--style", "wide"], "is not one of 'standard'"),
    ],
)
def test_what_cannot_be_had_is_told(source, tmp_path, words, told):
    result = CliRunner().invoke(main, ["export-data", str(source), str(tmp_path / "o"), *words])
    assert result.exit_code in (1, 2) and told in result.output


def test_cihp_classes_follow_atr(people):
    for person, _ in people.values():
        classes = encode.to_cihp(person.label_map, person.dense_i)
        assert (classes[person.label_map == 2] == 2).all()
        assert (classes[person.label_map == 14] == 14).all()
        head = person.label_map == 11
        assert set(np.unique(classes[head])) <= {10, 13}
