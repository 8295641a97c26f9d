"""Preprocessing: what goes into the folder, what bad input gets, what stops a run."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from folders import contents
from PIL import Image
from tiny_dresscode import FIRST, SIZE, SMALL, write_dataset

from cli import main
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.dataset.pose import render_pose
from pipeline.dataset.readers import read_dense, read_image, read_keypoints, read_label_map
from pipeline.masks.render import STYLES, render_agnostic_mask
from pipeline.preprocess.config import PreprocessConfig
from pipeline.preprocess.plan import make_plan
from pipeline.preprocess.run import BadPairs, preprocess
from pipeline.preprocess.verify import verify
from pipeline.shards.folder import ShardFolder, ShardReader, read_index


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the dataset that a test may damage."""
    return shutil.copytree(dataset, tmp_path / "data")


def run(*words) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("category", list(Category))
def test_a_packed_person_is_what_the_readers_and_the_renderer_give(dataset, finished, category):
    sample = ShardFolder(finished, [category])[2]
    base, number = dataset / str(category), f"{FIRST[category, 'train'] + 2:06d}"
    assert sample.who.person_id == sample.who.garment_id == number
    keypoints = read_keypoints(base / f"keypoints/{number}_2.json", SIZE)
    labels = read_label_map(base / f"label_maps/{number}_4.png", SIZE)
    dense = read_dense(base / f"dense/{number}_5.png", SIZE)
    assert np.array_equal(sample.keypoints, keypoints, equal_nan=True)
    assert np.array_equal(sample.label_map, labels) and np.array_equal(sample.dense_i, dense)
    assert set(sample.masks) == set(STYLES)
    photo = read_image(base / f"images/{number}_0.jpg", SIZE, reduced=True)
    for style in STYLES:
        mask = render_agnostic_mask(category, keypoints, dense, labels, style, photo)
        assert np.array_equal(sample.masks[style], mask)
    assert cv2.PSNR(sample.photo, photo) > 38
    assert (
        cv2.PSNR(sample.garment, read_image(base / f"images/{number}_1.jpg", SIZE, reduced=True))
        > 38
    )
    assert render_pose(sample.keypoints, SIZE).any()


def test_unpaired_people_come_with_the_garment_of_another(dataset, tmp_path):
    preprocess(dataset, tmp_path / "out", split="test_unpaired", **SMALL)
    for sample in ShardFolder(tmp_path / "out"):
        assert not sample.who.paired and sample.who.split == "test_unpaired"
        own = read_image(
            dataset / str(sample.category) / f"images/{sample.who.garment_id}_1.jpg",
            SIZE,
            reduced=True,
        )
        assert cv2.PSNR(sample.garment, own) > 38


def test_raw_images_are_exact(dataset, tmp_path):
    preprocess(dataset, tmp_path / "out", images="raw", limit=1, **SMALL)
    for sample in ShardFolder(tmp_path / "out"):
        path = dataset / str(sample.category) / f"images/{sample.who.person_id}_0.jpg"
        assert np.array_equal(sample.photo, read_image(path, SIZE))


def test_a_shard_holds_one_category_and_at_most_so_many_people(finished):
    sizes = {path.name: len(ShardReader(path)) for path in sorted(finished.glob("*.h5"))}
    assert sizes == {f"{c}-{n:05d}.h5": (2, 2, 1)[n] for c in Category for n in range(3)}


def test_the_limit_counts_people_that_are_there(copy, tmp_path):
    """A copied part of the dataset need not begin with the list's first people."""
    for path in (copy / "dresses").rglob("020714*"):
        path.unlink()
    summary = preprocess(copy, tmp_path / "out", limit=2, **SMALL)
    assert (summary.packed, summary.skipped) == (6, ())
    assert [r.person_id for r in ShardFolder(tmp_path / "out", [Category.DRESSES]).names] == [
        "020715",
        "020716",
    ]


def test_a_part_of_the_dataset_without_densepose_or_a_category_works(copy, tmp_path):
    shutil.rmtree(copy / "upper_body")
    for category in ("lower_body", "dresses"):
        shutil.rmtree(copy / category / "dense")
    assert preprocess(copy, tmp_path / "out", **SMALL).packed == 10
    assert ShardFolder(tmp_path / "out")[0].dense_i is None


