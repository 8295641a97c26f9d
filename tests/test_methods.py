"""Any method's pictures measured beside a network's: found by name, with figures of known truth."""

from __future__ import annotations

import csv
import io
import json
import math

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_evaluate import Shows
from tiny import tiny_sample, write_shards

from cli import main
from model.data.dataset import TryOnDataset, to_image
from model.evaluation.arrival import colours_apart, cut_out, pattern_apart
from model.evaluation.disturb import DISTURBANCES
from model.evaluation.evaluate import evaluate
from model.evaluation.figures import _mean_in
from model.evaluation.methods import Plain, ResultFolder, Shown, baselines
from model.evaluation.places import (
    BENT,
    CROSSED,
    FREE,
    garment_ends,
    neckline_box,
    pose_group,
)
from model.evaluation.sensitivity import mask_sensitivity
from model.evaluation.tables import as_csv, as_latex, as_markdown, methods_table
from model.tryon.predictor import TryOn
from pipeline.base.errors import DataError
from pipeline.base.labels import Atr, Category, Joint


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("methods")
    paired = [tiny_sample(c, i, split="test_paired") for c in Category for i in range(2)]
    unpaired = [
        tiny_sample(c, i, split="test_unpaired", garment=i + 1) for c in Category for i in (0,)
    ]
    return [write_shards(root / "paired", paired), write_shards(root / "unpaired", unpaired)]


def written(folders, folder, name: str, change=lambda picture: picture):
    """Every row's own photo as a file, named by the pattern."""
    dataset = TryOnDataset(folders)
    for index, row in enumerate(dataset.rows):
        pairing = "paired" if row.person_id == row.garment_id else "unpaired"
        path = folder / name.format(
            person=row.person_id, garment=row.garment_id, category=row.category, pairing=pairing
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), change(to_image(dataset[index]["person"]))[..., ::-1])
    return folder


@pytest.mark.parametrize(
    "pattern",
    [
        "{category}-{person}_{category}-{garment}.png",
        "{pairing}/{category}/{person}.png",
        "test_{pairing}/{category}/{person}_0.png",
        "{category}/{person}_{garment}.png",
    ],
)
def test_pictures_are_found_by_the_names_that_projects_give_them(folders, tmp_path, pattern):
    method = ResultFolder(written(folders, tmp_path, pattern), "theirs")
    found = evaluate([method], folders).result["methods"][0]
    assert found["absent"] == 0 and found["name"] == "theirs"
    assert found["pictures"]["own"]["paired"]["all"]["l1"] == 0
    assert found["pictures"]["own"]["paired"]["all"]["ssim"] == pytest.approx(1)
    assert found["pictures"]["own"]["unpaired"]["all"]["l1_outside"] == 0


def test_two_pictures_of_one_person_an_empty_folder_and_none_are_told(folders, tmp_path):
    twice = written(folders, tmp_path / "twice", "{category}/{person}.png")
    written(folders, twice, "again/{category}/{person}.png")
    with pytest.raises(DataError, match="one picture"):
        evaluate([ResultFolder(twice)], folders)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        with pytest.raises(DataError, match="no pictures|no such folder"):
            ResultFolder(tmp_path / name)


def test_people_without_a_picture_are_counted_and_left_out(folders, tmp_path):
    folder = written(folders, tmp_path, "{pairing}/{category}/{person}.png")
    gone = sorted(folder.glob("paired/dresses/*.png"))[0]
    gone.unlink()
    method = evaluate([ResultFolder(folder)], folders).result["methods"][0]
    assert method["absent"] == 1
    assert method["pictures"]["own"]["paired"]["dresses"]["count"] == 1


def test_the_command_tells_who_has_no_picture_and_what_was_resized(folders, tmp_path):
    folder = written(folders, tmp_path / "theirs", "{pairing}/{category}/{person}.png")
    gone, other, *_ = sorted(folder.glob("paired/dresses/*.png"))
    gone.unlink()
    Image.open(other).resize((96, 128)).save(other)
    done = CliRunner().invoke(main, ["evaluate", *map(str, folders), "--results", str(folder)])
    told = " ".join(done.output.split())
    assert done.exit_code == 0, told
    assert "1 people have no picture there" in told and "128x96 are brought to" in told


def test_pictures_of_nobody_in_the_shards_are_refused_with_a_name_that_would_do(folders, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (48, 64)).save(others / "upper_body-999998_upper_body-999999.png")
    Image.new("RGB", (48, 64)).save(others / "999998_999999-explain.png")
    row = TryOnDataset(folders).rows[0]
    named = f"{row.person_id}_{row.garment_id}.png"
    with pytest.raises(DataError, match=f"no picture of any.*999999.png, expected.*{named}"):
        evaluate([ResultFolder(others)], folders)


