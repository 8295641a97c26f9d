"""Checkpoints of every kind load, and what does not fit is refused by name."""

from __future__ import annotations

import argparse

import pytest
import torch

from model.network.checkpoint import load_network, load_weights, save_official
from model.network.config import NetworkConfig
from model.network.daflow import DAFlow
from pipeline.base.errors import DataError

SMALL = NetworkConfig.preset("small")


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    network = DAFlow(SMALL)
    with torch.no_grad():
        for value in network.parameters():
            value.normal_()
    return network


def prefixed(state):
    return {"module." + k: v for k, v in state.items()}


FORMS = {
    "bare": lambda state: state,
    "prefixed": prefixed,
    "official training": lambda state: {
        "state_dict": prefixed(state),
        "optim": {"state": {}},
        "opt": argparse.Namespace(lr=5e-5, name="x"),
    },
    "own training": lambda state: {
        "format": "fittingroom",
        "version": 1,
        "config": {"network": SMALL.to_dict()},
        "network": state,
    },
    "half precision": lambda state: {
        k: v.half() if v.is_floating_point() else v for k, v in state.items()
    },
    "without counters": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_checkpoint_loads(form, trained, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(FORMS[form](trained.state_dict()), path)
    network = DAFlow(SMALL)
    load_weights(network, path)
    for name, value in trained.named_parameters():
        expected = value.half().float() if form == "half precision" else value
        assert torch.equal(network.get_parameter(name), expected), name


def test_network_is_built_from_the_config_in_the_file(trained, tmp_path):
    torch.save(FORMS["own training"](trained.state_dict()), tmp_path / "last.pt")
    network = load_network(tmp_path / "last.pt")
    assert network.config == SMALL and not network.training


@pytest.mark.parametrize("name", ["out.pt", "out.safetensors"])
def test_written_weights_come_back_and_have_the_official_form(name, trained, tmp_path):
    save_official(trained, tmp_path / name)
    other = DAFlow(SMALL)
    load_weights(other, tmp_path / name)
    assert all(
        torch.equal(a, b)
        for a, b in zip(trained.state_dict().values(), other.state_dict().values())
    )
    assert [p.name for p in tmp_path.iterdir()] == [name]
    if name.endswith(".pt"):
        bare = torch.load(tmp_path / name, weights_only=True)
        assert list(bare) == list(trained.state_dict()) and all(
            v.is_contiguous() for v in bare.values()
        )
    else:
        assert load_network(tmp_path / name).config == SMALL


def refused(network, path):
    with pytest.raises(DataError) as error:
        load_weights(network, path)
    return str(error.value)


def test_weights_of_another_network_are_refused_with_names_and_counts(trained, tmp_path):
    state = dict(trained.state_dict())
    del state["dafnet.lights_decoder.2.bias"]
    state["head.weight"] = torch.zeros(2)
    state["source_FPN.adaptive.0.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "other.pt")
    text = refused(DAFlow(SMALL), tmp_path / "other.pt")
    assert (
        "1 missing (dafnet.lights_decoder.2.bias)" in text and "1 unexpected (head.weight)" in text
    )
    assert f"source_FPN.adaptive.0.bias is 7 instead of {SMALL.fpn}" in text


def test_a_refused_file_leaves_the_network_as_it_was(trained, tmp_path):
    state = dict(trained.state_dict())
    state["head.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "other.pt")
    network = DAFlow(SMALL)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    refused(network, tmp_path / "other.pt")
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_small_weights_without_config_are_refused_for_the_published_network(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "small.pt")
    with pytest.raises(DataError, match="of another shape"):
        load_network(tmp_path / "small.pt")


def test_weights_of_a_diverged_training_are_refused(trained, tmp_path):
    state = {k: v.clone() for k, v in trained.state_dict().items()}
    state["source_FPN.adaptive.0.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    assert "NaN" in refused(DAFlow(SMALL), tmp_path / "nan.pt")


class Mischief:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"state_dict": {}, "x": Mischief(tmp_path / "done")}, tmp_path / "bad.pt")
    assert "not run" in refused(DAFlow(SMALL), tmp_path / "bad.pt")
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"PK\x03\x04broken", b"\x80\x02}q\x00."]
)
def test_a_file_that_is_no_checkpoint_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert name in refused(DAFlow(SMALL), tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1}}, {}, torch.zeros(3)])
def test_other_contents_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    assert "expected a state_dict" in refused(DAFlow(SMALL), tmp_path / "a.pt")


def test_truncated_and_missing_files_are_refused(trained, tmp_path):
    save_official(trained, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "b.pt").write_bytes(whole[: len(whole) // 2])
    assert "no checkpoint" in refused(DAFlow(SMALL), tmp_path / "b.pt")
    assert "no such file" in refused(DAFlow(SMALL), tmp_path / "c.pt")


def test_a_folder_that_is_not_there_cannot_be_written_to(trained, tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        save_official(trained, tmp_path / "nowhere" / "a.pt")
