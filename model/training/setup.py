"""From a user's choices to what the loop needs: data, network, loss, device; and the refusals on
the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.data.augment import Augmentation
from model.data.dataset import TryOnDataset
from model.loss.guides import GUIDES, GuideWeights
from model.loss.losses import PIXEL_TERMS, TERMS, LossWeights, PerceptualNetworks, TryOnLoss
from model.network.checkpoint import load_network, load_weights, read_checkpoint
from model.network.config import LEVELS, NetworkConfig
from model.network.daflow import DAFlow
from model.network.devices import half_type
from model.network.initial import start_copying
from model.training.config import TrainConfig
from model.training.elsewhere import differs_in_pairs, pairs_per_step
from model.training.pictures import FixedPeople
from pipeline.base.errors import DataError
from pipeline.base.names import WHOLE
from pipeline.shards.folder import ShardFolder

SMALL = 10_000_000  # weights of a network whose activations need no care on a CPU
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Setting:
    """What is trained, with what.

    Args:
        config: with every "auto" resolved.
        autocast: number format of the forward pass; None for float32.
        lpips: (results, persons) -> (B,) distances, where the weights are there.
    """

    config: TrainConfig
    network: DAFlow
    loss: TryOnLoss
    autocast: torch.dtype | None
    lpips: Callable[..., Any] | None = None
    identity: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def precision(self) -> str:
        """A key of ``PRECISIONS``."""
        return next(name for name, kind in PRECISIONS.items() if kind is self.autocast)

    @property
    def terms(self) -> tuple[str, ...]:
        """Terms of the loss that are computed, and their total."""
        pixels = [name for name in TERMS if name in PIXEL_TERMS]
        own = TERMS if self.loss.perceptual is not None else pixels
        shown = [name for name in own if getattr(self.loss.weights, name)]
        return ("total", *shown, *(name for name in GUIDES if getattr(self.loss.guides, name)))

    def to_json(self) -> dict[str, Any]:
        """The "config" of a checkpoint: the network's, the training's, and which data it was."""
        return {
            "network": self.network.config.to_dict(),
            "train": self.config.to_json(),
            "data": self.identity,
        }


@dataclass
class Data:
    """The pairs of a run.

    Args:
        train: with the random changes of training.
        validation: held-out pairs as they are; empty (a Subset-able list) where there are too few.
        people: (dataset, rows) to draw after each epoch, and the same of an unpaired list or None.
    """

    train: TryOnDataset
    validation: TryOnDataset | list[Any]
    people: tuple[Any, ...]

    @classmethod
    def open(
        cls, shards: Sequence[Path], config: TrainConfig, unpaired: Sequence[Path] = ()
    ) -> Data:
        """Opens the shards and splits them. Raises a DataError where they can't be trained on."""
        pairs = partial(
            TryOnDataset,
            shards,
            limit=config.limit,
            seed=config.seed,
            validation_share=config.validation_share,
        )
        part = "train" if config.validation_share else "all"
        train = pairs(
            part=part,
            mask_style=config.mask_style,
            mask_epochs=config.mask_epochs,
            mirror=config.mirror,
            jitter=config.jitter,
            augmentation=Augmentation(
                config.angles, config.backgrounds, config.background_photos, config.noise
            ),
            flows=bool(config.loss_flow) and has_flows(shards),
            cloth=needs_labels(config),
        )
        _check_pairs(train, paired=True)
        style = train.plan.final
        try:
            held_out = (
                pairs(part="validation", mask_style=style) if config.validation_share else None
            )
        except DataError:
            held_out = None  # fewer than five pairs of any category: nothing to hold out
        shown = held_out or pairs(part=part, mask_style=style)
        others = None
        if unpaired:
            others = TryOnDataset(unpaired, mask_style=style, size_hw=train.size_hw)
            _check_pairs(others, paired=False)
        people = (
            (shown, FixedPeople.choose(shown, config.pictures)),
            (others, FixedPeople.choose(others, config.pictures)) if others else None,
        )
        return cls(train, held_out or [], people)

    def identity(self) -> dict[str, Any]:
        """What a resumed run must find again: how many pairs of what size, and a digest of their
        ids."""
        rows = [(row.key, row.garment_id) for row in self.train.rows]
        digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
        return {
            "pairs": len(rows),
            "size": "{}x{}".format(*self.train.size_hw),
            "frame": self.train.frame,
            "digest": digest,
            "styles": list(self.train.styles),
        }


def _check_pairs(people: TryOnDataset, paired: bool) -> None:
    """A network learns from people in their own garment, and is shown on others."""
    wrong = [row for row in people.rows if (row.person_id == row.garment_id) is not paired]
    if wrong and (paired or len(wrong) == len(people.rows)):
        place = str(people.folders[wrong[0].folder].folder)
        found = "people with another's garment" if paired else "people with their own garment"
        wanted = "people with their own, to learn from" if paired else "an unpaired list's"
        split = "train" if paired else "test_unpaired"
        raise DataError(place, found, wanted, f"Preprocess with --split {split}")


GUIDED = {
    "loss_inside": 10.0,
    "loss_edges": 0.0,
    "loss_share": 1.0,
    "loss_cloth": 1.0,
    "loss_flow": 20.0,
    "loss_together": 2.0,
    "loss_smooth": 0.0,
    "loss_black": 0.3,
    "loss_skin": 0.0,
    "coarse_first": 0.0,
}
"""What a network that is not the published one learns best with (docs/training.md); terms without
their data are silent."""


