"""``doctor``: what a machine has, tried; told also where things are missing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cli import main
from model.network import warp as warp_module
from model.network.warp import kernel_trouble
from model.training import doctor
from model.training.doctor import FAILS, NOTE, WORKS, Finding, examine
from pipeline.base.errors import Notice

ROOT = Path(__file__).parent.parent


def found(folder: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(folder)}


def test_everything_is_tried_and_told_with_what_to_do(tmp_path):
    result = CliRunner().invoke(main, ["doctor", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for name in ("Python", "torch", "GPU", "C compiler", "fused warp", "disc", "MediaPipe"):
        assert f" {name}: " in result.output
    assert result.output.endswith("All that is needed works.\n")
    assert not list(tmp_path.iterdir())


def test_findings_come_as_json(tmp_path):
    result = CliRunner().invoke(main, ["doctor", "--json", "--folder", str(tmp_path)])
    entries = json.loads(result.output)
    assert {"name", "state", "found", "remedy"} == set(entries[0])
    assert {entry["state"] for entry in entries} <= {WORKS, NOTE, FAILS}


def test_a_machine_without_torch_is_told_so_and_the_rest_is_tried_all_the_same(tmp_path):
    program = "import sys; sys.modules['torch'] = None; from cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "fails  torch: can't be imported" in done.stdout
    assert "file system" in done.stdout and "MediaPipe" in done.stdout
    assert done.stdout.endswith("1 of these must be mended.\n")


def test_a_folder_that_is_not_there_and_a_place_without_locks_are_told(tmp_path, monkeypatch):
    assert found(tmp_path / "none")["folder"].state == FAILS

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = found(tmp_path)["file system"]
    assert told.state == NOTE and "no locks" in told.found


def test_a_slim_image_lacks_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert found(tmp_path)["C compiler"].state == NOTE


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch is built with CUDA")
def test_a_card_that_this_torch_cannot_use_is_a_fault(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 3080, 550.90'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    told = found(tmp_path)["GPU"]
    assert told.state == FAILS and "RTX 3080" in told.found and "CPU alone" in told.found


def test_whatever_breaks_in_a_check_is_a_finding(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("no such bus")
        yield

    monkeypatch.setattr(doctor, "_machine", broken)
    assert any("no such bus" in finding.found for finding in examine(tmp_path))


def test_where_triton_cannot_compile_the_warp_goes_on_without_and_says_why(monkeypatch):
    def launch(*_):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(warp_module, "_tiny_launch", launch)
    kernel_trouble.cache_clear()
    try:
        with pytest.warns(Notice, match="(?s)without Triton.*C compiler.*gcc"):
            assert "C compiler" in kernel_trouble(torch.device("cpu"))
        assert not warp_module._kernel_takes(torch.zeros(1), torch.zeros(1))
    finally:
        kernel_trouble.cache_clear()


def test_a_launch_whose_result_is_wrong_is_not_trusted(monkeypatch):
    with pytest.raises(RuntimeError, match="came out wrong"):
        warp_module._tiny_launch(lambda features, *_: features[:1] * 0, torch.device("cpu"))


def test_a_launch_that_works_is_used(tmp_path):
    pytest.importorskip("triton")
    program = (
        "import torch; from model.network.warp import kernel_trouble;"
        "print(repr(kernel_trouble(torch.device('cpu'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "''", done.stderr[-2000:]