@pytest.mark.parametrize("jobs, backend", [(2, "loky"), (2, "threading"), (1, "threading")])
def test_jobs_and_backend_change_no_byte(dataset, finished, tmp_path, jobs, backend):
    threads, seen = cv2.getNumThreads(), []
    summary = preprocess(
        dataset, tmp_path / "out", jobs=jobs, backend=backend, progress=seen.append, **SMALL
    )
    assert contents(tmp_path / "out") == contents(finished)
    assert (summary.packed, summary.made, sum(seen)) == (15, 9, 15)
    assert cv2.getNumThreads() == threads


def test_the_place_of_the_dataset_changes_no_byte(copy, finished, tmp_path):
    preprocess(copy, tmp_path / "elsewhere", **SMALL)
    assert contents(tmp_path / "elsewhere") == contents(finished)


def spoil(root, kind: str):
    """Damages one file of dresses/020715; what the skip's reason must say."""
    base = root / "dresses"
    image, keypoints, labels = (
        (base / f"images/020715_{n}.jpg" for n in (0, 1)),
        base / "keypoints/020715_2.json",
        base / "label_maps/020715_4.png",
    )
    photo, garment = image
    if kind == "cut photo":
        photo.write_bytes(photo.read_bytes()[:2000])
    elif kind == "missing garment":
        garment.unlink()
    elif kind == "empty keypoints":
        keypoints.write_bytes(b"")
    elif kind == "17 joints":
        keypoints.write_text(
            json.dumps({"keypoints": json.loads(keypoints.read_text())["keypoints"][:17]})
        )
    elif kind == "label 25":
        cv2.imwrite(str(labels), np.full((256, 192), 25, np.uint8))
    elif kind == "photo of another shape":
        cv2.imwrite(str(photo), np.zeros((100, 300, 3), np.uint8))
    elif kind == "neither map":
        labels.unlink()
        (base / "dense/020715_5.png").unlink()


