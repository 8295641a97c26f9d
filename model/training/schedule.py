"""Learning rate as a function of the step, the moving average of the weights, and batch
statistics."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from model.training.config import TrainConfig

COSINE_END = 0.01  # the learning rate at the end of a cosine, as a part of the first


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimiser step ``step`` (from 0). A function without memory, so resume
    can't bend it."""
    rate = config.lr
    if config.schedule == "step":
        rate *= config.step_factor ** (step // steps_per_epoch // config.step_epochs)
    elif config.schedule == "cosine":
        way = (step - config.warmup) / max(1, config.epochs * steps_per_epoch - config.warmup)
        rate *= COSINE_END + (1 - COSINE_END) * (1 + math.cos(math.pi * min(max(way, 0), 1))) / 2
    return rate * min(1.0, (step + 1) / (config.warmup + 1))


def parameter_groups(
    network: nn.Module, flow_rate: float, light_rate: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for an optimiser, "part" being each one's share of the rate: flow blocks, light
    layers, all others."""
    parts = {"_MFEs.": flow_rate, ".lights_": light_rate, "": 1.0}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        part = next(part for word, part in parts.items() if word in name)
        groups.setdefault(part, []).append(value)
    return [{"params": values, "part": part} for part, values in groups.items()]


class MovingAverage:
    """Exponential moving average of a network's weights; its other state is copied.

    In the first steps the decay is (1 + n) / (10 + n), so that the start does not linger.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes one step of the average towards the network's weights; ``step`` counts from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = {name for name, _ in network.named_parameters()}
        for name, value in network.state_dict().items():
            if name in weights:
                self.state[name].lerp_(value.to(self.state[name].dtype), 1 - decay)
            else:
                self.state[name].copy_(value)

    @contextlib.contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network has the averaged weights inside the block, and its own again after it."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.state)
        try:
            yield
        finally:
            self.state = {
                name: value.detach().clone() for name, value in network.state_dict().items()
            }
            network.load_state_dict(own)


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Every batch normalisation of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def training_mode(network: nn.Module, frozen: bool) -> None:
    """Training mode; with ``frozen`` the batch normalisations use and keep their running
    statistics."""
    network.train()
    if frozen:
        for norm in batch_norms(network):
            norm.eval()


@contextlib.contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Forward passes in the block leave the running statistics as they are."""
    saved = [(buffer, buffer.clone()) for norm in batch_norms(network) for buffer in norm.buffers()]
    try:
        yield
    finally:
        for buffer, value in saved:
            buffer.copy_(value)


@torch.no_grad()
def recalibrate(network: nn.Module, inputs: Iterable[tuple[torch.Tensor, ...]]) -> None:
    """Measures the running statistics again: the plain mean over ``inputs`` with the weights as
    they are now.

    Running statistics lag behind the weights and weigh the last batches most; with a batch of one
    or two they are those of the last few people.
    """
    norms, modes = batch_norms(network), [module.training for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative
    network.train()
    try:
        for batch in inputs:
            network(*batch)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for module, mode in zip(network.modules(), modes):
            module.training = mode
