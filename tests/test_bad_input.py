"""Bad input gets one message with file, finding, expectation and remedy, exit code 1, no
traceback."""

import json
import os
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_dresscode import save_palette, write_dataset

from cli import main
from pipeline.base.labels import Category


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dresscode"), [Category.DRESSES], train=2, test=0)


def preprocess(root, out, *options):
    arguments = [
        "preprocess",
        root,
        out,
        "--size",
        "128x96",
        "--category",
        "dresses",
        "--jobs",
        "1",
        *options,
    ]
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


def overwrite(path):
    """A kilobyte in the midst of a picture lost, its end intact."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1000] = (
        np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    )
    path.write_bytes(bytes(data))


BAD_FILES = [
    ("images/020714_0.jpg", overwrite, "a corrupted JPEG", "expected a whole picture"),
    ("images/020714_0.jpg", cut, "a truncated JPEG", "expected a whole picture"),
    ("images/020714_1.jpg", garble, "not a readable JPEG", "expected a whole picture"),
    ("images/020714_1.jpg", os.unlink, "no such file", "expected it here"),
    ("label_maps/020714_4.png", as_mode("RGB"), "a PNG of mode RGB", "expected a palette PNG"),
    ("dense/020714_5.png", as_mode("RGBA"), "a PNG of mode RGBA", "expected a grey PNG"),
    (
        "dense/020714_5.png",
        lambda p: save_grey(p, np.zeros((100, 100), np.uint8)),
        "100 x 100",
        "expected 1024 x 768",
    ),
    ("label_maps/020714_4.png", of_value(25, save_palette), "label 25", "expected 0 to 17"),
    ("dense/020714_5.png", of_value(30, save_grey), "label 30", "expected 0 to 24"),
    ("keypoints/020714_2.json", rows(lambda r: r.pop()), "17 joints", "expected 18"),
    (
        "keypoints/020714_2.json",
        rows(lambda r: r[0].__setitem__(0, float("nan"))),
        "nan",
        "expected finite numbers",
    ),
    (
        "keypoints/020714_2.json",
        lambda p: p.write_text("{"),
        "not readable as JSON",
        "expected JSON",
    ),
]
IDS = [f"{name}: {found}" for name, _, found, _ in BAD_FILES]


@pytest.mark.parametrize("name, spoil, found, expected", BAD_FILES, ids=IDS)
def test_preprocess_names_the_bad_file_and_leaves_no_index(
    root, tmp_path, name, spoil, found, expected
):
    spoil(root / "dresses" / name)
    refused(preprocess(root, tmp_path / "out"), name, found, expected, "--max-skips")
    assert not (tmp_path / "out/index.json").exists()


@pytest.mark.parametrize("name, spoil, found, expected", BAD_FILES, ids=IDS)
def test_preprocess_goes_on_without_the_bad_pair_where_that_is_allowed(
    root, tmp_path, name, spoil, found, expected
):
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
    refused(
        preprocess(tmp_path / "none", tmp_path / "out"),
        "none: no such folder",
        "expected the folder that holds",
        "request form",
    )
    refused(
        preprocess(tmp_path, tmp_path / "out"),
        "no folder dresses/",
        "expected Dress Code's layout",
        "Name the folder",
    )
    (root / "dresses/train_pairs.txt").write_text("")
    refused(
        preprocess(root, tmp_path / "out"),
        "dresses/train_pairs.txt: an empty list",
        "expected a person and a garment a line",
        "Copy the list",
    )
    assert not (tmp_path / "out").exists()


def test_a_broken_picture_is_told_in_the_same_words_each_time(root, tmp_path):
    garble(root / "dresses/images/020714_0.jpg")
    written = []
    for out in (tmp_path / "once", tmp_path / "again"):
        assert preprocess(root, out, "--max-skips", "1").exit_code == 0
        written.append((out / "index.json").read_bytes())
    assert written[0] == written[1] and b" at 0x" not in written[0]
    assert (
        "Every shard was there already"
        in preprocess(root, tmp_path / "once", "--max-skips", "1").stderr
    )


def test_spoilt_list_of_exclusions(root, tmp_path):
    (tmp_path / "out.txt").write_text("020714")
    refused(
        preprocess(root, tmp_path / "out", "--exclude", tmp_path / "out.txt"),
        "out.txt:1",
        "'020714'",
        "expected category/person",
        "Mend or remove the line",
    )


NOWHERE = ("/proc/result", "none/result", "file/result")


@pytest.mark.parametrize(
    "place", [p for p in NOWHERE if sys.platform.startswith("linux") or not p.startswith("/")]
)
@pytest.mark.parametrize(
    "command, option, suffix",
    [
        ("check", "--json", ""),
        ("check", "--exclude", ""),
        ("inspect-mask", "--out", ".html"),
        ("inspect-mask", "--sheet", ".png"),
        ("inspect-mask", "--csv", ""),
        ("inspect-mask", "--reject", ""),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    whole, tmp_path, monkeypatch, command, option, suffix, place
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, [command, str(whole), "--jobs", "1", option, place + suffix])
    told = refused(result, place + suffix)
    assert "People checked" not in told and "Masks scored" not in told and not result.stdout


def test_a_device_that_is_not_there_is_told(tmp_path):
    import torch

    from model.network.config import NetworkConfig
    from model.network.daflow import DAFlow

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    torch.save(
        {
            "network": DAFlow(NetworkConfig.preset("small")).state_dict(),
            "config": {"network": NetworkConfig.preset("small").to_dict()},
        },
        tmp_path / "net.pt",
    )
    (tmp_path / "shards").mkdir()
    for words in (
        ["evaluate", "net.pt", "shards"],
        ["train", "shards", "run", "--preset", "small"],
    ):
        words = [str(tmp_path / w) if w in ("net.pt", "shards", "run") else w for w in words]
        refused(
            CliRunner().invoke(main, [*words, "--device", "cuda"]),
            "--device: no GPU",
            "Leave --device out",
        )


def test_text_in_place_of_weights(tmp_path):
    (tmp_path / "net.pt").write_text("hello\n")
    told = refused(
        CliRunner().invoke(
            main, ["export", str(tmp_path / "net.pt"), str(tmp_path / "out.safetensors")]
        ),
        "net.pt: is no checkpoint",
        "expected a file that torch.save wrote",
    )
    assert "(101)" not in told and [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_a_run_with_spoilt_options_is_not_resumed(tmp_path):
    (tmp_path / "run").mkdir()
    for text, found in (("{", "is not JSON"), ("{}", "no options of a run")):
        (tmp_path / "run/config.json").write_text(text)
        refused(
            CliRunner().invoke(main, ["train", str(tmp_path), str(tmp_path / "run"), "--resume"]),
            "run/config.json",
            found,
            "without --resume",
        )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_output_that_cannot_be_written(root, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file/out", "/proc/out"):
        refused(preprocess(root, out), str(out))


def test_size_that_the_network_cannot_halve(root, tmp_path):
    refused(
        preprocess(root, tmp_path / "out", "--size", "500x384"),
        "--size",
        "500x384",
        "multiples of 32",
        "shape is 512x384",
    )


@pytest.mark.parametrize(
    "command",
    [
        ("train", "{}", "{}/run"),
        ("try-on", "{}", "--shards", "{}", "--out", "{}/out"),
        ("evaluate", "{}", "{}"),
        ("export", "{}", "{}/out"),
        ("check", "{}"),
    ],
)
def test_a_path_that_is_not_there_is_bad_input_for_every_command(tmp_path, command):
    nowhere = str(tmp_path / "nowhere")
    refused(CliRunner().invoke(main, [part.format(nowhere) for part in command]), nowhere)