def test_pictures_of_another_size_are_brought_to_the_shards_and_that_is_recorded(folders, tmp_path):
    twice = lambda picture: cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    folder = written(folders, tmp_path, "{pairing}/{category}/{person}.png", twice)
    method = evaluate([ResultFolder(folder)], folders).result["methods"][0]
    assert method["resized_from"] == ["128x128"]
    assert method["pictures"]["own"]["paired"]["all"]["l1"] == pytest.approx(0, abs=1e-6)


def test_baselines_leave_what_is_visible_and_fill_the_mask(folders):
    grey = np.full((64, 64, 3), 100, np.uint8)
    garment = np.full((64, 64, 3), 255, np.uint8)
    garment[16:48, 24:40] = (200, 30, 40)
    mask = np.zeros((64, 64), bool)
    mask[10:50, 20:44] = True
    shown = Shown(TryOnDataset(folders).rows[0], grey, garment, mask)
    mean, box, same = (method.draw({}, [shown])[0] for method in baselines())
    for picture in (mean, box):
        assert (picture[~mask] == 100).all()
    assert (mean[mask] == (200, 30, 40)).all()
    assert same is None  # it would be the truth
    assert np.abs(box[mask].astype(int) - (200, 30, 40)).mean() < 3


def test_methods_of_one_name_are_refused(folders):
    with pytest.raises(DataError, match="two methods"):
        evaluate([baselines()[0], baselines()[0]], folders)


def test_a_table_has_every_method_and_the_forms_say_the_same(folders):
    found = evaluate(baselines(), folders).result
    heads, rows = methods_table(found)
    assert {row[1] for row in rows} == {m.name for m in baselines()}
    parsed = list(csv.DictReader(io.StringIO(as_csv(heads, rows))))
    first = found["methods"][0]["pictures"]["composite"]["paired"]["all"]
    assert float(parsed[0]["L1 inside"]) == pytest.approx(first["l1_inside"], abs=1e-4)
    assert as_markdown(heads, rows).count("\n") == len(rows) + 2
    latex = as_latex(heads, rows)
    assert latex.count(r"\\") == len(rows) + 1 and r"\toprule" in latex and "–" not in latex


# Places


def standing() -> np.ndarray:
    """(18, 3): arms hanging beside a trunk of 20 x 40 pixels."""
    joints = np.full((18, 3), (np.nan, np.nan, 0), np.float32)
    places = {
        Joint.NECK: (50, 30),
        Joint.R_SHOULDER: (40, 30),
        Joint.L_SHOULDER: (60, 30),
        Joint.R_ELBOW: (34, 45),
        Joint.L_ELBOW: (66, 45),
        Joint.R_WRIST: (32, 60),
        Joint.L_WRIST: (68, 60),
        Joint.R_HIP: (43, 70),
        Joint.L_HIP: (57, 70),
    }
    for joint, (x, y) in places.items():
        joints[joint] = (x, y, 1)
    return joints


def test_a_pose_belongs_to_its_group():
    joints = standing()
    assert pose_group(joints) == FREE
    crossed = joints.copy()
    crossed[Joint.R_WRIST, :2] = (45, 55)
    assert pose_group(crossed) == CROSSED
    bent = joints.copy()
    bent[Joint.R_WRIST, :2] = (36, 30)
    assert pose_group(bent) == BENT
    missing = joints.copy()
    missing[Joint.L_ELBOW] = (np.nan, np.nan, 0)
    assert pose_group(missing) == BENT


def test_the_neckline_lies_around_neck_and_shoulders_inside_of_the_picture():
    rows, columns = neckline_box(standing(), (128, 96))
    assert (rows.start, rows.stop, columns.start, columns.stop) == (18, 42, 38, 62)
    cut, _ = neckline_box(standing(), (36, 96))
    assert cut.stop == 36
    headless = standing()
    headless[Joint.NECK] = (np.nan, np.nan, 0)
    assert neckline_box(headless, (128, 96)) is None


def test_a_neckline_that_was_hardly_hidden_has_no_figure():
    values, mask = np.ones((128, 96)), np.zeros((128, 96), bool)
    crop = neckline_box(standing(), (128, 96))
    assert math.isnan(_mean_in(values, crop, mask)) and math.isnan(_mean_in(values, None, mask))
    mask[30:60] = True
    assert _mean_in(values, crop, mask) == 1


def test_a_garment_ends_where_it_meets_a_limb_or_another_garment():
    labels = np.zeros((100, 60), np.uint8)
    labels[20:50, 10:50] = Atr.UPPER_CLOTHES
    labels[50:80, 10:50] = Atr.PANTS
    labels[30:40, 50:58] = Atr.LEFT_ARM
    ends = garment_ends(labels, Category.UPPER_BODY)
    assert ends[50, 30] and ends[35, 50]
    assert not ends[20, 30] and not ends[35, 10] and not ends[35, 30]
    assert not garment_ends(np.zeros((100, 60), np.uint8), Category.DRESSES).any()


# What arrives


