"""Weights by a name of Hugging Face's hub: from its local cache here, nothing is asked of any
network."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from tiny import tiny_network

from cli import main
from model.network.checkpoint import load_network, save_official
from model.network.daflow import DAFlow
from model.network.hub import fetch, push
from pipeline.base.errors import DataError

hub = pytest.importorskip("huggingface_hub")
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Adds files to a cache as the hub's own library lays it out."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def add(repository: str, *names: str) -> None:
        folder = cache / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs/main").write_text(REVISION)
        snapshot = folder / "snapshots" / REVISION
        snapshot.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        for name in names:
            save_official(DAFlow(tiny_network()), snapshot / name)

    original = hub.snapshot_download

    def here(*words, **options):
        return original(*words, cache_dir=str(cache), local_files_only=True, **options)

    monkeypatch.setattr(hub, "snapshot_download", here)
    return add


def test_a_name_of_the_hub_stands_for_its_one_file(cached):
    cached("me/tryon", "weights.safetensors")
    path = fetch("hf:me/tryon")
    assert path.name == "weights.safetensors" and load_network(path).config == tiny_network()
    assert fetch("hf:me/tryon/weights.safetensors") == path
    assert fetch(f"hf:me/tryon@{REVISION}") == path


def test_several_files_have_to_be_told_apart(cached):
    cached("me/two", "a.safetensors", "b.safetensors")
    with pytest.raises(DataError, match="2 files of weights .a.safetensors, b.safetensors"):
        fetch("hf:me/two")
    assert fetch("hf:me/two/b.safetensors").name == "b.safetensors"


@pytest.mark.parametrize(
    "name, told",
    [
        ("hf:me/none", "could not be fetched"),
        ("hf:me", "no name of a repository"),
        ("hf:me/tryon/code.bin", "ends in .safetensors"),
    ],
)
def test_what_is_not_there_is_told(cached, name, told):
    with pytest.raises(DataError, match=told):
        fetch(name)


def test_commands_take_such_a_name(cached, tmp_path):
    cached("me/tryon", "weights.safetensors")
    words = ["export", "hf:me/tryon", str(tmp_path / "copy.safetensors")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    missing = CliRunner().invoke(
        main, ["export", "hf:me/none", str(tmp_path / "other.safetensors")]
    )
    assert missing.exit_code == 1 and "Traceback" not in missing.output


class FakeApi:
    """Writes down what would be sent."""

    sent: list = []

    def create_repo(self, repository, **options):
        if repository.startswith("other/"):
            raise ValueError("403 Forbidden: not yours")
        self.sent.append((repository, options["private"]))

    def upload_file(self, *, path_or_fileobj, path_in_repo, repo_id):
        self.sent.append((repo_id, path_in_repo, len(open(path_or_fileobj, "rb").read()) > 0))  # noqa: SIM115


def test_export_pushes_weights_and_card(cached, tmp_path, monkeypatch):
    cached("me/tryon", "weights.safetensors")
    monkeypatch.setattr(hub, "HfApi", FakeApi)
    FakeApi.sent = []
    out = tmp_path / "mine.safetensors"
    done = CliRunner().invoke(main, ["export", "hf:me/tryon", str(out), "--push", "me/new"])
    assert done.exit_code == 0 and "https://huggingface.co/me/new" in done.output
    assert FakeApi.sent == [
        ("me/new", True),
        ("me/new", "mine.safetensors", True),
        ("me/new", "README.md", True),
    ]
    with pytest.raises(DataError, match="not yours.*Log in"):
        push(out, out.with_suffix(".md"), "other/new")
