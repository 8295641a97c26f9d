"""The Dockerfile names what is there: files, extras and commands."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

from cli import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "Dockerfile").read_text()


def test_every_file_that_is_copied_is_there_and_reaches_the_build():
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [line.split()[1:-1] for line in TEXT.splitlines() if line.startswith("COPY ")]
    names = {name for words in copied for name in words}
    assert names == allowed
    assert all((ROOT / name).exists() for name in names)


def test_every_extra_and_command_exists():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = settings["options.extras_require"]
    for found in re.findall(r'"\.\[([\w,]+)\]"', TEXT):
        assert all(name in extras for name in found.split(","))
    for words in re.findall(r"^CMD (\[.*\])$", TEXT, re.M):
        name, *options = json.loads(words)
        known = {o for p in main.get_command(None, name).params for o in p.opts}
        assert all(option in known for option in options if option.startswith("--"))
    assert len(re.findall(r"^FROM \S+ AS (cpu|cuda)$", TEXT, re.M)) == 2


def test_the_weights_are_part_of_the_package():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    patterns = settings["options.package_data"]["*"].split(", ")
    assert "weights/*" in patterns
