"""Files of weights that were damaged, blown up or made elsewhere: told, never used in silence."""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_network

from model.network.checkpoint import load_network, load_weights, read_checkpoint, save_official
from model.network.daflow import DAFlow
from model.training.run_state import read_checkpoint as read_run
from pipeline.base.errors import DataError

ROOT = Path(__file__).parent.parent
FLIPS = 60


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return DAFlow(tiny_network())


@pytest.fixture(scope="module")
def config(network):
    return {"network": network.config.to_dict()}


def same(network, path) -> bool:
    other = DAFlow(tiny_network())
    load_weights(other, path)
    pairs = zip(network.state_dict().values(), other.state_dict().values())
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["own.pt", "own.safetensors"])
def test_no_flipped_bit_is_used_in_silence(network, tmp_path, name):
    path = tmp_path / name
    save_official(network, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    told = 0
    for at in rng.integers(0, len(whole), FLIPS):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            assert same(network, path), f"byte {at} of {len(whole)}"
        except DataError:
            told += 1
    assert told > FLIPS / 2


def test_a_flipped_bit_in_a_runs_state_is_told(tmp_path):
    path = tmp_path / "last.pt"
    state = {"format": "fittingroom", "version": 1, "place": {}, "network": torch.zeros(5000)}
    torch.save(state, path)
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 4
    path.write_bytes(spoilt)
    with pytest.raises(DataError, match="damaged.*older checkpoint|damaged.*again"):
        read_run(path)


def test_an_archive_that_python_and_torch_read_differently_is_refused(network, tmp_path):
    """One bit makes an entry a folder: torch takes it for empty, zipfile reads on."""
    path = tmp_path / "own.pt"
    save_official(network, path)
    whole = bytearray(path.read_bytes())
    entry = whole.rindex(b"PK\x01\x02")
    whole[entry + 38] ^= 0x10
    path.write_bytes(whole)
    with pytest.raises(DataError, match="a folder in place of a tensor"):
        read_checkpoint(path)


# Files that ask for much


def wide_config() -> dict:
    wide = {"channels": [4096] * 5, "fpn": 4096, "head": [4096] * 3, "light": [4096] * 2}
    return {"network": tiny_network().to_dict() | wide}


def bomb(kind: str, path: Path) -> None:
    state = DAFlow(tiny_network()).state_dict()
    if kind == "wide":
        torch.save({"network": {"a": torch.zeros(1)}, "config": wide_config()}, path)
    elif kind == "expanded":
        huge = {k: torch.zeros(1).expand(30000, 30000) for k in state}
        torch.save({"network": huge}, path)
    elif kind == "inflated":
        torch.save({"network": {"a": torch.zeros(200_000_000, dtype=torch.uint8)}}, path)
        with zipfile.ZipFile(path) as archive:
            parts = [(e.filename, archive.read(e)) for e in archive.infolist()]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in parts:
                archive.writestr(name, data)
    else:
        weights = {"a": torch.zeros(1)}
        save_file(weights, path, {"config": "[" * 100_000})


@pytest.mark.parametrize(
    "kind, name",
    [("wide", "a.pt"), ("expanded", "a.pt"), ("inflated", "a.pt"), ("nested", "a.safetensors")],
)
def test_small_files_that_ask_for_much_end_at_once_in_little_memory(tmp_path, kind, name):
    path = tmp_path / name
    bomb(kind, path)
    program = (
        "import resource, sys, time; import torch;"
        "from model.network.checkpoint import load_network;"
        "from pipeline.base.errors import DataError;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; begun = time.monotonic()\n"
        "try: load_network(sys.argv[1])\n"
        "except DataError as error: print(str(error).count(chr(10)))\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((peak - before) // 1024, time.monotonic() - begun)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-1500:]
    lines, rest = done.stdout.split("\n", 1)
    megabytes, seconds = map(float, rest.split())
    assert lines == "0" and megabytes < 300 and seconds < 20


@pytest.mark.parametrize("told", [5, [1], {"network": 3}, {"network": {}, "data": "x"}])
def test_a_description_that_is_none_is_told(network, tmp_path, told):
    torch.save({"network": network.state_dict(), "config": told}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="a config that is none"):
        load_network(tmp_path / "a.pt")


# Files as they go round


WRAPPED = {
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "distributed and compiled": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
    "lightning": lambda s: {
        "state_dict": {f"model.{k}": v for k, v in s.items()},
        "epoch": 3,
        "hyper_parameters": {"lr": 1e-3},
    },
    "model": lambda s: {"model": s, "optimizer": {"state": {}}},
    "averaged first": lambda s: {"params": {k: v * 0 for k, v in s.items()}, "params_ema": s},
    "generator": lambda s: {"netG": s, "netD": {"w": torch.zeros(1)}},
    "generator's state": lambda s: {"netG": {"state_dict": s}, "epoch": 1},
    "namespace with a path": lambda s: {
        "state_dict": s,
        "args": argparse.Namespace(out=Path("runs/a"), lr=0.1),
    },
}


@pytest.mark.parametrize("form", WRAPPED)
def test_checkpoints_in_circulation_load(network, tmp_path, form):
    torch.save(WRAPPED[form](network.state_dict()), tmp_path / "a.pt")
    assert same(network, tmp_path / "a.pt")


class Odd:
    """A class that only its maker has."""


def test_a_file_that_needs_code_is_refused_with_the_line_that_would_convert_it(network, tmp_path):
    torch.save({"state_dict": network.state_dict(), "opt": Odd()}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="trust its maker: python -c") as error:
        read_checkpoint(tmp_path / "a.pt")
    line = str(error.value).split("trust its maker: ", 1)[1]
    words = line.removeprefix('python -c "').rstrip('."') + ")" * (
        line.count("(") - line.count(")")
    )
    compile(words, "line", "exec")


def test_the_old_form_still_loads(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert same(network, tmp_path / "a.pt")
    with open(tmp_path / "a.pt", "rb") as file:
        assert pickle.load(file)  # torch's magic number


def test_foreign_safetensors_without_our_checksum_load(network, config, tmp_path):
    weights = {k: v.contiguous() for k, v in network.state_dict().items()}
    save_file(weights, tmp_path / "a.safetensors", {"config": json.dumps(config)})
    assert same(network, tmp_path / "a.safetensors")


def test_archives_that_torch_wrote_without_checksums_load(network, tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(network.state_dict(), tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert same(network, tmp_path / "a.pt")


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_without_numbers_of_their_own_are_refused(kind, tmp_path):
    value = torch.zeros(4, device="meta") if kind == "meta" else torch.zeros(4, 4).to_sparse()
    torch.save({"w": value}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="w is sparse, quantized or empty"):
        read_checkpoint(tmp_path / "a.pt")