def resolved(
    config: TrainConfig,
    init: Path | None,
    state: dict[str, Any] | None = None,
    network: NetworkConfig | None = None,
) -> TrainConfig:
    """The configuration with everything decided that depends on the run: "auto" statistics, and
    the factors of the loss that were not named.

    Args:
        init: weights to start from.
        state: the checkpoint of a run that goes on; then as it began.
        network: shape to build; None takes that of ``init``, else the published one.
    """
    if state:
        was = state["config"]["train"]
        decided = {name: was.get(name) for name in GUIDED}
        statistics = was["statistics"]
    else:
        decided = dict(GUIDED) if is_own_shape(network, init) else dict.fromkeys(GUIDED, 0.0)
        statistics = "frozen" if init else "recalibrate"
    named = {name: value for name in GUIDED if (value := getattr(config, name)) is not None}
    config = replace(config, **decided | named)
    return replace(config, statistics=statistics) if config.statistics == "auto" else config


def needs_labels(config: TrainConfig) -> bool:
    """Whether a term of the loss reads the label maps."""
    names = ("loss_share", "loss_cloth", "loss_together", "loss_skin")
    return any(getattr(config, name) for name in names)


def has_flows(shards: Sequence[Path]) -> bool:
    """Whether any of the folders holds flows of drawn people."""
    return any(ShardFolder(folder).flows for folder in shards)


def is_own_shape(network: NetworkConfig | None, init: Path | None) -> bool:
    """Whether zero flow is the identity, as in no published network."""
    if network is None and init:
        stored = read_checkpoint(init)[1].get("config") or {}
        return bool((stored.get("network") or {}).get("exact_grids"))
    return network is not None and network.exact_grids


def build_network(preset: NetworkConfig | None, init: Path | None, start: str = "copy") -> DAFlow:
    """The network to train, on the CPU: the file's own shape where ``init`` is given without a
    preset.

    Raises:
        DataError: the weights do not fit the network.
    """
    if init and preset is None:
        return load_network(init)
    network = DAFlow(preset or NetworkConfig())
    if init:
        load_weights(network, init)
    elif start == "copy":
        start_copying(network)
    return network


def autocast_type(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """The forward pass's number format; with "auto" what the device computes in."""
    return half_type(device) if config.precision == "auto" else PRECISIONS[config.precision]


def build_setting(
    config: TrainConfig,
    data: Data,
    network: DAFlow,
    device: torch.device,
    perceptual: PerceptualNetworks | None,
) -> Setting:
    """Network and loss on their device."""
    if config.deterministic:
        torch.use_deterministic_algorithms(
            True, warn_only=True
        )  # some gradients on a GPU have no other way
    # All batches are of one size, so what is tried out in the first is right for all of them.
    torch.backends.cudnn.benchmark = not config.deterministic
    network.to(
        device,
        memory_format=torch.channels_last if config.channels_last else torch.contiguous_format,
    )
    # What saves memory costs a fifth of the time on a CPU, where a small network has memory enough.
    network.dafnet.lean = device.type == "cuda" or parameters(network) > SMALL
    loss = build_loss(config, perceptual).to(device)
    lpips = perceptual.lpips if perceptual is not None else None
    return Setting(config, network, loss, autocast_type(config, device), lpips, data.identity())


def build_loss(config: TrainConfig, perceptual: PerceptualNetworks | None) -> TryOnLoss:
    """The loss with the configuration's factors."""
    weights = LossWeights(edges=config.loss_edges or 0.0)
    guides = GuideWeights(**{name: getattr(config, f"loss_{name}") or 0.0 for name in GUIDES})
    return TryOnLoss(perceptual, weights, config.loss_inside or 0.0, guides)


def depth_at(coarse_first: float | None, done: float) -> int:
    """Levels that learn after ``done`` of all steps, 0 to 1: three, then four, then all five."""
    if not coarse_first or done >= coarse_first:
        return LEVELS
    return LEVELS - 2 if done < coarse_first / 2 else LEVELS - 1


def plan(setting: Setting, data: Data, processes: int, device: torch.device) -> dict[str, Any]:
    """What a run would do, as plain values."""
    config, train = setting.config, data.train
    per_update = pairs_per_step(config, processes)
    steps = -(-len(train) // per_update)
    names = [row.category for row in train.rows]
    return {
        "pairs": len(train),
        "by_category": {str(c): names.count(c) for c in dict.fromkeys(names)},
        "validation_pairs": len(data.validation),
        "size": setting.identity["size"],
        "device": str(device),
        "processes": processes,
        "steps_per_epoch": steps,
        "steps": steps * config.epochs,
        "pairs_per_step": per_update,
        "parameters": parameters(setting.network),
        "autocast": str(setting.autocast or "none"),
        "loss": setting.loss.describe(),
        "config": setting.to_json(),
    }


def parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def refuse_other_run(
    state: dict[str, Any],
    config: TrainConfig,
    identity: dict[str, Any],
    network: NetworkConfig | None,
    processes: int,
    path: Path,
) -> None:
    """Raises a DataError that names what differs between a checkpoint and what it should go on
    with."""
    saved = state["config"]
    was = TrainConfig.from_json(saved["train"])
    differences = was.differences(
        replace(config, batch_size=was.batch_size, accumulate=was.accumulate)
    )
    differences += differs_in_pairs(was, state["processes"], config, processes)
    before = {"frame": WHOLE} | saved["data"]
    differences += [
        f"data {name}: {before.get(name)}, now {value}"
        for name, value in identity.items()
        if before.get(name) != value
    ]
    if network and network.to_dict() != saved["network"]:
        differences.append("network: another shape")
    if differences:
        raise DataError(
            path,
            "a run of another configuration (" + "; ".join(differences) + ")",
            "",
            "Give the run's own options and data (they are in config.json), or train into another "
            "folder.",
        )
