"""``check`` finds each defect that is planted in a small dataset, says where, and nothing else."""

import json
import os
import shutil
import signal

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_dresscode import save_palette, write_person

from cli import main
from pipeline.base.labels import Category
from pipeline.check.dataset import check_dataset
from pipeline.check.defects import KINDS, Severity
from pipeline.check.duplicates import photo_hash, similar_photos
from pipeline.dataset.index import index_pairs, read_exclude

ALWAYS = {"part_of_dataset"}
"""What a small dataset always is."""


def found(root, **options):
    """{(kind, person or file)} without what a small dataset always has."""
    return {(d.kind, d.key) for d in check_dataset(root, **options).defects if d.kind not in ALWAYS}


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content["keypoints"])
    path.write_text(json.dumps(content))


def edit_map(path, change):
    labels = np.array(Image.open(path))
    change(labels)
    (save_palette if path.name.endswith("_4.png") else lambda p, a: Image.fromarray(a).save(p))(
        path, labels
    )


def scaled(factor):
    def change(rows):
        for row in rows:
            row[0], row[1] = row[0] * factor[0], row[1] * factor[1]

    return change


def zero(rows):
    rows[:] = [[0.0, 0.0, 0.9, float(i)] for i in range(18)]


def lose(*joints):
    def change(rows):
        for j in joints:
            rows[j] = [-1, -1, 0, -1]

    return change


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def spoil(path):
    """Zeros in the middle of a JPEG's data: decoders show a grey or shifted rest and say so on
    stderr only."""
    data = bytearray(path.read_bytes())
    data[-900:-400] = bytes(500)
    path.write_bytes(bytes(data))


def turn(path, tag):
    """The same picture with an orientation tag."""
    exif = Image.Exif()
    exif[274] = tag
    image = Image.open(path)
    image.load()
    image.save(path, quality=95, exif=exif)


K, L, D = "keypoints/020714_2.json", "label_maps/020714_4.png", "dense/020714_5.png"
PHOTO, GARMENT, UV = "images/020714_0.jpg", "images/020714_1.jpg", "dense/020714_5_uv.npz"
PLANTED = [
    ("missing_file", PHOTO, lambda p: p.unlink()),
    ("missing_file", GARMENT, lambda p: p.unlink()),
    ("missing_file", K, lambda p: p.unlink()),
    ("missing_map", L, lambda p: p.unlink()),
    ("missing_map", D, lambda p: p.unlink()),
    ("missing_extra", UV, lambda p: p.unlink()),
    ("unreadable", PHOTO, cut),
    ("unreadable", GARMENT, spoil),
    ("unreadable", L, cut),
    ("unreadable", UV, cut),
    ("unreadable", K, cut),
    ("wrong_mode", D, lambda p: Image.open(p).convert("RGB").save(p)),
    ("wrong_mode", PHOTO, lambda p: Image.open(p).convert("CMYK").save(p)),
    ("wrong_mode", GARMENT, lambda p: Image.open(p).save(p, "PNG")),
    ("wrong_size", L, lambda p: save_palette(p, np.zeros((256, 256), np.uint8))),
    ("wrong_size", PHOTO, lambda p: Image.open(p).rotate(90, expand=True).save(p)),
    ("other_size", GARMENT, lambda p: Image.open(p).resize((384, 512)).save(p)),
    ("wrong_shape", K, lambda p: edit_json(p, lambda rows: rows.pop())),
    ("wrong_shape", UV, lambda p: np.savez(p, uv=np.zeros((3, 256, 192), np.float32))),
    ("wrong_values", K, lambda p: edit_json(p, lambda rows: rows[3].__setitem__(0, float("nan")))),
    ("wrong_values", L, lambda p: edit_map(p, lambda a: a.__setitem__((3, 3), 25))),
    ("wrong_values", D, lambda p: edit_map(p, lambda a: a.__setitem__((3, 3), 30))),
    ("photo_turned", PHOTO, lambda p: turn(p, 3)),
    ("photo_turned", PHOTO, lambda p: turn(p, 6)),
    ("blank_picture", GARMENT, lambda p: Image.new("RGB", (192, 256), "white").save(p)),
    ("keypoints_frame", K, lambda p: edit_json(p, scaled((2, 2)))),
    ("keypoints_frame", K, lambda p: edit_json(p, scaled((0.5, 0.5)))),
    ("keypoints_frame", K, lambda p: edit_json(p, scaled((1 / 384, 1 / 512)))),
    ("keypoints_empty", K, lambda p: edit_json(p, zero)),
    ("keypoints_empty", K, lambda p: edit_json(p, lose(*range(18)))),
    (
        "keypoints_off_person",
        K,
        lambda p: edit_json(p, lambda rows: [r.__setitem__(0, r[0] - 90) for r in rows]),
    ),
    ("joints_outside", K, lambda p: edit_json(p, lambda rows: rows[4].__setitem__(0, 20.0))),
    ("joints_missing", K, lambda p: edit_json(p, lose(7))),
    (
        "turned",
        K,
        lambda p: edit_json(p, lambda rows: rows.__setitem__(slice(2, 6, 3), [rows[5], rows[2]])),
    ),
    ("map_empty", D, lambda p: edit_map(p, lambda a: a.fill(0))),
    ("garment_missing", L, lambda p: edit_map(p, lambda a: a.__setitem__(a == 7, 4))),
    (
        "dense_other_person",
        D,
        lambda p: edit_map(p, lambda a: a.__setitem__(slice(None), np.roll(a, 25, axis=1))),
    ),
    ("uv_differs", UV, lambda p: np.savez(p, uv=np.full((2, 256, 192), 0.5, np.float32))),
    ("stray_file", "images/Thumbs.db", lambda p: p.touch()),
]
ALSO = {
    "keypoints_empty": {"joints_missing"},
    "map_empty": {"uv_differs"},
    "dense_other_person": {"uv_differs"},
}
"""What some defects bring with them."""


