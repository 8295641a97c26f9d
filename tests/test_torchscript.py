"""TorchScript files that users bring are programs: they run without rights to the disc."""

from __future__ import annotations

import contextlib
import hashlib
import io

import numpy as np
import pytest
import torch

from model.tryon import torchscript
from model.tryon.torchscript import TorchScript
from model.tryon.torchscript_worker import landlock_version
from pipeline.base.errors import DataError
from tests.sandboxed import needs_sandbox

PICTURE = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 3, 2, 4)


class Doubles(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x, add: bool = False):
        if x.shape[0] > 1:
            raise RuntimeError("one picture at a time")
        return {"twice": 2 * x + (1 if add else 0), "sum": x.sum()}


class Writes(torch.nn.Module):
    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x):
        torch.save(x, self.path)
        return x


class Reads(torch.nn.Module):
    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x):
        return torch.from_file(self.path, size=4, dtype=torch.uint8).float()


def saved(module: torch.nn.Module, path):
    torch.jit.script(module.eval()).save(str(path))
    return path


@needs_sandbox
def test_a_network_gives_what_it_gives_at_home(tmp_path):
    network = Doubles()
    there = TorchScript(saved(network, tmp_path / "a.pt"))
    twice, total = there(PICTURE, add=True)
    np.testing.assert_array_equal(twice, 2 * PICTURE + 1)
    assert total == PICTURE.sum() and total.dtype == np.float32
    (part,) = there(PICTURE, part="head")
    np.testing.assert_allclose(part, network.head(torch.from_numpy(PICTURE)).detach(), rtol=1e-6)
    with pytest.raises(RuntimeError, match="one picture at a time"):
        there(np.repeat(PICTURE, 2, 0))
    with pytest.raises(RuntimeError, match="no part 'tail'"):
        there(PICTURE, part="tail")
    np.testing.assert_array_equal(there(PICTURE)[0], 2 * PICTURE)  # it goes on after errors


@needs_sandbox
def test_a_network_can_neither_write_nor_read_files(tmp_path):
    secret, target = tmp_path / "secret", tmp_path / "written"
    secret.write_bytes(b"\x01\x02\x03\x04")
    at_home = torch.jit.load(saved(Reads(str(secret)), tmp_path / "reads.pt"))
    assert at_home(torch.zeros(1)).tolist() == [1, 2, 3, 4]  # it could, where it has the right
    with pytest.raises(RuntimeError):
        TorchScript(tmp_path / "reads.pt")(PICTURE)
    at_home = torch.jit.load(saved(Writes(str(target)), tmp_path / "writes.pt"))
    at_home(torch.zeros(1))
    target.unlink()  # it was there
    with contextlib.suppress(RuntimeError):  # torch does not tell that it could not write
        TorchScript(tmp_path / "writes.pt")(PICTURE)
    assert not target.exists() and secret.read_bytes() == b"\x01\x02\x03\x04"


def test_a_known_file_runs_here_and_without_a_sandbox_no_other_does(tmp_path, monkeypatch):
    path = saved(Doubles(), tmp_path / "a.pt")
    monkeypatch.setattr(torchscript, "landlock_version", lambda: 0)
    with pytest.raises(DataError, match="Landlock.*ONNX"):
        TorchScript(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(torchscript, "KNOWN", {digest: "a.pt"})
    np.testing.assert_array_equal(TorchScript(path)(PICTURE)[0], 2 * PICTURE)


@needs_sandbox
def test_what_is_no_network_is_one_sentence(tmp_path):
    (tmp_path / "words.pt").write_bytes(b"no network")
    with pytest.raises(DataError, match="no TorchScript file"):
        TorchScript(tmp_path / "words.pt")
    with pytest.raises(DataError, match="No such file"):
        TorchScript(tmp_path / "nowhere.pt")


@needs_sandbox
def test_a_process_that_ends_is_told(tmp_path):
    network = TorchScript(saved(Doubles(), tmp_path / "a.pt"))
    network._process.kill()
    with pytest.raises(DataError, match="ended without an answer"):
        network(PICTURE)


def test_answers_are_as_foreign_as_files():
    for shape in ([-1, 2], [1 << 40], [1] * 9, ["x"]):
        with pytest.raises(ValueError):
            torchscript._arrays({"arrays": [{"shape": shape}]}, io.BytesIO(b""))


def test_the_systems_version_is_a_number():
    assert landlock_version() >= 0
