"""What a notebook imports: lazy, typed, and as docs/api.md says."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import model
import pipeline

ROOT = Path(__file__).parent.parent


def test_the_page_on_python_says_what_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, options = ROOT / "docs/api.md", doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    parser = doctest.DocTestParser()
    text = page.read_text().replace("```\n", "\n")
    test = parser.get_doctest(text, {}, "api.md", str(page), 0)
    assert len(test.examples) > 25
    runner = doctest.DocTestRunner(optionflags=options)
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("package", [pipeline, model])
def test_every_public_name_is_there_and_on_the_page(package):
    page = (ROOT / "docs/api.md").read_text()
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert re.search(rf"\b{name}\b", page), name
    with pytest.raises(AttributeError, match="no attribute 'dress'"):
        package.dress  # noqa: B018


def test_importing_the_packages_loads_neither_torch_nor_opencv():
    code = """
import sys
import pipeline, model
loaded = {name.split('.')[0] for name in sys.modules}
print(sorted(loaded & {'torch', 'cv2', 'numpy', 'h5py', 'PIL', 'scipy', 'skimage'}))
from pipeline import Category, Person, open_people, render_agnostic_mask, ShardFolder, score_mask
print('torch' in sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
    )
    assert found.stdout == "[]\nFalse\n", found.stderr


@pytest.mark.parametrize("package", ["pipeline", "model"])
def test_the_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in (ROOT / "setup.cfg").read_text()
