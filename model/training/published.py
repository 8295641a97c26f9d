"""The published checkpoint: how it is recognised, and what its training differs in from a run."""

from __future__ import annotations

from pathlib import Path

from model.network.checkpoint import read_checkpoint
from model.network.config import NetworkConfig
from model.training.config import TrainConfig
from pipeline.base.names import REGION, WHOLE

MASK, SIZE, BATCH, RATE = "daflow", "256x192", 8, 5e-5
FILLING = "bodies that fill the frame, as in VITON"
DECAY, EPOCHS, STEP_EPOCHS, STEP_FACTOR = 0.01, 200, 30, 0.2


def is_published(path: Path | None, network: NetworkConfig) -> bool:
    """True for a file that holds nothing but weights of the published network's shape: no card, no
    options, as its authors gave it out. (An own run's export in the official form looks alike.)

    Raises:
        DataError: the file can't be read.
    """
    if path is None or network != NetworkConfig():
        return False
    return Path(path).suffix != ".safetensors" and not read_checkpoint(path)[1]


def known_and_here(
    config: TrainConfig, size: str, pairs_per_step: int, frame: str = WHOLE
) -> list[tuple[str, str, str]]:
    """(what, as the weights were trained, as this run will) of everything that may differ.

    Args:
        size: of the run's shards, HxW.
        pairs_per_step: of all processes.
        frame: of ``names.FRAMES``, of the shards.
    """
    schedule = {
        "constant": "constant",
        "cosine": f"cosine over {config.epochs} epochs",
        "step": f"x {config.step_factor:g} every {config.step_epochs} epochs",
    }[config.schedule]
    mirrored = {True: "half mirrored, poses drawn again", False: "not mirrored"}[config.mirror]
    return [
        ("masks", MASK, config.mask_style),
        ("size", SIZE, size),
        ("people", FILLING, FILLING if frame == REGION else "in whole photos"),
        ("learning rate", f"{RATE:g}", f"{config.lr:g}"),
        ("weight decay", f"{DECAY:g}", f"{config.weight_decay:g}"),
        ("pairs per step", str(BATCH), str(pairs_per_step)),
        ("schedule", f"x {STEP_FACTOR:g} every {STEP_EPOCHS} epochs", schedule),
        ("epochs", str(EPOCHS), str(config.epochs)),
        ("mirroring", "half mirrored, pose pictures as pictures", mirrored),
        ("batch statistics", "batch", config.statistics),
    ]


def other_frame(path: Path, frame: str) -> list[str]:
    """A line where a file says that its network was trained on another frame than this run's."""
    data = (read_checkpoint(path)[1].get("config") or {}).get("data") or {}
    known = data.get("frame", WHOLE) if data else frame
    if known == frame:
        return []
    told = {WHOLE: "whole photos", REGION: "parts of photos"}
    there, here = told.get(known, str(known)), told[frame]
    return [f"{path}: trained on {there}, the shards hold {here} (preprocess --frame)"]


def recognition(
    path: Path, config: TrainConfig, size: str, pairs_per_step: int, frame: str = WHOLE
) -> list[str]:
    """Lines for the person: what the weights know, and what differs here."""
    rows = known_and_here(config, size, pairs_per_step, frame)
    differing = [f"{what} {known} (here {here})" for what, known, here in rows if known != here]
    alike = [f"{what} {here}" for what, known, here in rows if known == here]
    lines = [f"{path}: bare weights of the published network, taken for DAFlow's upper bodies"]
    lines += ["  Trained as here: " + "; ".join(alike)] if alike else []
    lines += ["  Trained otherwise: " + "; ".join(differing)]
    if not config.mask_style.startswith(MASK):
        change = f"{MASK}>{config.mask_style}"
        lines.append(f"  --mask-style '{change}' starts with the masks that they know")
    if frame == WHOLE:
        lines.append("  preprocess --frame region gives them people as large as they know")
    return lines
