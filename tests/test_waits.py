"""A step waits for its device once: every other value stays where it was computed."""

from __future__ import annotations

import contextlib

import pytest
import torch
from test_train import run
from tiny import tiny_network, tiny_shards
from torch import Tensor

from model.loss.losses import PerceptualNetworks, TryOnLoss
from model.network.daflow import DAFlow
from model.training.trainer import Trainer

SIZE = (128, 96)


@pytest.fixture
def meta_without_autocast(monkeypatch):
    """The meta device computes shapes alone, and can't be asked for a value. Autocast does not know
    it."""
    enabled, autocast = torch.is_autocast_enabled, torch.autocast
    monkeypatch.setattr(
        torch, "is_autocast_enabled", lambda kind: False if kind == "meta" else enabled(kind)
    )
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *rest, **named: (
            contextlib.nullcontext() if kind == "meta" else autocast(kind, *rest, **named)
        ),
    )


def test_off_the_cpu_no_value_is_asked_for_between_the_pictures_and_the_norm(meta_without_autocast):
    network = DAFlow(tiny_network()).to("meta").train()
    images = [torch.empty(2, channels, *SIZE, device="meta") for channels in (6, 3, 3)]
    _, levels = network(*images, return_levels=True)
    loss = TryOnLoss(PerceptualNetworks().to("meta"))
    terms = loss.backward_through(
        levels,
        torch.empty(2, 3, *SIZE, device="meta"),
        torch.full((), 0.5, device="meta"),
    )
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    with pytest.raises(RuntimeError, match="meta"):  # what a wait inside would have ended in
        float(norm)
    assert all(term.is_meta and term.dtype == torch.float32 for term in terms.values())
    for parameter in network.parameters():
        grad = parameter.grad
        assert grad is None or (grad.shape, grad.dtype) == (parameter.shape, parameter.dtype)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards(tmp_path_factory.mktemp("waits") / "shards", people=6)


def test_an_update_of_several_micro_batches_fetches_its_figures_at_once(
    shards, tmp_path, monkeypatch
):
    fetched: list[str] = []
    updates: list[list[str]] = []
    for name in ("tolist", "__float__", "__bool__"):
        real = getattr(Tensor, name)

        def noted(self, real=real, name=name):
            fetched.append(name)
            return real(self)

        monkeypatch.setattr(Tensor, name, noted)
    update = Trainer.update

    def watched(self, *rest):
        fetched.clear()
        update(self, *rest)
        updates.append(list(fetched))

    monkeypatch.setattr(Trainer, "update", watched)
    run(shards, tmp_path / "run", batch_size=2, accumulate=3, validation_share=0.0)
    assert updates and all(found == ["tolist"] for found in updates)
