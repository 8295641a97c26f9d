"""README and docs stay true: their commands run, and the names they tell exist."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOW = [p for p in PAGES if "decisions" not in p.parts]  # decisions tell of the past


def blocks(page: Path) -> str:
    return "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.M | re.S))


def shown_commands() -> list[tuple[str, list[str]]]:
    """(page, words after ``fittingroom``) of every command in a block of README and docs."""
    found = []
    for page in NOW:
        text = blocks(page).replace("\\\n", " ")
        for line in text.splitlines():
            match = re.match(r"\s*\$?\s*(?:fittingroom|python cli\.py) (.+)", line)
            if match:
                told = re.sub(r"\$[A-Z_]+", "1", match[1])  # variables of a shell
                words = shlex.split(told, comments=True)
                found.append((page.relative_to(ROOT).as_posix(), words))
    return found


class Anywhere(click.Path):
    """A path that need not be there, unless it is one of the repository."""

    def convert(self, value, param, ctx):
        return ROOT / value if (ROOT / value).exists() else Path(value)


def parse(words: list[str]) -> None:
    """Parses a command as click does, without running it. Raises click's UsageError."""
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, f"no command {words[0]}"
    types = {p.name: p.type for p in command.params}
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type = Anywhere()
    try:
        command.make_context(words[0], list(words[1:]))
    finally:
        for parameter in command.params:
            parameter.type = types[parameter.name]


@pytest.mark.parametrize(
    "page, words", [pytest.param(*c, id=f"{c[0]} {' '.join(c[1])[:60]}") for c in shown_commands()]
)
def test_a_command_that_a_page_shows_is_one_that_the_command_line_takes(page, words):
    parse(words)


def test_the_pages_show_commands():
    shown = {words[0] for _, words in shown_commands()}
    assert {"check", "preprocess", "train", "evaluate", "try-on", "inspect-mask"} <= shown


def test_readmes_way_with_the_real_dataset_runs_on_the_sample(sample_dataset, tmp_path):
    # As the page has it, but for names of folders and what makes it small.
    small = {
        "preprocess": ["--size", "128x96", "--jobs", "1", "--limit", "2"],
        "inspect-mask": ["--jobs", "1"],
        "check": ["--jobs", "1"],
    }
    ran = []
    os.symlink(sample_dataset, tmp_path / "DressCode")
    for page, words in shown_commands():
        if page != "README.md" or words[0] not in small:
            continue
        done = subprocess.run(
            [sys.executable, ROOT / "cli.py", *words, *small[words[0]]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        ran.append(words[0])
    assert ran.count("preprocess") == 3 and {"check", "inspect-mask"} <= set(ran)
    assert (tmp_path / "masks.html").is_file() and (tmp_path / "leave-out.txt").is_file()


@pytest.mark.parametrize("page", NOW, ids=lambda p: p.name)
def test_files_and_names_that_a_page_tells_exist(page):
    text = page.read_text()
    for path in re.findall(
        r"`((?:pipeline|model|commands|tests|benchmarks|scripts|docs|recipes)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`((?:pipeline|model)\.[\w.]+)(?:\(.*?\))?`", text):
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:cut]))
                break
            except ModuleNotFoundError:
                continue
        for part in parts[cut:]:
            found = getattr(found, part)


@pytest.mark.parametrize("name", list(main.modules))
def test_options_that_a_page_tells_of_a_command_are_options(name):
    # `train --patience` and the like, wherever they stand.
    command = main.get_command(click.Context(main), name)
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    for page in NOW:
        for told in re.findall(rf"`(?:fittingroom )?{name} (--[\w-]+)", page.read_text()):
            assert told in known, f"{page.name}: {name} {told}"


def test_a_package_that_hides_ours_is_told_and_not_run(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/__init__.py").write_text("print('theirs')\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({str(ROOT)!r}); "
        "from cli import main; main(['--version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "theirs" not in done.stdout
    assert f"model is {tmp_path / 'model'}" in done.stderr and "hides ours" in done.stderr


def test_the_command_line_tells_its_version():
    from pipeline import __version__

    assert __version__ in CliRunner().invoke(main, ["--version"]).output
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()