def test_clean_dataset_has_no_findings(whole):
    assert found(whole) == set()


@pytest.mark.parametrize(
    "kind, name, plant", PLANTED, ids=[f"{kind} {name}" for kind, name, _ in PLANTED]
)
def test_planted_defect_is_found_where_it_is(root, kind, name, plant):
    plant(root / "dresses" / name)
    defects = [d for d in check_dataset(root, [Category.DRESSES]).defects if d.kind not in ALWAYS]
    kinds = {d.kind for d in defects}
    assert kind in kinds and kinds <= {kind} | ALSO.get(kind, set()), defects
    defect = next(d for d in defects if d.kind == kind)
    assert defect.path == f"dresses/{name}" and defect.detail
    assert defect.key == ("dresses" if kind == "stray_file" else "dresses/020714")


def test_every_kind_of_defect_is_planted_somewhere():
    elsewhere = {
        "list_unreadable",
        "duplicate_across_splits",
        "duplicate_person",
        "garment_mislabelled",
        "few_joints",
        "in_train_and_test",
        "silhouette_odd",
        "unpaired_is_paired",
        "paired_is_unpaired",
        "row_repeated",
        "id_unexpected",
        "in_no_list",
        "modality_absent",
        "outside_slice",
        "map_interpolated",
        "map_other_classes",
        "misnamed",
        "list_absent",
        "part_of_dataset",
    }
    assert {kind for kind, *_ in PLANTED} | elsewhere == set(KINDS)


@pytest.mark.parametrize("name", ["020714_0.JPG", "020714_0.png", "020714_1.jpeg"])
def test_a_photo_under_another_ending_is_named_and_no_stray(root, name):
    images = root / "dresses/images"
    (images / f"{name.split('.')[0]}.jpg").rename(images / name)
    defects = [d for d in check_dataset(root, [Category.DRESSES]).defects if d.kind not in ALWAYS]
    assert [d.kind for d in defects] == ["misnamed"] and name in defects[0].detail


def test_a_copied_part_is_told_in_one_note_whatever_lists_and_keypoints_say(root):
    # Lists and keypoints are small: people copy them whole, photos and maps of a few.
    gone = "000000"
    for pattern in ("images", "label_maps", "dense", "skeletons"):
        for path in (root / "upper_body" / pattern).glob(f"{gone}_*"):
            path.unlink()
    result = check_dataset(root, [Category.UPPER_BODY])
    told = [d for d in result.defects if d.kind == "outside_slice"]
    assert [d.detail for d in told] == ["1 people of the lists are not in this copy"]
    assert result.errors == 0 and result.usable == result.people - 1


@pytest.fixture
def drawn(sample_dataset, tmp_path):
    return shutil.copytree(sample_dataset, tmp_path / "drawn")


def kinds_of(root, path):
    return {d.kind for d in check_dataset(root).defects if d.path.endswith(path.name)}


def label_maps(root):
    return sorted(root.glob("*/label_maps/*_4.png"))


def test_drawn_people_have_maps_of_atr_without_seams(drawn):
    kinds = {d.kind for d in check_dataset(drawn).defects}
    assert not kinds & {"map_interpolated", "map_other_classes"}


