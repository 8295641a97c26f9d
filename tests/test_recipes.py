"""Recipes: files of options for usual runs, each held by what its head says of it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from test_docs import parse

from cli import main
from model.network.daflow import DAFlow
from model.training import published
from model.training.config import TrainConfig
from pipeline.base.labels import Category
from pipeline.preprocess.config import PreprocessConfig
from pipeline.preprocess.run import preprocess
from pipeline.sample import make_sample

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SIZE = (512, 384)
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def commands_in(recipe: Path) -> list[list[str]]:
    """Words after the program's name of the commands in a recipe's head."""
    found = re.findall(r"^# +(?:fittingroom|torchrun .*? -m cli) (.+)$", recipe.read_text(), re.M)
    return [shlex.split(words) for words in found]


def styles_packed(words: list[str]) -> tuple[str, ...]:
    """The mask styles that a ``preprocess`` command packs."""
    named = [style for flag, style in zip(words, words[1:]) if flag == "--mask-style"]
    return tuple(named) or PreprocessConfig().styles


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Two drawn upper bodies at 512 x 384, in a folder of shards with the styles of recipes."""
    base = tmp_path_factory.mktemp("recipes")
    make_sample(base / "data", 2, SIZE, categories=(Category.UPPER_BODY,))
    preprocess(base / "data", base / "shards", size_hw=SIZE, styles=("daflow", "standard"))
    return base / "shards"


@pytest.fixture(scope="module")
def bare_weights(tmp_path_factory) -> Path:
    """Bare weights of the published network's shape, filled by name and shape."""
    sys.path.insert(0, str(ROOT / "tests" / "data" / "golden"))
    import fill

    state = {
        name: torch.from_numpy(np.asarray(fill.weight(name, tuple(value.shape)))).to(value.dtype)
        for name, value in DAFlow().state_dict().items()
    }
    path = tmp_path_factory.mktemp("weights") / "ckpt_viton.pt"
    torch.save(state, path)
    return path


def call(*words) -> dict:
    done = CliRunner().invoke(main, ["train", *map(str, words), "--perceptual", "none", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) | {"said": done.stderr}


@each_recipe
def test_a_recipes_commands_are_ones_that_the_command_line_takes(recipe):
    shown = commands_in(recipe)
    assert [words[0] for words in shown] == ["preprocess", "train"]
    for words in shown:
        parse(words)
    assert f"--config recipes/{recipe.name}" in " ".join(shown[1])


@each_recipe
def test_the_shards_that_a_recipe_makes_hold_the_masks_that_it_trains_with(recipe):
    making, training = commands_in(recipe)
    style = yaml.safe_load(recipe.read_text())["mask_style"]
    assert set(style.split(">")) <= set(styles_packed(making))
    assert making[2] == training[1]  # one folder


@each_recipe
def test_every_option_of_a_recipe_reaches_the_run(recipe, people, bare_weights, tmp_path):
    arguments = ["--config", recipe, "--init", bare_weights, "--validation-share", 0, "--dry-run"]
    told = call(people, tmp_path / "run", *arguments)["config"]["train"]
    wanted = yaml.safe_load(recipe.read_text()) | {"validation_share": 0}
    assert {name: told[name] for name in wanted} == wanted


def test_the_usual_recipe_says_what_the_defaults_are():
    told = yaml.safe_load((ROOT / "recipes" / "dresscode-512.yaml").read_text())
    usual = TrainConfig().to_json() | {"limit": 1800, "statistics": "frozen"}
    assert {name: usual[name] for name in told} == told


def test_the_table_of_official_training_says_what_a_run_says_of_the_published_weights():
    text = (ROOT / "docs" / "training.md").read_text()
    rows = re.findall(r"^\| ([\w' ]+) \| (.+?) \| (.+?) \|", text, re.M)
    official = {what: told.replace("`", "") for what, told, _ in rows}
    height, width = published.SIZE.split("x")
    assert official["masks"].startswith(published.MASK)
    assert official["size"].startswith(f"{height} x {width}")
    assert official["batch"] == str(published.BATCH)
    assert official["epochs"] == str(published.EPOCHS)
    assert f"x {published.STEP_FACTOR:g} every {published.STEP_EPOCHS}" in official["schedule"]
    kind, rate, decay = official["optimiser"].split(", ")
    assert (kind, float(rate), decay) == ("AdamW", published.RATE, f"decay {published.DECAY:g}")


def test_a_recipe_trains_the_published_network_at_its_full_size(people, bare_weights, tmp_path):
    recipe, run = ROOT / "recipes" / "dresscode-512.yaml", tmp_path / "run"
    small = ["--epochs", 1, "--validation-share", 0, "--pictures", 0, "--workers", 0]
    told = call(people, run, "--config", recipe, "--init", bare_weights, *small, "--device", "cpu")
    assert "Pairs: 2 (upper body 2), 0 held out, 512 x 384, masks standard" in told["said"]
    assert "bare weights of the published network" in told["said"]
    assert told["epochs"] == 1 and told["warnings"] == []
    before, after = torch.load(bare_weights), torch.load(run / "best.pt")["network"]
    assert sum(value.numel() for value in after.values()) > 37_000_000
    moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert any("dafnet" in name for name in moved) and any("FPN" in name for name in moved)
    assert not [name for name in moved if "running" in name]  # frozen
