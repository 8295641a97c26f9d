"""docs/tutorial.ipynb runs from top to bottom on a small sample."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs/tutorial.ipynb"


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_every_cell_runs_and_people_are_dressed(tmp_path):
    proof = """
changed = (dressed != person.photo).any(2)
assert changed.any() and not changed[~masks["standard"]].any()
assert Path("figures.html").is_file() and (run / "best.pt").is_file()
"""
    (tmp_path / "tutorial.py").write_text("\n\n".join(code_cells()) + proof)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TUTORIAL_PEOPLE": "5",
        "TUTORIAL_EPOCHS": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "tutorial.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "5 people; lower_body/" in done.stdout
    assert "garment's mean colour" in done.stdout


def test_the_notebook_holds_no_pictures_and_no_paths_of_a_machine():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") for cell in cells)
    assert NOTEBOOK.stat().st_size < 20_000 and "/home/" not in NOTEBOOK.read_text()