def test_a_map_in_other_classes_is_named(drawn):
    path = label_maps(drawn)[0]
    lip = {2: 2, 4: 5, 5: 12, 6: 9, 7: 6, 11: 13, 12: 16, 13: 17, 14: 14, 15: 15}
    table = np.zeros(256, np.uint8)
    for atr, number in lip.items():
        table[atr] = number
    edit_map(path, lambda a: a.__setitem__(slice(None), table[a]))
    assert "map_other_classes" in kinds_of(drawn, path)


def test_a_map_that_was_resized_with_interpolation_is_named(drawn):
    for path in label_maps(drawn)[::4]:
        small = lambda a: cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
        blurred = lambda a, s=small: cv2.resize(s(a), a.shape[::-1], interpolation=cv2.INTER_LINEAR)
        edit_map(path, lambda a, b=blurred: a.__setitem__(slice(None), b(a)))
        assert "map_interpolated" in kinds_of(drawn, path)


def test_trousers_called_upper_clothes_are_told_whole_and_in_part(drawn):
    path = sorted((drawn / "lower_body/label_maps").glob("*_4.png"))[0]
    rows = np.flatnonzero(np.isin(np.array(Image.open(path)), (5, 6)).any(1))
    middle = int(rows.mean())

    def lower_half(a):
        a[middle:][np.isin(a[middle:], (5, 6))] = 4

    edit_map(path, lower_half)
    assert "garment_mislabelled" in kinds_of(drawn, path)
    edit_map(path, lambda a: a.__setitem__(np.isin(a, (5, 6)), 4))
    assert "garment_missing" in kinds_of(drawn, path)


def test_person_with_few_joints_and_a_thin_silhouette(root):
    edit_json(root / "dresses" / K, lose(*range(6, 18)))
    edit_map(root / "dresses" / L, lambda a: a.__setitem__(slice(10, None), 0))
    kinds = {kind for kind, _ in found(root, categories=[Category.DRESSES])}
    assert {"few_joints", "joints_missing", "silhouette_odd"} <= kinds


def test_person_without_any_map_is_an_error_even_where_the_folder_lacks_one(root):
    shutil.rmtree(root / "dresses/dense")
    (root / "dresses" / L).unlink()
    assert found(root, categories=[Category.DRESSES]) == {
        ("modality_absent", "dresses"),
        ("missing_file", "dresses/020714"),
    }


def test_whole_modalities_missing_are_notes_and_no_errors(root):
    for path in root.glob("*/dense/*_uv.npz"):
        path.unlink()
    shutil.rmtree(root / "upper_body/skeletons")
    shutil.rmtree(root / "lower_body/dense")
    result = check_dataset(root)
    assert {d.kind for d in result.defects} == {
        "modality_absent",
        "part_of_dataset",
    } and result.errors == 0
    assert sum(d.kind == "modality_absent" for d in result.defects) == 5


def test_lists_are_compared_with_each_other_and_with_the_folders(root):
    folder = root / "upper_body"
    (folder / "train_pairs.txt").write_text(
        "000000_0.jpg 000000_1.jpg\n000000_0.jpg 000000_1.jpg\n"
        "000777_0.jpg 000777_1.jpg\n048392_0.jpg 048393_1.jpg"
    )
    (folder / "test_pairs_unpaired.txt").write_text("048392_0.jpg 048392_1.jpg\n")
    assert found(root, categories=[Category.UPPER_BODY]) == {
        ("row_repeated", "upper_body/000000"),
        ("outside_slice", "upper_body"),
        ("in_train_and_test", "upper_body/048392"),
        ("id_unexpected", "upper_body/048392"),
        ("paired_is_unpaired", "upper_body/048392"),
        ("unpaired_is_paired", "upper_body/048392"),
        ("in_no_list", "upper_body/000001"),
    }


def test_findings_of_a_root_list_name_that_list(root):
    (root / "upper_body/train_pairs.txt").unlink()
    (root / "train_pairs.txt").write_text(
        "000000_0.jpg 000001_1.jpg 0\n013563_0.jpg 013563_1.jpg 1\n"
    )
    defects = check_dataset(root, [Category.UPPER_BODY]).defects
    assert [(d.kind, d.path) for d in defects if d.kind == "paired_is_unpaired"] == [
        ("paired_is_unpaired", "train_pairs.txt")
    ]


