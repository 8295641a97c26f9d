"""The house as docs/design.md draws it: imports point one way, every module is named, every command
is told."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main

ROOT = Path(__file__).parent.parent
DESIGN = (ROOT / "docs/design.md").read_text()
README = (ROOT / "README.md").read_text()


def modules(package):
    return sorted(p for p in (ROOT / package).rglob("*.py") if p.name != "__init__.py")


def tree():
    """Paths that the page draws, folders with a slash at the end."""
    above = []
    for line in DESIGN.split("```")[1].strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        names = line.split() if depth == 0 and "." in name and line.count(".") > 2 else [name]
        above = above[:depth] + [name]
        yield from ("".join(above[:-1]) + name for name in names)


def test_the_pipeline_runs_without_torch():
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in modules("pipeline")]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
above = ('torch', 'model', 'commands')
print(len({names!r}), sorted(m for m in sys.modules if m.split('.')[0] in above))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split(maxsplit=1) == [str(len(names)), "[]\n"] and len(names) > 30


def test_every_import_points_one_way():
    # Layers, rooms and packages stand in setup.cfg, which import-linter reads.
    command = [Path(sys.executable).with_name("lint-imports"), "setup.cfg", "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stdout
    assert "5 kept, 0 broken" in found.stdout


@pytest.mark.parametrize("package", ["pipeline", "model"])
def test_every_module_lives_in_a_room_that_says_what_it_does(package):
    assert [p.name for p in (ROOT / package).glob("*.py")] == ["__init__.py"]
    rooms = [p.parent for p in (ROOT / package).glob("*/__init__.py")]
    assert len(rooms) >= 7
    for room in rooms:
        told = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
        assert told and "leave" in told, room


def test_the_design_names_every_module_and_nothing_else():
    drawn = set(tree())
    assert {
        "commands/",
        "pipeline/base/errors.py",
        "pipeline/sample/mesh.py",
        "model/page/app.py",
        "setup.cfg",
    } <= drawn
    assert not [name for name in drawn if not (ROOT / name).exists()]
    existing = {
        p.relative_to(ROOT).as_posix()
        for package in ("pipeline", "model")
        for p in modules(package)
    }
    assert existing - drawn == set()


@pytest.mark.parametrize("name", list(main.modules))
def test_every_command_has_an_example_and_stands_in_the_readme(name):
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0
    example = shown.output[shown.output.index("Example") :]
    assert re.search(rf"fittingroom {name} \S", example), shown.output
    assert f"| `{name}` |" in README


def test_links_between_the_pages_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if not re.match(r"\w+:", target):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
