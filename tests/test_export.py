"""``export``: what is written loads again, tells where it comes from, and computes the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from tiny import tiny_network, tiny_shards

from cli import main
from model.network.checkpoint import load_network
from model.network.daflow import DAFlow
from model.tryon.export import save_onnx
from model.tryon.predictor import TryOn
from pipeline.base.errors import DataError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    network = DAFlow(tiny_network())
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    torch.save(
        {
            "format": "fittingroom",
            "version": 1,
            "network": network.state_dict(),
            "config": {
                "network": network.config.to_dict(),
                "train": {"mask_style": "mix", "epochs": 3},
                "data": {"pairs": 5400, "size": "64x64"},
            },
        },
        path,
    )
    return path


def run(*arguments, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


def inputs() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(1, count, 64, 64) * 2 - 1 for count in (6, 3, 3)]


def result_of(path) -> torch.Tensor:
    with torch.no_grad():
        return load_network(path)(*inputs())


def test_safetensors_load_again_and_compute_the_same(checkpoint, tmp_path):
    run(checkpoint, tmp_path / "tryon.safetensors")
    assert torch.equal(result_of(tmp_path / "tryon.safetensors"), result_of(checkpoint))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tryon.md", "tryon.safetensors"]


def test_header_and_card_tell_configuration_data_masks_and_figures(checkpoint, tmp_path):
    shards = tiny_shards(tmp_path / "shards", people=1)
    measured = CliRunner().invoke(
        main,
        [
            "evaluate",
            str(checkpoint),
            str(shards),
            "--json",
            str(tmp_path / "figures.json"),
            "--device",
            "cpu",
        ],
    )
    assert measured.exit_code == 0, measured.output
    run(checkpoint, tmp_path / "tryon.safetensors", "--evaluation", tmp_path / "figures.json")
    with safe_open(str(tmp_path / "tryon.safetensors"), framework="pt") as file:
        header = file.metadata()
    facts, config = json.loads(header["card"]), json.loads(header["config"])
    assert config["network"] == json.loads(json.dumps(tiny_network().to_dict()))
    assert facts["mask_style"] == "mix" and facts["data"]["pairs"] == 5400
    ssim = facts["evaluation"]["metrics"]["paired"]["all"]["ssim"]
    card = (tmp_path / "tryon.md").read_text()
    checksum = facts["weights"]["sha256"]
    for words in (
        "5400 pairs at 64x64",
        "| masks | mix |",
        f"{ssim:.4f}",
        "paired, dresses",
        checksum,
    ):
        assert words in card


def test_figures_of_other_weights_are_refused(checkpoint, tmp_path):
    (tmp_path / "other.json").write_text(
        json.dumps({"weights": {"file": "other.pt", "sha256": "1"}})
    )
    assert "other.pt" in run(
        checkpoint, tmp_path / "x.safetensors", "--evaluation", tmp_path / "other.json", code=1
    )
    assert not (tmp_path / "x.safetensors").exists()


def test_official_form_is_a_bare_state_dict(checkpoint, tmp_path):
    run(checkpoint, tmp_path / "official.pt", "--official")
    stored = torch.load(tmp_path / "official.pt", weights_only=True)
    assert set(stored) == set(DAFlow(tiny_network()).state_dict())
    assert all(torch.is_tensor(value) for value in stored.values())


def test_onnx_agrees_with_torch_on_other_pictures_and_leaves_the_network_as_it_was(
    checkpoint, tmp_path
):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    predictor = TryOn.load(checkpoint, "cpu")
    before = predictor.network.dafnet.lean, predictor.network.dafnet.warp_method
    assert save_onnx(predictor, tmp_path / "tryon.onnx", (64, 64)) < 1e-4
    assert (predictor.network.dafnet.lean, predictor.network.dafnet.warp_method) == before
    session = onnxruntime.InferenceSession(
        str(tmp_path / "tryon.onnx"), providers=["CPUExecutionProvider"]
    )
    assert [i.shape for i in session.get_inputs()] == [
        [1, 6, 64, 64],
        [1, 3, 64, 64],
        [1, 3, 64, 64],
    ]
    found = session.run(
        None, dict(zip(("reference", "garment", "agnostic"), (i.numpy() for i in inputs())))
    )[0]
    np.testing.assert_allclose(found, result_of(checkpoint).numpy(), atol=1e-4)


def test_onnx_of_a_network_that_estimates_flows_on_smaller_pictures(tmp_path):
    """As all that come with the program do."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    network = DAFlow(replace(tiny_network(), work_rows=64)).eval()
    predictor = TryOn(network)
    assert save_onnx(predictor, tmp_path / "tryon.onnx", (128, 64)) < 1e-3
    with pytest.raises(DataError, match="whole multiple of the 64 rows"):
        save_onnx(predictor, tmp_path / "other.onnx", (96, 64))
    assert not (tmp_path / "other.onnx").exists()


def test_onnx_that_disagrees_is_not_written(checkpoint, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("model.tryon.export.LARGEST_ONNX_ERROR", -1.0)
    with pytest.raises(DataError, match="off by"):
        save_onnx(TryOn.load(checkpoint, "cpu"), tmp_path / "tryon.onnx", (64, 64))
    assert list(tmp_path.iterdir()) == []


def test_names_and_places_that_cannot_be_are_told(checkpoint, tmp_path):
    assert ".safetensors or .onnx" in run(checkpoint, tmp_path / "tryon.bin", code=2)
    assert "no such folder" in run(checkpoint, tmp_path / "none" / "tryon.safetensors", code=1)
