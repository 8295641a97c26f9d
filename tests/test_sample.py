"""The synthetic dataset: formats as Dress Code's, modalities that agree, faults at the rates of
real files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from pipeline.base.errors import DataError
from pipeline.base.labels import Atr, Category, Joint
from pipeline.dataset.pose import render_skeleton
from pipeline.sample import (
    POSES,
    WARDROBE,
    describe_wearer,
    make_sample,
    person_files,
    sample_ids,
)
from pipeline.sample.census import measure_bodies, measure_garments
from pipeline.sample.scene import joints_in_photo, render_person
from pipeline.sample.statistics import GARMENT_LEVELS, LEVELS, real_statistics
from pipeline.sample.wearer import defect_rates

SIZE = (256, 192)
ALL = [(c, i) for c in Category for i in sample_ids(c, "train", 4) + sample_ids(c, "test", 2)]
MODALITIES = (
    "images/{}_0.jpg",
    "images/{}_1.jpg",
    "keypoints/{}_2.json",
    "skeletons/{}_5.jpg",
    "label_maps/{}_4.png",
    "dense/{}_5.png",
    "dense/{}_5_uv.npz",
)


def everyone(count: int):
    return [describe_wearer(c, i) for c in Category for i in sample_ids(c, "train", count)]


def find(wanted, count: int = 400):
    return next(p for p in everyone(count) if wanted(p))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def keypoints(root: Path, category, person_id: str) -> np.ndarray:
    return np.array(
        json.loads((root / str(category) / f"keypoints/{person_id}_2.json").read_text())[
            "keypoints"
        ]
    )


def test_every_person_has_every_modality_and_nothing_is_left_over(sample_dataset):
    expected = {f"{c}/{m.format(i)}" for c, i in ALL for m in MODALITIES}
    lists = {"train_pairs.txt", "test_pairs_paired.txt", "test_pairs_unpaired.txt"}
    expected |= {f"{c}/{name}" for c in Category for name in lists} | lists
    expected |= {"multigarment_test_triplets.txt", "sample.json"}
    assert set(digest(sample_dataset)) == expected


@pytest.mark.parametrize("category", Category)
def test_pictures_have_the_modes_and_sizes_of_the_dataset(sample_dataset, category):
    for person_id in sample_ids(category, "train", 4):
        modes = {name: "RGB" for name in MODALITIES if name.endswith("jpg")}
        modes |= {"label_maps/{}_4.png": "P", "dense/{}_5.png": "L"}
        for name, mode in modes.items():
            with Image.open(sample_dataset / str(category) / name.format(person_id)) as image:
                assert (image.mode, image.size) == (mode, (192, 256)), name


def test_label_maps_hold_indices_and_skirts_as_trousers(sample_dataset):
    seen = set()
    for category, person_id in ALL:
        with Image.open(sample_dataset / str(category) / f"label_maps/{person_id}_4.png") as image:
            palette = np.array(image.getpalette()).reshape(-1, 3)
            seen |= set(np.unique(np.asarray(image)).tolist())
    assert palette[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert Atr.SKIRT not in seen and max(seen) <= Atr.SCARF
    assert {
        Atr.UPPER_CLOTHES,
        Atr.PANTS,
        Atr.DRESS,
        Atr.HEAD,
        Atr.LEFT_SHOE,
        Atr.RIGHT_SHOE,
    } <= seen


def test_uv_is_float32_and_exactly_zero_outside_the_body(sample_dataset):
    for category, person_id in ALL:
        folder = sample_dataset / str(category) / "dense"
        with np.load(folder / f"{person_id}_5_uv.npz") as archive:
            uv = archive["uv"]
        dense = np.asarray(Image.open(folder / f"{person_id}_5.png"))
        assert uv.shape == (2, *SIZE) and uv.dtype == np.float32
        assert not uv[:, dense == 0].any() and uv.min() > -0.04 and uv.max() < 1.03
        assert (np.abs(uv[:, dense > 0]).sum(0) > 0).mean() > 0.99
        assert dense.max() <= 24


def test_keypoints_lie_in_their_frame_with_running_ids(sample_dataset):
    for category, person_id in ALL:
        rows = keypoints(sample_dataset, category, person_id)
        assert rows.shape == (18, 4)
        here = rows[:, 2] > 0
        assert (rows[~here] == [-1, -1, 0, -1]).all()
        assert (
            (rows[here, 0] >= 0).all()
            and (rows[here, 0] < 384).all()
            and (rows[here, 1] < 512).all()
        )
        np.testing.assert_array_equal(rows[:, :2], np.round(rows[:, :2]))
        assert (np.diff(rows[here, 3]) > 0).all()
        head = rows[[Joint.NOSE, Joint.R_EYE, Joint.L_EYE, Joint.R_EAR, Joint.L_EAR]]
        assert (head[head[:, 2] > 0, 1] == 0).all()


def test_skeleton_is_drawn_from_the_stored_keypoints(sample_dataset):
    rows = keypoints(sample_dataset, "dresses", "020714")
    drawn = render_skeleton(rows[:, :3] * (0.5, 0.5, 1), SIZE).astype(int)
    stored = np.asarray(Image.open(sample_dataset / "dresses/skeletons/020714_5.jpg")).astype(int)
    assert np.abs(drawn - stored).mean() < 2 < np.abs(stored).mean()


def test_lists_pair_own_garments_and_unpaired_ones_others(sample_dataset):
    for category in Category:
        folder = sample_dataset / str(category)
        for name, own in (
            ("train_pairs", True),
            ("test_pairs_paired", True),
            ("test_pairs_unpaired", False),
        ):
            text = (folder / f"{name}.txt").read_text()
            assert text.endswith("\n")
            rows = [line.split("\t") for line in text.splitlines()]
            assert rows and all((person[:6] == garment[:6]) == own for person, garment in rows)
            assert all((folder / "images" / file).is_file() for row in rows for file in row)
    whole = [
        line.split("\t")
        for line in (sample_dataset / "test_pairs_unpaired.txt").read_text().splitlines()
    ]
    assert [row[2] for row in whole] == ["0", "0", "1", "1", "2", "2"]
    triplets = (sample_dataset / "multigarment_test_triplets.txt").read_text().splitlines()
    assert len(triplets) == 6 and all(len(row.split("\t")) == 3 for row in triplets)


def test_a_seed_gives_the_same_bytes_whatever_the_workers_and_the_number_of_people(tmp_path):
    one = make_sample(
        tmp_path / "one", 2, (128, 96), 5, 1, test_pairs=1, categories=(Category.DRESSES,)
    ).out
    two = make_sample(
        tmp_path / "two", 3, (128, 96), 5, 2, test_pairs=1, categories=(Category.DRESSES,)
    ).out
    first, second = digest(one), digest(two)
    shared = [
        name for name in first if name in second and "pairs" not in name and name.count("/") == 2
    ]
    assert len(shared) == 3 * len(MODALITIES)
    assert all(first[name] == second[name] for name in shared)


def test_another_seed_gives_other_people():
    ids = sample_ids(Category.UPPER_BODY, "train", 20)
    poses = [
        [
            (p.pose, p.garment.pattern, p.skin)
            for p in (describe_wearer(Category.UPPER_BODY, i, seed) for i in ids)
        ]
        for seed in (0, 1)
    ]
    assert poses[0] != poses[1]


@pytest.mark.parametrize("pose", POSES)
def test_joints_lie_on_the_body_in_every_pose(pose):
    person = find(lambda p: p.pose == pose, 2500)
    picture, body, _ = render_person(person, SIZE)
    body_map = cv2.dilate(picture.dense, np.ones((5, 5), np.uint8))
    for x, y in joints_in_photo(body) / 4:
        if 0 <= x < SIZE[1] and y < SIZE[0] and y > 0:
            assert body_map[int(y), int(x)], (person.id, x, y)


def test_densepose_lies_inside_the_silhouette(sample_dataset):
    for category, person_id in ALL:
        folder = sample_dataset / str(category)
        dense = np.asarray(Image.open(folder / f"dense/{person_id}_5.png"))
        labels = np.asarray(Image.open(folder / f"label_maps/{person_id}_4.png"))
        assert (labels[dense > 0] > 0).mean() > 0.98
        assert (dense > 0).mean() > 0.1


@pytest.mark.parametrize("category", Category)
def test_photo_changes_where_the_label_map_says_that_cloth_ends(category):
    person = find(
        lambda p: (
            p.category is category
            and p.background == "white"
            and not p.extras
            and p.garment.pattern == "plain"
            and p.garment.colours[0] in ("navy", "ink", "burgundy", "emerald")
        )
    )
    picture, _, _ = render_person(person, (512, 384))
    cloth = (picture.labels == person.garment.cut.label).astype(np.uint8)
    person_there = cv2.dilate((picture.labels > 0).astype(np.uint8), np.ones((5, 5))) > 0
    background = ~person_there & (np.arange(512) < 300)[:, None]
    inside = cv2.erode(cloth, np.ones((5, 5))) > 0
    assert picture.photo[background].mean() > 235 and picture.photo[inside].mean() < 120


def test_the_worn_garment_has_the_colours_of_the_one_in_the_shop():
    for person in everyone(5):
        if person.garment.pattern != "plain":
            continue
        files = person_files(person.category, person.id, 0, SIZE)
        photo, shop = (
            cv2.imdecode(np.frombuffer(files[f"images/{person.id}_{k}.jpg"], np.uint8), 1)
            for k in (0, 1)
        )
        picture, _, _ = render_person(person, SIZE)
        worn = np.median(
            photo[
                cv2.erode(np.uint8(picture.labels == person.garment.cut.label), np.ones((3, 3))) > 0
            ],
            0,
        )
        flat = np.median(shop[shop.min(2) < 236], 0)
        if len(person.worn) < 3 and person.garment.colours[0] not in ("white", "cream"):
            assert np.abs(worn - flat).max() < 60, person.id


def test_faults_come_at_the_rates_of_real_files():
    people = [describe_wearer(Category.UPPER_BODY, f"{i:06d}", 3) for i in range(4000)]
    seen = Counter(defect for person in people for defect in person.defects)
    for name in (
        "missing r_wrist",
        "missing l_wrist",
        "missing l_elbow",
        "missing r_elbow",
        "missing l_ear",
        "label fragment",
    ):
        expected = defect_rates(Category.UPPER_BODY)[name] * len(people)
        assert abs(seen[name] - expected) < 4 * expected**0.5, name


def test_missing_joints_are_stored_as_missing():
    person = find(lambda p: "missing l_wrist" in p.defects)
    files = person_files(person.category, person.id, 0, (128, 96))
    rows = json.loads(files[f"keypoints/{person.id}_2.json"])["keypoints"]
    assert rows[Joint.L_WRIST] == [-1, -1, 0, -1]


def test_wrong_dense_patches_lie_below_skirts_of_frontal_people():
    person = find(
        lambda p: (
            "wrong dense patches" in p.defects
            and p.pose != "seen from behind"
            and p.garment.hem > 450
        )
    )
    data = person_files(person.category, person.id, 0, SIZE)[f"dense/{person.id}_5.png"]
    parts = set(np.unique(cv2.imdecode(np.frombuffer(data, np.uint8), 0)).tolist())
    assert parts & {7, 8, 12}


def test_pelvis_is_torso_to_a_fifth_or_two_of_the_thigh():
    for person in everyone(6):
        picture, body, _ = render_person(person, SIZE)
        hips, knees = (joints_in_photo(body)[[a, b], 1].mean() / 4 for a, b in ((8, 11), (9, 12)))
        rows = np.flatnonzero(np.isin(picture.dense, (1, 2)).any(1))
        assert 0.12 < (rows.max() - hips) / (knees - hips) < 0.55, person.id


def test_people_seen_from_behind_show_back_parts_and_swapped_shoulders():
    person = find(lambda p: p.pose == "seen from behind", 2500)
    picture, body, _ = render_person(person, SIZE)
    assert {1, 7, 8} <= set(np.unique(picture.dense).tolist()) and 2 not in picture.dense
    assert body.joints[Joint.R_SHOULDER, 0] > body.joints[Joint.L_SHOULDER, 0]


def test_the_hard_cases_are_there_within_a_few_hundred_people():
    people = everyone(500)
    rare = {"seen from behind", "bag before", "hands behind", "hands in pockets", "hands on hips"}
    assert {p.pose for p in people} >= set(POSES) - rare
    kinds = {g.kind for p in people for g in p.worn.values()}
    assert kinds == {kind for part in WARDROBE.values() for kind in part}
    assert {"bag", "shoulder bag", "scarf", "hat in hand", "belt"} <= {
        e for p in people for e in p.extras
    }
    assert {"long", "bound", "short", "one side"} <= {p.hair for p in people}
    assert any("half dress" in p.defects for p in people) and any(
        "label fragment" in p.defects for p in people
    )
    assert {"lettering", "stripes", "dots", "checks", "flowers"} <= {
        p.garment.pattern for p in people
    }


@pytest.mark.parametrize(
    "label, wanted",
    [
        (Atr.HAT, lambda p: "hat in hand" in p.extras),
        (Atr.SCARF, lambda p: "scarf" in p.extras),
        (Atr.BAG, lambda p: p.pose == "bag before"),
        (Atr.HAIR, lambda p: p.hair == "long"),
        (
            Atr.BELT,
            lambda p: (
                "belt" in p.extras
                and "dress" in p.worn
                and p.garment.ease < 14
                and "coat" not in p.worn
            ),
        ),
    ],
)
def test_what_people_have_about_them_is_labelled(label, wanted):
    picture, _, _ = render_person(find(wanted), SIZE)
    assert (picture.labels == label).sum() > 15


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = CliRunner().invoke(main, ["make-sample", str(tmp_path), "--pairs", "1"])
    assert (
        result.exit_code == 1
        and "holds other files" in result.output
        and "Traceback" not in result.output
    )
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_sample_of_other_settings_is_not_mixed_with_this_one(tmp_path):
    options = {"test_pairs": 1, "categories": (Category.DRESSES,)}
    make_sample(tmp_path / "a", 1, (128, 96), **options)
    make_sample(tmp_path / "a", 1, (128, 96), **options)
    with pytest.raises(DataError, match="other settings"):
        make_sample(tmp_path / "a", 1, (128, 96), seed=9, **options)


def test_the_command_says_where_the_people_are(tmp_path):
    out = tmp_path / "made"
    result = CliRunner().invoke(
        main,
        [
            "make-sample",
            str(out),
            "--pairs",
            "1",
            "--test-pairs",
            "1",
            "--size",
            "128x96",
            "--category",
            "lower_body",
            "--jobs",
            "1",
        ],
    )
    assert result.exit_code == 0, result.output
    assert (out / "lower_body/images/013563_0.jpg").is_file() and not (out / "dresses").exists()


@pytest.mark.parametrize(
    "change", [{"pairs": 0}, {"pairs": 8000}, {"size_hw": (100, 400)}, {"size_hw": (16, 12)}]
)
def test_senseless_numbers_are_refused_before_anything_is_written(tmp_path, change):
    with pytest.raises(DataError):
        make_sample(tmp_path / "none", **{"pairs": 1, "size_hw": (128, 96), **change})
    assert not (tmp_path / "none").exists()


def far_off(mine, real, levels, median=0.05, ends=0.15) -> dict:
    """Quantiles that are further from the real ones than a share of them, or of the spread from the
    10th to the 90th percentile where they lie about zero."""
    found = {}
    for level, limit in ((0.1, ends), (0.5, median), (0.9, ends)):
        at = levels.index(level)
        spread = real[levels.index(0.9)] - real[levels.index(0.1)]
        if not abs(mine[at] - real[at]) <= limit * max(abs(real[at]), spread):
            found[level] = (round(mine[at], 3), real[at])
    return found


@pytest.mark.parametrize("category", Category)
def test_people_stand_and_are_built_as_real_ones(category):
    real = real_statistics()[str(category)]
    mine = measure_bodies(category, sample_ids(category, "train", 1500))
    off = {
        name: far_off(values, real["quantiles"][name], LEVELS)
        for name, values in mine["quantiles"].items()
    }
    assert not {name: found for name, found in off.items() if found}
    for group in ("arms", "missing_share"):
        for name, share in mine[group].items():
            wanted = real[group][name]
            assert abs(share - wanted) < 0.012 + 0.15 * wanted, name


@pytest.mark.parametrize("category", Category)
def test_garments_are_as_large_as_real_ones(category):
    real = real_statistics()[str(category)]["garments"]
    mine = measure_garments(category, sample_ids(category, "train", 160))
    off = {
        name: far_off(mine[name], told["quantiles"], GARMENT_LEVELS, 0.09, 0.25)
        for name, told in real.items()
        if told["people"] > 20 and name != "bare_arm_area_u2"  # sleeves are long, short or none
    }
    assert not {name: found for name, found in off.items() if found}


def test_the_command_tells_the_statistics_beside_the_real_ones_and_draws_nothing():
    asked = ["make-sample", "--statistics", "--pairs", "3", "--category", "dresses"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    told = {line.split()[0]: line for line in result.output.splitlines() if "|" in line}
    assert "29,478 real people" in result.output
    assert told["hem_0hip_1ankle"].split("|")[1].split()[:5] == [
        "0.56",
        "0.67",
        "0.75",
        "0.80",
        "0.84",
    ]
    assert told["l_wrist"].split("|")[1].split() == ["2.69"]
