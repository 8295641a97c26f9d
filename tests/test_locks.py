"""Lock files: what is installed is what was locked, to the bit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted([ROOT / "requirements.lock", *ROOT.glob("scripts/*.lock")])
PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)", re.M)


def pinned(path: Path) -> dict[str, str]:
    return {name.lower().replace("_", "-"): v for name, v in PINNED.findall(path.read_text())}


def test_the_lock_holds_the_versions_that_are_tested_but_torch():
    versions = pinned(ROOT / "constraints.txt")
    assert versions.pop("torch")
    assert pinned(ROOT / "requirements.lock") == versions


def test_opencv_without_windows_has_the_version_of_the_one_with_them():
    headless = pinned(ROOT / "scripts/headless.lock")["opencv-python-headless"]
    assert headless == pinned(ROOT / "constraints.txt")["opencv-python"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_sums(path):
    entries = re.split(r"(?m)^(?=[\w.-]+==)", path.read_text())[1:]
    assert len(entries) == len(pinned(path)) > 0
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.split()[0]


@pytest.mark.parametrize("name", ["setup.sh", "setup_photo.sh"])
def test_packages_are_installed_by_their_sums(name):
    script = (ROOT / "scripts" / name).read_text()
    files = re.findall(r"--require-hashes --no-deps -r (\S+)", script)
    assert files and all((ROOT / file).is_file() for file in files)
    assert "EXTRA_INDEX" not in script
