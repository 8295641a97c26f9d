"""What a run says before its first step."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from model.loss.losses import TERMS
from model.training.setup import Data, Setting, plan
from pipeline.base.names import REGION, TRAIN

FORMATS = {"none": "float32", "torch.bfloat16": "bfloat16 where it can", "torch.float16": "float16"}


def opening(
    setting: Setting, data: Data, processes: int, device: torch.device, source: Path | str | None
) -> list[str]:
    """Lines on device, network, data, loss and length of a run.

    Args:
        source: the file that the weights come from; None for a network that begins from nothing.
    """
    told, config = plan(setting, data, processes, device), setting.config
    many = f"{processes} processes" if processes > 1 else "1 process"
    parts = " of the part around the garment" if setting.identity["frame"] == REGION else ""
    statistics = f"batch statistics {config.statistics}"
    tested = sorted({folder.split for folder in data.train.folders} - {TRAIN})
    careful = [f"Careful: these are people of {', '.join(tested)}: measure on others."]
    return [
        f"Device: {_named(device)}, {FORMATS.get(told['autocast'], told['autocast'])}, {many}",
        f"Network: {told['parameters']:,} parameters, "
        f"{f'from {source}' if source else 'begun from nothing'}; {statistics}",
        f"Pairs: {told['pairs']:,} ({_counted(told['by_category'])}), "
        f"{told['validation_pairs']:,} held out, {told['size'].replace('x', ' x ')}{parts}, "
        f"masks {config.mask_style}",
        f"Loss: {_loss(told['loss'], data.train.flows)}",
        f"Steps: {config.epochs} epochs of {told['steps_per_epoch']:,} = {told['steps']:,}, "
        f"{_pairs(told['pairs_per_step'])} each, AdamW at {config.lr:g}, {config.schedule}",
        *(careful if tested else ()),
    ]


def estimate(seconds: float, steps: int) -> str:
    """How long the steps that are left will take, at ``seconds`` each."""
    return f"Time: about {clock(seconds * steps)} for {steps:,} steps, {seconds:.2g} s each"


def room(device: torch.device) -> str:
    """What a step took of the device's memory."""
    peak, total = memory(device)
    return (
        f"Memory: {gigabytes(peak)} of {gigabytes(total)} at most so far; "
        "--fit tells which batches fit"
    )


def memory(device: torch.device) -> tuple[int, int]:
    """(bytes taken at most so far, bytes in all): of a card, or of this process and machine."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_allocated(device), total
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return peak, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def clock(seconds: float) -> str:
    """h:mm:ss."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def _named(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return f"{device} ({torch.get_num_threads()} threads)"


def _counted(categories: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in categories.items())


def _loss(terms: dict[str, Any], flows: bool) -> str:
    """The terms with their factors, and what is missing for others."""
    perceptual, inside = terms["perceptual"], terms["inside"]
    silent = () if perceptual else ("lpips", "style", "content")
    factors = {name: terms[name] for name in TERMS if name not in silent} | terms["guides"]
    lacking = [] if perceptual else ["the perceptual terms"]
    if factors["flow"] and not flows:
        factors["flow"] = 0.0
        lacking.append("true flows, which these shards do not hold")
    shown = " + ".join(f"{value:g} {name}" for name, value in factors.items() if value)
    hidden = f", hidden pixels {1 + inside:g}-fold" if inside else ""
    return shown + hidden + (f" (without {' and '.join(lacking)})" if lacking else "")


def _pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"