def test_spoilt_and_missing_lists_are_told_apart(root):
    (root / "upper_body/train_pairs.txt").write_text("")
    (root / "lower_body/train_pairs.txt").write_text("013563_0.jpg 013563_1.jpg\nnonsense\n")
    (root / "dresses/train_pairs.txt").unlink()
    result = check_dataset(root)
    lists = {(d.kind, d.path): d.detail for d in result.defects if d.kind.startswith("list_")}
    assert lists == {
        ("list_unreadable", "upper_body/train_pairs.txt"): "an empty list",
        ("list_unreadable", "lower_body/train_pairs.txt"): "2 'nonsense'",
        ("list_absent", "dresses/train_pairs.txt"): "not there",
    }


def test_known_bad_pairs_of_the_published_dataset_are_recognised(root):
    for person_id in ("050386", "018112"):
        write_person(root, Category.LOWER_BODY, person_id)
    edit_map(root / "lower_body/label_maps/018112_4.png", lambda a: a.__setitem__(a == 6, 4))
    (root / "lower_body/test_pairs_unpaired.txt").write_text("050386_0.jpg\t050386_1.jpg")
    (root / "lower_body/train_pairs.txt").write_text("018112_0.jpg\t018112_1.jpg")
    write_person(root, Category.UPPER_BODY, "048526", seed=0)
    (root / "upper_body/test_pairs_paired.txt").write_text("048526_0.jpg\t048526_1.jpg")
    known = {(d.kind, d.key) for d in check_dataset(root).defects if d.known}
    assert known == {
        ("unpaired_is_paired", "lower_body/050386"),
        ("garment_mislabelled", "lower_body/018112"),
        ("duplicate_across_splits", "upper_body/000000"),
    }


def test_known_ids_without_the_defect_are_not_accused(root):
    write_person(root, Category.LOWER_BODY, "018112")
    (root / "lower_body/train_pairs.txt").write_text("018112_0.jpg 018112_1.jpg")
    assert not any(d.known for d in check_dataset(root, [Category.LOWER_BODY]).defects)


# Duplicates


def test_same_keypoints_in_train_and_test_leave_the_train_person_out(root):
    shutil.copy(root / "dresses/keypoints/051992_2.json", root / "dresses" / K)
    result = check_dataset(root)
    duplicates = [d for d in result.defects if d.kind.startswith("duplicate")]
    assert [(d.kind, d.key) for d in duplicates] == [("duplicate_across_splits", "dresses/020714")]
    assert "the same keypoints as dresses/051992" in duplicates[0].detail
    assert set(result.left_out()) == {"dresses/020714"}


def test_same_photo_compressed_and_resized_again_is_found_across_categories(root):
    photo = Image.open(root / "upper_body/images/048392_0.jpg")
    photo.resize((190, 254)).resize((192, 256)).save(root / "dresses" / PHOTO, quality=60)
    duplicates = [d for d in check_dataset(root).defects if d.kind.startswith("duplicate")]
    assert [(d.kind, d.key) for d in duplicates] == [("duplicate_across_splits", "dresses/020714")]
    assert "nearly the same photo as upper_body/048392" in duplicates[0].detail


def test_same_photo_within_a_split_is_a_milder_finding(root):
    shutil.copy(root / "dresses/images/020715_0.jpg", root / "dresses" / PHOTO)
    assert found(root) == {
        ("duplicate_person", "dresses/020714"),
        ("duplicate_person", "dresses/020715"),
    }


def test_people_without_joints_are_not_called_the_same(root):
    for name in (K, "keypoints/020715_2.json"):
        edit_json(root / "dresses" / name, lose(*range(18)))
    assert not any("duplicate" in kind for kind, _ in found(root))