KINDS = {
    "cut photo": "images/020715_0.jpg",
    "missing garment": "images/020715_1.jpg",
    "empty keypoints": "keypoints/020715_2.json",
    "17 joints": "keypoints/020715_2.json",
    "label 25": "label_maps/020715_4.png",
    "photo of another shape": "images/020715_0.jpg",
    "neither map": "label_maps/020715_4.png",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_pair_is_skipped_and_recorded(copy, finished, tmp_path, kind):
    spoil(copy, kind)
    summary = preprocess(copy, tmp_path / "out", max_skips=1, **SMALL)
    assert summary.packed == 14
    (entry,) = read_index(tmp_path / "out")["skipped"]
    assert (entry["category"], entry["person_id"], entry["shard"]) == (
        "dresses",
        "020715",
        "dresses-00000.h5",
    )
    assert entry["file"] == f"dresses/{KINDS[kind]}" and entry["reason"]
    assert str(copy) not in (tmp_path / "out/index.json").read_text()
    untouched = {
        name: sha
        for name, sha in contents(finished).items()
        if "dresses" not in name and "json" not in name
    }
    assert untouched.items() <= contents(tmp_path / "out").items()


def test_too_many_bad_pairs_end_the_run_with_the_list_and_can_be_allowed_later(copy, tmp_path):
    spoil(copy, "cut photo")
    (copy / "upper_body/keypoints/000003_2.json").write_text("{}")
    code, told = run(
        "preprocess", copy, tmp_path / "out", "--size", "128x96", "--jobs", 1, "--max-skips", 1
    )
    assert code == 1 and "2 bad pairs, expected at most 1" in told
    assert "dresses/020715" in told and "upper_body/000003" in told and "--max-skips" in told
    assert not (tmp_path / "out/index.json").exists()
    code, told = run(
        "preprocess", copy, tmp_path / "out", "--size", "128x96", "--jobs", 1, "--max-skips", 2
    )
    assert code == 0 and "13 packed, 2 skipped" in told and "already" in told


def test_too_many_bad_pairs_end_the_run_early(copy, tmp_path):
    for path in (copy / "upper_body/keypoints").iterdir():
        path.write_text("{}")
    with pytest.raises(BadPairs) as caught:
        preprocess(copy, tmp_path / "out", max_skips=1, **SMALL)
    assert 2 <= len(caught.value.skipped) <= 5
    assert not list((tmp_path / "out").glob("dresses-00002*")), (
        "the last shard was begun all the same"
    )


def test_a_dataset_of_bad_pairs_alone_makes_no_folder_that_looks_finished(copy, tmp_path):
    for path in copy.rglob("*_2.json"):
        path.write_text("{}")
    with pytest.raises(DataError, match="15 bad pairs"):
        preprocess(copy, tmp_path / "out", max_skips=100, **SMALL)
    assert not (tmp_path / "out/index.json").exists()


def test_mended_files_are_packed_by_the_next_run(copy, finished, tmp_path):
    spoil(copy, "missing garment")
    assert preprocess(copy, tmp_path / "out", max_skips=1, **SMALL).packed == 14
    kept = preprocess(copy, tmp_path / "out", max_skips=1, **SMALL)
    assert (kept.made, len(kept.skipped)) == (0, 1)
    write_dataset(copy, train=5, test=3)
    mended = preprocess(copy, tmp_path / "out", **SMALL)
    assert (mended.made, mended.packed) == (1, 15)
    assert contents(tmp_path / "out") == contents(finished)


def test_excluded_people_are_left_out(dataset, tmp_path):
    (tmp_path / "bad.txt").write_text("# known\ndresses/020714\nupper_body/000002  # a skirt\n")
    code, told = run(
        "preprocess",
        dataset,
        tmp_path / "out",
        "--size",
        "128x96",
        "--exclude",
        tmp_path / "bad.txt",
        "--jobs",
        1,
    )
    assert code == 0 and "13 packed, 0 skipped" in told
    keys = {record.key for record in ShardFolder(tmp_path / "out").names}
    assert keys.isdisjoint({"dresses/020714", "upper_body/000002"})


@pytest.mark.parametrize(
    "change, named",
    [
        ({"size_hw": (96, 64)}, r"size_hw was \[64, 64\], is \[96, 64\]"),
        ({"images": "raw"}, "images was jpeg, is raw"),
        ({"styles": ("tight",)}, "styles was"),
        ({"people_per_shard": 3}, "people_per_shard was 2, is 3"),
        ({"limit": 4}, "limit was None, is 4; people of dresses: number was 5, is 4"),
        ({"split": "test_paired"}, "split was train, is test_paired"),
        ({"categories": (Category.DRESSES,)}, "category lower_body was in it, is not in it"),
        ({"exclude": {"000001"}}, "people of upper_body: number was 5, is 4"),
    ],
)
def test_another_configuration_in_the_same_folder_is_refused_and_named(
    dataset, finished, change, named
):
    before = contents(finished)
    with pytest.raises(DataError, match=f"another configuration: .*{named}"):
        preprocess(dataset, finished, **{**SMALL, **change})
    assert contents(finished) == before


def test_another_dataset_or_mask_version_in_the_same_folder_is_refused(
    copy, dataset, finished, monkeypatch
):
    (copy / "dresses/train_pairs.txt").write_text(
        "".join(f"{n:06d}_0.jpg {n:06d}_1.jpg\n" for n in (20715, 20714, 20716, 20717, 20718))
    )
    with pytest.raises(DataError, match="people of dresses: another list or order"):
        preprocess(copy, finished, **SMALL)
    monkeypatch.setattr("pipeline.preprocess.plan.MASK_VERSION", 10**6)
    with pytest.raises(DataError, match="mask_version was .*, is 1000000"):
        preprocess(dataset, finished, **SMALL)


def test_a_configuration_and_its_fields_say_the_same(dataset, tmp_path):
    config = PreprocessConfig(limit=1, size_hw=(64, 64), styles=("tight",))
    preprocess(dataset, tmp_path / "config", config)
    preprocess(dataset, tmp_path / "fields", limit=1, size_hw=(64, 64), styles=("tight",))
    for path in (tmp_path / "config").iterdir():
        assert path.read_bytes() == (tmp_path / "fields" / path.name).read_bytes()
    assert preprocess(dataset, tmp_path / "config", config).kept == 3


@pytest.mark.parametrize(
    "options, told",
    [
        ({"size_hw": (100, 64)}, "multiples of 32"),
        ({"images": "webp"}, "jpeg or raw"),
        ({"styles": ("wide",)}, "wide"),
        ({"styles": ()}, "at least one"),
        ({"backend": "ray"}, "loky or threading or dask"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "backend dask"),
        ({"split": "validation"}, "validation"),
    ],
)
def test_impossible_options_are_errors(dataset, tmp_path, options, told):
    with pytest.raises(DataError, match=told):
        preprocess(dataset, tmp_path / "out", **{**SMALL, **options})


def test_a_missing_or_empty_dataset_is_an_error(tmp_path):
    for root in (tmp_path / "none", tmp_path):
        code, told = run("preprocess", root, tmp_path / "out")
        assert code == 1 and told.startswith("Error: ") and not (tmp_path / "out").exists()


def test_a_list_without_its_people_is_an_error(copy, tmp_path):
    for category in Category:
        for folder in ("images", "keypoints", "label_maps", "dense"):
            shutil.rmtree(copy / str(category) / folder)
    with pytest.raises(DataError, match="none of the 15 people of train is there"):
        make_plan(copy)


def test_dry_run_prints_the_plan_and_writes_nothing(dataset, tmp_path):
    code, told = run("preprocess", dataset, tmp_path / "out", "--limit", 3, "--dry-run")
    plan = json.loads(told)
    assert code == 0 and plan["people"] == 9 and plan["configuration"]["size_hw"] == [512, 384]
    assert [shard["people"] for shard in plan["shards"]] == [3, 3, 3]
    assert not (tmp_path / "out").exists()


def test_a_size_that_the_network_cannot_take_is_bad_input_and_a_missing_argument_wrong_usage(
    dataset, tmp_path
):
    code, told = run("preprocess", dataset, tmp_path / "out", "--size", "500x384")
    assert code == 1 and "multiples of 32" in told and not (tmp_path / "out").exists()
    assert run("preprocess", dataset)[0] == 2


def test_the_synthetic_dataset_goes_through_every_split(sample_shards):
    people = {split: ShardFolder(folder) for split, folder in sample_shards.items()}
    assert {split: len(p) for split, p in people.items()} == {
        "train": 12,
        "test_paired": 6,
        "test_unpaired": 6,
    }
    for sample in people["test_unpaired"]:
        assert sample.who.garment_id != sample.who.person_id
        assert 0.03 < sample.masks["standard"].mean() < 0.8


def test_real_people_are_packed_whole(real_people, tmp_path):
    summary = preprocess(real_people, tmp_path / "out", size_hw=(256, 192))
    assert summary.packed == 3 and not verify(tmp_path / "out").problems


def test_a_map_without_the_garment_is_skipped_and_told(tmp_path):
    root = write_dataset(tmp_path / "data", categories=(Category.LOWER_BODY,), train=3, test=1)
    path = root / "lower_body/label_maps/013564_4.png"
    with Image.open(path) as image:
        labels, palette = np.array(image), image.getpalette()
    labels[np.isin(labels, (5, 6))] = 4
    written = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    written.putpalette(palette)
    written.save(path)
    with pytest.raises(DataError, match="skirt or pants covers 0.0% of the person"):
        preprocess(root, tmp_path / "out", size_hw=(128, 96))
    done = preprocess(root, tmp_path / "out", size_hw=(128, 96), max_skips=1)
    assert done.packed == 2 and len(done.skipped) == 1


def test_parts_made_apart_end_in_the_same_folder_as_one_run(dataset, finished, tmp_path):
    from pipeline.preprocess.run import run_part, run_plan

    out = tmp_path / "out"
    plan = make_plan(dataset, PreprocessConfig(**SMALL))
    packed = [run_part(plan, out, (number, 3)).packed for number in (2, 3, 1)]
    assert sum(packed) == plan.people and not (out / "index.json").exists()
    assert run_part(plan, out, (2, 3)).made == 0
    whole = run_plan(plan, out)
    assert whole.made == 0 and whole.packed == plan.people
    assert contents(out) == contents(finished)


def test_a_part_that_is_none_is_told(dataset, tmp_path):
    for part in ("0/3", "4/3", "3", "a/b"):
        words = ["preprocess", str(dataset), str(tmp_path / "out"), "--part", part]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2 and "1/8" in done.output
