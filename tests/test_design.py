"""The house as docs/design.md draws it: imports point one way, every module is named, every command is told."""

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
LAYERS = [  # each may import from the lines above it, not from those below
    {"errors", "labels"}, {"manifest", "files", "storage", "geometry"}, {"readers", "pose"},
    {"agnostic", "dresscode", "scores", "shards"}, {"check", "run", "report", "sample", "annotate"}]


def modules(package):
    return sorted(p for p in (ROOT / package).rglob("*.py") if p.name != "__init__.py")


def imported(path):
    """Full names of everything that a module imports, inside of functions too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


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
print(len({names!r}), sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'model', 'commands')))
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split(maxsplit=1) == [str(len(names)), "[]\n"] and len(names) > 30


@pytest.mark.parametrize("package, barred", [("pipeline", {"torch", "model", "commands", "cli"}),
                                             ("model", {"commands", "cli"})])
def test_no_module_imports_from_above_its_package(package, barred):
    for path in modules(package):
        found = {name for name in imported(path) if name.split(".")[0] in barred}
        assert not found, f"{path}: {found}"


def test_stages_of_the_pipeline_import_only_from_the_layers_before_them():
    for number, layer in enumerate(LAYERS):
        later = {f"pipeline.{name}" for names in LAYERS[number + 1:] for name in names}
        for name in layer:
            paths = modules(f"pipeline/{name}") or [ROOT / f"pipeline/{name}.py"]
            for path in paths:
                wrong = later & {n if n.count(".") < 2 else n.rsplit(".", 1)[0] for n in imported(path)}
                assert not wrong, f"{path}: {wrong}"


def test_only_the_commands_know_the_commands():
    for path in modules("commands"):
        others = {name for name in imported(path) if name.startswith("commands.")}
        assert {name.split(".")[1] for name in others} <= {"common"}, path


def test_the_design_names_every_module_and_nothing_else():
    drawn = set(tree())
    assert {"commands/", "pipeline/errors.py", "pipeline/sample/mesh.py", "model/page/app.py", "setup.cfg"} <= drawn
    assert not [name for name in drawn if not (ROOT / name).exists()]
    existing = {p.relative_to(ROOT).as_posix() for package in ("pipeline", "model") for p in modules(package)}
    assert existing - drawn == set()


@pytest.mark.parametrize("name", list(main.modules))
def test_every_command_has_an_example_and_stands_in_the_readme(name):
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0
    example = shown.output[shown.output.index("Example"):]
    assert re.search(rf"fittingroom {name} \S", example), shown.output
    assert f"| `{name}` |" in README



def test_links_between_the_pages_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if not re.match(r"\w+:", target):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
