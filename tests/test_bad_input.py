"""Bad input gets one message with file, finding, expectation and remedy, exit code 1, no traceback."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_dresscode import save_palette, write_dataset

from cli import main
from pipeline.labels import Category


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dresscode"), [Category.DRESSES], train=2, test=0)


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "data")


def preprocess(root, out, *options):
    arguments = ["preprocess", root, out, "--size", "64x32", "--category", "dresses", "--jobs", "1", *options]
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refused(result, *told):
    """The message of a command that was refused in the way promised."""
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    assert "Error: " in result.stderr and "Traceback" not in result.output
    for text in told:
        assert text in result.stderr, result.stderr
    return result.stderr


def cut(path):
    path.write_bytes(path.read_bytes()[:-3000])


def garble(path):
    data = bytearray(path.read_bytes())
    data[2:60] = bytes(58)
    path.write_bytes(bytes(data))


def of_value(value, save):
    def change(path):
        labels = np.array(Image.open(path))
        labels[0, 0] = value
        save(path, labels)
    return change


def rows(change):
    def edit(path):
        content = json.loads(path.read_text())
        change(content["keypoints"])
        path.write_text(json.dumps(content))
    return edit


def as_mode(mode):
    return lambda path: Image.open(path).convert(mode).save(path)


def save_grey(path, labels):
    Image.fromarray(labels).save(path)


BAD_FILES = [
    ("images/020714_0.jpg", cut, "a truncated JPEG", "expected a whole picture"),
    ("images/020714_1.jpg", garble, "not a readable JPEG", "expected a whole picture"),
    ("images/020714_1.jpg", os.unlink, "no such file", "expected it here"),
    ("label_maps/020714_4.png", as_mode("RGB"), "a PNG of mode RGB", "expected a palette PNG"),
    ("dense/020714_5.png", as_mode("RGBA"), "a PNG of mode RGBA", "expected a grey PNG"),
    ("dense/020714_5.png", lambda p: save_grey(p, np.zeros((100, 100), np.uint8)), "100 x 100", "expected 1024 x 768"),
    ("label_maps/020714_4.png", of_value(25, save_palette), "label 25", "expected 0 to 17"),
    ("dense/020714_5.png", of_value(30, save_grey), "label 30", "expected 0 to 24"),
    ("keypoints/020714_2.json", rows(lambda r: r.pop()), "17 joints", "expected 18"),
    ("keypoints/020714_2.json", rows(lambda r: r[0].__setitem__(0, float("nan"))), "nan", "expected finite numbers"),
    ("keypoints/020714_2.json", lambda p: p.write_text("{"), "not readable as JSON", "expected JSON"),
]
IDS = [f"{name}: {found}" for name, _, found, _ in BAD_FILES]


@pytest.mark.parametrize("name, spoil, found, expected", BAD_FILES, ids=IDS)
def test_preprocess_names_the_bad_file_and_leaves_no_index(root, tmp_path, name, spoil, found, expected):
    spoil(root / "dresses" / name)
    refused(preprocess(root, tmp_path / "out"), name, found, expected, "--max-skips")
    assert not (tmp_path / "out/index.json").exists()


@pytest.mark.parametrize("name, spoil, found, expected", BAD_FILES, ids=IDS)
def test_preprocess_goes_on_without_the_bad_pair_where_that_is_allowed(root, tmp_path, name, spoil, found, expected):
    spoil(root / "dresses" / name)
    result = preprocess(root, tmp_path / "out", "--max-skips", "1")
    assert result.exit_code == 0, result.output
    assert found in (tmp_path / "out/index.json").read_text()


@pytest.mark.parametrize("name, spoil, found, expected", BAD_FILES, ids=IDS)
def test_check_names_the_bad_file(root, name, spoil, found, expected):
    spoil(root / "dresses" / name)
    result = CliRunner().invoke(main, ["check", str(root), "--jobs", "1", "--json", "-"])
    assert result.exit_code == 1 and "Traceback" not in result.output
    errors = [d for d in json.loads(result.stdout)["defects"] if d["severity"] == "error"]
    assert [d["path"] for d in errors] == [f"dresses/{name}"]
    assert found in errors[0]["detail"] or errors[0]["kind"] == "missing_file"


def test_missing_folder_empty_list_and_folder_of_something_else(root, tmp_path):
    refused(preprocess(tmp_path / "none", tmp_path / "out"), "none: no such folder", "expected the folder that holds",
            "request form")
    refused(preprocess(tmp_path, tmp_path / "out"), "no folder dresses/", "expected Dress Code's layout",
            "Name the folder")
    (root / "dresses/train_pairs.txt").write_text("")
    refused(preprocess(root, tmp_path / "out"), "dresses/train_pairs.txt: an empty list",
            "expected a person and a garment a line", "Copy the list")
    assert not (tmp_path / "out").exists()


def test_spoilt_list_of_exclusions(root, tmp_path):
    (tmp_path / "out.txt").write_text("020714")
    refused(preprocess(root, tmp_path / "out", "--exclude", tmp_path / "out.txt"), "out.txt:1", "'020714'",
            "expected category/person", "Mend or remove the line")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_output_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file/out", "/proc/out"):
        refused(preprocess(root, out), str(out))


def test_size_that_the_network_cannot_halve_is_wrong_usage(root, tmp_path):
    result = preprocess(root, tmp_path / "out", "--size", "500x384")
    assert result.exit_code == 2 and "500x384" in result.stderr and "The nearest is 512x384" in result.stderr
