"""Every choice of a training run, with its default, its bounds and its help text in one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any

from model.evaluation.metrics import LARGER_IS_BETTER
from pipeline.base.errors import DataError

FIGURES = ("likeness_inside", "l1_inside", "l1", "ssim_inside", "ssim", "loss", "lpips")
"""Validation figures that can choose the best checkpoint."""


def better(figure: str, value: float, than: float | None) -> bool:
    """True if a validation figure has improved; NaN never has."""
    if value != value or than is None:
        return value == value
    return value > than if figure.startswith(LARGER_IS_BETTER) else value < than


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    fixed: bool = True,
) -> Any:
    """A dataclass field with what the command line needs to offer it.

    Args:
        fixed: True if a resumed run must have the same value; False for what changes only where a
            run ends or what it writes, never the weights.
    """
    return field(
        default=default,
        metadata={"help": help, "choices": choices, "low": low, "high": high, "fixed": fixed},
    )


GUIDED = "  [default: 0; for the small preset see docs/training.md]"


@dataclass(frozen=True)
class TrainConfig:
    """Options of training. The defaults fine-tune on the subset that the README names: batch 1, 10
    epochs, AdamW."""

    epochs: int = option(10, "Passes over the data.", low=1)
    batch_size: int = option(1, "Pairs per step and process.", low=1)
    lr: float = option(5e-5, "Learning rate of AdamW.", low=0)
    flow_rate: float = option(
        1.0,
        "Learning rate of the blocks that estimate the flows, as a part of --lr; 1 "
        "is best in most cases.",
        low=0,
    )
    light_rate: float = option(
        1.0,
        "Learning rate of the light encoder and decoder, as a part of --lr. From scratch "
        "0.02 keeps them passing colours on, so that the garment has to be moved.",
        low=0,
        high=1,
    )
    weight_decay: float = option(0.01, "Weight decay of AdamW.", low=0)
    accumulate: int = option(
        1, "Steps whose gradients are added up before the optimiser moves.", low=1
    )
    clip: float = option(0.0, "Largest gradient norm; 0 for no limit.", low=0)
    schedule: str = option(
        "constant", "Course of the learning rate.", ("constant", "cosine", "step")
    )
    warmup: int = option(0, "Optimiser steps over which the learning rate rises from 0.", low=0)
    step_epochs: int = option(30, "With --schedule step: epochs between two drops.", low=1)
    step_factor: float = option(0.2, "With --schedule step: factor of a drop.", low=0, high=1)
    ema: float = option(
        0.0,
        "Decay of the moving average of the weights, such as 0.999; validation, pictures and "
        "best.pt use it. 0 for none.",
        low=0,
        high=0.999999,
    )
    statistics: str = option(
        "auto",
        "Batch normalisation in training: with the running statistics as they are "
        "(frozen), or measured once before training (calibrated); or with the batch's "
        "own, the running ones measured again before each validation (recalibrate) or "
        "left as they come (batch). auto: frozen with --init, else recalibrate.",
        ("auto", "frozen", "calibrated", "recalibrate", "batch"),
    )
    recalibration: int = option(64, "Pairs that statistics are measured on.", low=2)
    start: str = option(
        "copy",
        "Without --init: begin with small flows and exact colours (copy), or with torch's "
        "own random weights.",
        ("copy", "random"),
    )
    perceptual: str = option(
        "auto",
        "auto: with the VGG19 and LPIPS terms of the official loss, whose weights are "
        "downloaded once; a run without them does not begin. none: without these terms.",
        ("auto", "none"),
    )
    loss_inside: float | None = option(
        None, "How much more a hidden pixel counts in L1 than a visible one." + GUIDED, low=0
    )
    loss_edges: float | None = option(
        None, "Factor of the L1 of differences between neighbouring pixels." + GUIDED, low=0
    )
    loss_share: float | None = option(
        None,
        "Factor of the cross-entropy of the garment's weight against the garment's pixels in the "
        "label map." + GUIDED,
        low=0,
    )
    loss_cloth: float | None = option(
        None,
        "Factor of the L1 of the warped garment alone, on the garment's pixels." + GUIDED,
        low=0,
    )
    loss_flow: float | None = option(
        None,
        "Factor of the distance to the true flows, where the shards hold some (drawn people)."
        + GUIDED,
        low=0,
    )
    loss_together: float | None = option(
        None, "Factor of the distance of the K flows from their mean." + GUIDED, low=0
    )
    loss_smooth: float | None = option(
        None, "Factor of the second differences of the flows." + GUIDED, low=0
    )
    loss_black: float | None = option(
        None, "Factor of the share that is fetched from the hidden, black part." + GUIDED, low=0
    )
    loss_skin: float | None = option(
        None,
        "Factor of the distance between where hidden skin is fetched from and the nearest visible "
        "skin." + GUIDED,
        low=0,
    )
    coarse_first: float | None = option(
        None,
        "Part of the steps at the beginning in which only the coarse levels learn, three of five, "
        "then four: a third of the time each." + GUIDED,
        low=0,
        high=1,
    )
    precision: str = option(
        "auto",
        "Number format of the forward pass; auto: bf16 or fp16 on a GPU, fp32 on a CPU.",
        ("auto", "fp32", "bf16", "fp16"),
    )
    channels_last: bool = option(
        True, "Weights in channels-last memory, as the network's maps are; else each use converts."
    )
    compile: bool = option(False, "Compile the network with torch.compile.")
    mask_style: str = option(
        "standard",
        "Mask style that the shards hold; mix: one at random for each pair and epoch; or "
        "A>B, such as daflow>standard: from the masks that weights know to others.",
    )
    mask_epochs: int = option(3, "With --mask-style A>B: epochs that the change takes.", low=1)
    mirror: bool = option(
        True, "Mirror half of the pairs; joints are swapped and the pose is drawn again."
    )
    jitter: float = option(
        0.0,
        "Strength of random colour changes, the same on person and garment, such as 0.2.",
        low=0,
        high=1,
    )
    angles: float = option(
        0.0,
        "Strength of random rotation, zoom, shift and perspective, such as 0.5; the garment is "
        "turned on its own.",
        low=0,
        high=1,
    )
    backgrounds: float = option(
        0.0,
        "Part of the people who get another background in each epoch, such as 0.5; needs the "
        "shards' label maps.",
        low=0,
        high=1,
    )
    background_photos: str | None = option(
        None, "Folder of photos for half of these backgrounds.  [default: drawn ones alone]"
    )
    noise: float = option(
        0.0, "Part of the photos that are blurred or compressed as JPEG.", low=0, high=1
    )
    balanced: bool = option(False, "The same number of pairs of every category in an epoch.")
    limit: int | None = option(None, "Pairs per category at most.  [default: all]", low=1)
    seed: int = option(0, "Start of all that is random.", low=0)
    deterministic: bool = option(
        False, "Only operations that give the same bits each time, where there are such."
    )
    validation_share: float = option(
        0.05, "Part of the pairs that is held out for validation.", low=0, high=0.9
    )
    validation_limit: int = option(
        300, "Pairs to validate on at most, the same number of each category.", low=1, fixed=False
    )
    best: str = option(
        "likeness_inside",
        "Validation figure that chooses best.pt; L1 and SSIM prefer fog to sharp pictures that are "
        "a little off.",
        FIGURES,
    )
    patience: int = option(
        0,
        "Epochs without a better figure after which training stops; 0 never stops.",
        low=0,
        fixed=False,
    )
    save_minutes: float = option(
        10.0, "Minutes between two checkpoints inside an epoch.", low=0, fixed=False
    )
    save_steps: int = option(
        0,
        "Optimiser steps between two checkpoints inside an epoch; 0 goes by the minutes.",
        low=0,
        fixed=False,
    )
    keep_every: int = option(
        0,
        "Epochs between two checkpoints that are kept for good; 0 keeps last and best only.",
        low=0,
        fixed=False,
    )
    max_minutes: float = option(
        0.0,
        "Stop, so that it can be resumed, before this many minutes are over, loading and "
        "looks at held-out people included; 0 for no limit.",
        low=0,
        fixed=False,
    )
    pictures: int = option(
        3, "Fixed people per category in the pictures over time; 0 draws none.", low=0, fixed=False
    )
    workers: int = option(2, "Loader processes of each training process.", low=0, fixed=False)
    log_steps: int = option(20, "Optimiser steps between two lines of the log.", low=1, fixed=False)
    tensorboard: bool = option(
        False, "Write the curves and pictures for TensorBoard too.", fixed=False
    )
    wandb: bool = option(
        False,
        "Log them for Weights & Biases too: offline, unless WANDB_MODE says otherwise.",
        fixed=False,
    )

    def __post_init__(self):
        for item in fields(self):
            _check(item, getattr(self, item.name))

    @property
    def frozen(self) -> bool:
        """True if training uses the running statistics and leaves them as they are."""
        return self.statistics in ("frozen", "calibrated")

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """The configuration of a run folder or a checkpoint; names it does not know raise a
        DataError."""
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise DataError(
                "training options",
                f"unknown name {unknown[0]!r}",
                "one of " + ", ".join(sorted(known)),
                "The file was written by another version, or the name is misspelt.",
            )
        return cls(**values)

    def differences(self, other: TrainConfig) -> list[str]:
        """What keeps ``other`` from going on with a run of this configuration: "name: mine, now
        theirs" each."""
        free = (
            set() if self.schedule == "cosine" else {"epochs"}
        )  # a cosine's course depends on its end
        return [
            f"{item.name}: {getattr(self, item.name)}, now {getattr(other, item.name)}"
            for item in fields(self)
            if item.metadata["fixed"]
            and item.name not in free
            and getattr(self, item.name) != getattr(other, item.name)
        ]


def _check(item: dataclasses.Field[Any], value: Any) -> None:
    low, high, choices = (item.metadata[name] for name in ("low", "high", "choices"))
    flag = "--" + item.name.replace("_", "-")
    if choices and value not in choices:
        raise DataError(flag, repr(value), "one of " + ", ".join(choices))
    if value is not None and (low is not None or high is not None):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DataError(flag, repr(value), "a number")
        if not ((low is None or value >= low) and (high is None or value <= high)):
            bounds = f"a value from {low}" if high is None else f"a value from {low} to {high}"
            raise DataError(flag, str(value), bounds)