def garment_picture(colour, stripes=False) -> np.ndarray:
    picture = np.full((128, 96, 3), 255, np.uint8)
    picture[20:110, 20:76] = colour
    if stripes:
        picture[20:110:6, 20:76] = 20
        picture[21:110:6, 20:76] = 20
    return picture


def test_the_same_colours_are_near_and_others_are_far():
    red = garment_picture((200, 30, 40))
    region = cut_out(red)
    assert colours_apart(red, red, region) < 0.01
    assert colours_apart(red, garment_picture((30, 60, 200)), region) > 0.95
    half = red.copy()
    half[65:110, 20:76] = (30, 60, 200)
    assert colours_apart(red, half, region) == pytest.approx(0.5, abs=0.05)
    assert math.isnan(colours_apart(red, red, np.zeros((128, 96), bool)))


def test_a_pattern_that_is_lost_or_added_is_far_and_a_shifted_one_near():
    plain, striped = garment_picture((200, 30, 40)), garment_picture((200, 30, 40), stripes=True)
    region = np.zeros((128, 96), bool)
    region[24:100, 24:72] = True
    assert pattern_apart(striped, np.roll(striped, 2, axis=0), region) < 0.1
    assert pattern_apart(striped, plain, region) > 2 < pattern_apart(plain, striped, region)


# Sensitivity and disturbance


def test_the_spread_over_mask_styles_is_what_the_method_makes_of_them(folders):
    ignoring = Plain("photo", lambda shown: shown.photo)
    found = mask_sensitivity(ignoring, folders[:1])
    assert found["all"]["count"] == 6 and found["all"]["l1_spread"] == 0
    # A method whose picture gets darker the more is hidden depends on the mask.
    darker = Plain(
        "darker", lambda shown: (shown.photo * (1 - 0.9 * shown.mask.mean())).astype(np.uint8)
    )
    assert mask_sensitivity(darker, folders[:1])["all"]["l1_spread"] > 0.05
    with pytest.raises(DataError, match="no paired people"):
        mask_sensitivity(ignoring, folders[1:])
    with pytest.raises(DataError, match="two styles"):
        mask_sensitivity(ignoring, folders[:1], styles=["standard"])


def test_disturbed_people_are_other_pictures_of_the_same_people(sample_shards):
    network = TryOn(Shows(0.0), facts={"file": "shows.pt", "sha256": "0", "choice": "raw"})
    shards = [sample_shards["test_paired"]]
    for change in DISTURBANCES.values():
        found = evaluate(network, shards, limit=1, augmentation=change).result["metrics"]["paired"]
        assert found["all"]["count"] == 3 and "ssim_neckline" not in found["all"]
        photos = (TryOnDataset(shards, augmentation=a)[0]["person"] for a in (None, change))
        assert not np.array_equal(*map(to_image, photos))


def test_command_measures_pictures_of_another_program_beside_baselines(folders, tmp_path):
    theirs = written(folders, tmp_path / "theirs", "{pairing}/{category}/{person}.png")
    words = ["evaluate", *folders, "--results", f"Theirs={theirs}", "--baselines", "--sensitivity"]
    words += ["--json", tmp_path / "all.json", "--html", tmp_path / "all.html"]
    for end in ("csv", "md", "tex"):
        words += ["--table", tmp_path / f"all.{end}"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    stored = json.loads((tmp_path / "all.json").read_text())
    assert [method["name"] for method in stored["methods"]][0] == "Theirs"
    assert stored["sensitivity"]["all"]["count"] == 6 and "weights" not in stored
    assert "Theirs" in (tmp_path / "all.html").read_text()
    assert all((tmp_path / f"all.{end}").stat().st_size > 500 for end in ("csv", "md", "tex"))
    assert "garment fitted by its box" in done.output and "spread" in done.output


@pytest.mark.parametrize(
    "words, told",
    [
        (["--baselines"], "SHARDS are missing"),
        (["FOLDER"], "Say what to measure"),
        (["FOLDER", "--baselines", "--table", "all.xls"], "a name that ends in .csv"),
        (["FOLDER", "--baselines", "--disturbed"], "for networks alone"),
        (["none.pt", "FOLDER"], "no such file or folder"),
    ],
)
def test_what_cannot_be_measured_is_told(folders, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    found = [str(folders[0]) if word == "FOLDER" else word for word in words]
    if found == ["--baselines"]:
        found = ["drawn", "--baselines"]
    done = CliRunner().invoke(main, ["evaluate", *found])
    assert done.exit_code in (1, 2) and told in done.output and "Traceback" not in done.output


def test_a_network_is_measured_by_name_and_told_for_what_it_is(folders):
    done = CliRunner().invoke(main, ["evaluate", "drawn", str(folders[0]), "--limit", "1"])
    assert done.exit_code == 0 and "drawn.safetensors" in done.output
    assert "drawn people alone" in done.output