def test_many_photos_are_grouped_in_seconds_and_rightly():
    random = np.random.default_rng(0)
    greys = [
        cv2.resize(
            random.integers(0, 256, (8, 6), np.uint8), (96, 128), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(600)
    ]
    again = [
        np.clip(g.astype(int) + random.integers(-4, 5, g.shape), 0, 255).astype(np.uint8)
        for g in greys[:40]
    ]
    hashes, thumbs = zip(*(photo_hash(g) for g in greys + again))
    groups = similar_photos(np.array(hashes, np.uint64), np.stack(thumbs))
    assert sorted(groups) == [[i, 600 + i] for i in range(40)]


def test_identical_photos_do_not_blow_up():
    hashes, thumbs = np.zeros(3000, np.uint64), np.zeros((3000, 32, 24), np.uint8)
    assert [len(g) for g in similar_photos(hashes, thumbs)] == [3000]


# Result and command


def test_result_is_the_same_for_any_number_of_jobs(root):
    cut(root / "dresses" / PHOTO)
    spoil(root / "upper_body/images/000000_1.jpg")
    assert check_dataset(root, jobs=1) == check_dataset(root, jobs=2)


def test_broken_garment_leaves_out_everyone_who_is_to_wear_it(root):
    cut(root / "dresses/images/051992_1.jpg")
    assert set(check_dataset(root).left_out()) == {"dresses/051992", "dresses/051993"}


def run(*arguments):
    return CliRunner().invoke(main, ["check", *map(str, arguments), "--jobs", "1"])


def test_command_exits_0_with_warnings_only(root):
    edit_json(root / "dresses" / K, lose(7))
    result = run(root)
    assert result.exit_code == 0, result.output
    assert "joints_missing" in result.stdout and "0 errors, 1 warning" in result.stdout


def test_command_reports_to_people_and_programs_and_exits_1_with_errors(root, tmp_path):
    cut(root / "dresses" / PHOTO)
    result = run(root, "--json", tmp_path / "all.json", "--exclude", tmp_path / "out.txt")
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert (
        "error" in result.stdout
        and "unreadable" in result.stdout
        and f"dresses/{PHOTO}" in result.stdout
    )
    report = json.loads((tmp_path / "all.json").read_text())
    assert report["errors"] == 1 and report["counts"]["unreadable"] == 1
    assert [d for d in report["defects"] if d["severity"] == "error"][0][
        "path"
    ] == f"dresses/{PHOTO}"
    exclude = read_exclude(tmp_path / "out.txt")
    assert exclude == {"dresses/020714"}
    assert "dresses/020714" not in [r.key for r in index_pairs(root, exclude=exclude)]
    assert "unreadable: a truncated JPEG" in (tmp_path / "out.txt").read_text()


def test_json_on_standard_output_is_json_alone(root):
    report = json.loads(run(root, "--json", "-", "--category", "dresses").stdout)
    assert report["people"] == 4 and report["files"] == 28 and report["errors"] == 0


def test_garment_of_someone_in_no_list_is_looked_at_alone(root):
    (root / "dresses/train_pairs.txt").write_text("020714_0.jpg 020715_1.jpg")
    cut(root / "dresses/images/020715_0.jpg")
    assert found(root, categories=[Category.DRESSES], splits=["train"]) == {
        ("paired_is_unpaired", "dresses/020714")
    }
    cut(root / "dresses/images/020715_1.jpg")
    result = check_dataset(root, [Category.DRESSES], ["train"])
    assert result.people == 1 and result.files == 7 and set(result.left_out()) == {"dresses/020714"}


def test_choice_of_a_split_looks_at_that_list_alone(root):
    cut(root / "dresses/images/051992_0.jpg")
    assert run(root, "--split", "train").exit_code == 0
    assert run(root, "--split", "test_paired").exit_code == 1


@pytest.mark.parametrize(
    "prepare, message",
    [
        (lambda p: None, "no such folder, expected the folder that holds"),
        (lambda p: p.mkdir(), "an empty folder, expected Dress Code's layout"),
        (
            lambda p: (p / "x").mkdir(parents=True),
            "no folder upper_body/ or lower_body/ or dresses/",
        ),
        (lambda p: (p / "dresses").mkdir(parents=True), "no readable pair list"),
    ],
)
def test_folders_of_no_dataset_are_refused_in_one_sentence(tmp_path, prepare, message):
    prepare(tmp_path / "data")
    result = run(tmp_path / "data")
    assert (
        result.exit_code == 1 and result.stderr.startswith("Error: ") and message in result.stderr
    )
    assert "Traceback" not in result.output and result.exception.__class__ is SystemExit


def end_the_worker(tasks):
    os.kill(os.getpid(), signal.SIGKILL)


def test_worker_that_dies_is_told_in_one_sentence(whole, monkeypatch):
    monkeypatch.setattr("pipeline.check.dataset.inspect_people", end_the_worker)
    result = CliRunner().invoke(main, ["check", str(whole), "--jobs", "2"])
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "ended by the system" in result.stderr and "fewer --jobs than 2" in result.stderr


def test_report_that_cannot_be_written_is_named(root, tmp_path):
    result = run(root, "--json", tmp_path / "none/all.json")
    assert result.exit_code == 1 and "none" in result.stderr and "no such folder" in result.stderr


def test_severities_are_ordered_from_grave_to_mild():
    assert [s.rank for s in Severity] == [0, 1, 2]
    assert all(kind.what and isinstance(kind.severity, Severity) for kind in KINDS.values())


def test_real_people_have_no_errors(real_people):
    assert check_dataset(real_people).errors == 0
