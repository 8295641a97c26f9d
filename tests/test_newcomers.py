"""What newcomers stumbled over: each slip is answered with what was meant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from pipeline.base.places import ORIGINS
from pipeline.check.dataset import check_dataset

ROOT = Path(__file__).parents[1]


def run(*words, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code and "Traceback" not in done.output, done.output
    return " ".join(done.output.split())


@pytest.fixture
def data(sample_dataset, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(sample_dataset, tmp_path / "data")


def test_a_list_of_another_making_is_not_lost_to_rejects(sample_dataset, tmp_path):
    words = ("inspect-mask", sample_dataset, "--size", "128x96", "--limit", 1, "--reject")
    mine = tmp_path / "leave-out.txt"
    mine.write_text("# People to leave out\ndresses/020714\n")
    assert "another list is there" in run(*words, mine, code=1)
    assert mine.read_text() == "# People to leave out\ndresses/020714\n"
    own = tmp_path / "rejected.txt"
    for _ in range(2):  # its own it writes anew
        run(*words, own)
        assert own.read_text().startswith("# People whose masks")


def test_several_lists_leave_people_out(sample_dataset, tmp_path):
    for name, key in (("a", "dresses/020714"), ("b", "upper_body/000000")):
        (tmp_path / name).write_text(f"{key}\n")
    words = ("preprocess", sample_dataset, tmp_path / "out", "--size", "128x96", "--dry-run")
    lists = ("--exclude", tmp_path / "a", "--exclude", tmp_path / "b")
    both = json.loads(run(*words, *lists))["people"]
    assert both == json.loads(run(*words))["people"] - 2


def test_a_size_for_shards_is_refused(sample_shards):
    told = run("inspect-mask", sample_shards["train"], "--size", "256x192", code=2)
    assert "--size is for datasets: the people of these shards have 128x96" in told


def test_a_score_is_also_known_by_what_reports_call_it(sample_shards):
    told = run("inspect-mask", sample_shards["train"], "--by", "gap hidden", code=2)
    assert "is what reports call cov_gap" in told


def test_photos_that_are_enlarged_are_told(sample_dataset, tmp_path):
    words = ("preprocess", sample_dataset, tmp_path / "out", "--limit", 1)
    assert "Photos of 256 x 192 are enlarged to 512 x 384; --size 256x192" in run(*words)
    words = ("preprocess", sample_dataset, tmp_path / "same", "--limit", 1, "--size", "256x192")
    assert "are enlarged" not in run(*words)


def test_photos_from_elsewhere_may_have_numbers_of_their_own(data):
    for path in (data / "upper_body").rglob("*000000*"):
        path.rename(path.with_name(path.name.replace("000000", "900000")))
    for path in (data / "upper_body").glob("*.txt"):
        path.write_text(path.read_text().replace("000000", "900000"))
    kinds = lambda: {d.kind for d in check_dataset(data).defects if "900000" in d.key}
    assert "id_unexpected" in kinds()
    (data / ORIGINS).write_text("{}")
    assert "id_unexpected" not in kinds()


def test_the_list_that_is_there_is_named(data):
    for path in [*data.glob("*.txt"), *data.glob("*/*.txt")]:
        if "unpaired" not in path.name:
            path.unlink()
    told = run("inspect-mask", data, "--size", "128x96", code=1)
    assert "Copy the list from the dataset, or give --split test_unpaired: there it is" in told


def test_a_python_without_the_packages_is_told_where_they_are():
    code = "import sys; sys.modules['click'] = None; import runpy; runpy.run_path('cli.py')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "make setup" in done.stderr and ".venv/bin/activate" in done.stderr


def test_weights_that_see_what_they_have_not_learnt_from_are_told(sample_dataset, tmp_path):
    words = ("preprocess", sample_dataset, tmp_path / "parts", "--split", "test_paired")
    run(*words, "--size", "128x96", "--frame", "region", "--limit", 1)
    told = run("evaluate", "drawn", tmp_path / "parts", "--limit", 1, "--category", "dresses")
    assert "has learnt from whole photos; here it sees the parts around garments" in told
    out = ("--garment", "upper_body/000000", "--out", tmp_path / "a.png", "--size", "128x96")
    person = ("--data", sample_dataset, "--person", "upper_body/000000", *out)
    told = run("try-on", "drawn", *person, "--network-size", "128x96", "--frame", "region")
    assert "--frame region: the network was trained on whole" in told
    assert "--frame" not in run("try-on", "drawn", *person, "--network-size", "128x96")


def test_a_garment_that_is_neither_id_nor_file_is_named(sample_dataset, tmp_path):
    (tmp_path / "pairs.txt").write_text("000000 bar\n")
    words = ("try-on", "drawn", "--data", sample_dataset, "--pairs", tmp_path / "pairs.txt")
    told = run(*words, "--out", tmp_path / "out", "--network-size", "128x96", code=1)
    assert "bar: no garment's id, nor a file, expected an id such as 000123" in told
