"""Weights into and out of the network: published checkpoints, training checkpoints, safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.network.config import NetworkConfig
from model.network.daflow import DAFlow
from model.network.weight_files import REMEDY, read_safetensors, read_torch, write_safetensors
from pipeline.base.errors import DataError
from pipeline.base.storage import whole

WRAPPERS = (
    "network",
    "params_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "netG",
    "generator",
    "params",
)
"""Entries that hold the weights: of our training checkpoints, the official training script's, and
those that training frameworks write; the averaged before the plain ones."""

DESCRIBED = ("network", "data", "train")
"""Parts of the configuration that our files carry."""

PREFIXES = ("module.", "_orig_mod.", "model.", "netG.", "generator.")
"""What DataParallel, torch.compile, Lightning and the like put before every name."""


def load_weights(network: torch.nn.Module, path: Path | str) -> dict[str, Any]:
    """Put the weights of a file into a network, in the network's own dtype and device.

    Args:
        network: whose names and shapes the file has to have.
        path: a state_dict as torch.save wrote it, bare or under one of ``WRAPPERS``, with or
            without ``PREFIXES`` before the names; or a .safetensors file.

    Returns:
        The file's other entries ("config", for example); {} where it holds nothing else.

    Raises:
        DataError: the file cannot be read as a checkpoint, or was made for another network.
    """
    weights, rest = read_checkpoint(path)
    check_fit(network, weights, path)
    network.load_state_dict(
        weights, strict=False
    )  # not strict: what may be absent has been checked
    return rest


def load_network(path: Path | str, device: torch.device | str = "cpu") -> DAFlow:
    """The network that a file's weights belong to, in eval mode.

    It is built from the config that the file carries; a file without one, as the published
    checkpoint, is taken for the published network.

    Raises:
        DataError: as `load_weights`; or the file's config makes no network.
    """
    weights, rest = read_checkpoint(path)
    config = rest.get("config") or {}
    shape = NetworkConfig.from_dict(config["network"]) if "network" in config else NetworkConfig()
    with torch.device("meta"):
        check_fit(DAFlow(shape), weights, path)  # before memory is taken for what it asks for
    network = DAFlow(shape)
    network.load_state_dict(weights, strict=False)
    return network.to(device, memory_format=torch.channels_last).eval()


def save_official(network: torch.nn.Module, path: Path | str) -> None:
    """Write the weights as the published checkpoint has them: a bare state_dict of float32 with its
    names.

    A path ending in .safetensors gets that format, with the network's config in its header. The
    file appears whole.

    Raises:
        DataError: the path cannot be written.
    """
    path = Path(path)
    weights = {name: _plain(value) for name, value in network.state_dict().items()}
    shape = getattr(network, "config", None)
    config = {} if shape is None else {"network": shape.to_dict()}
    try:
        with whole(path) as unfinished:
            if path.suffix == ".safetensors":
                write_safetensors(weights, unfinished, {"config": json.dumps(config)})
            else:
                torch.save(weights, unfinished)
    except OSError as error:
        raise DataError(
            path, f"cannot be written ({error.strerror or error})", "", "Name a folder of yours."
        ) from None


def read_checkpoint(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a file by their official names, and whatever else it holds. Reading runs no
    code of the file.

    Raises:
        DataError: there is no such file, it is no checkpoint, or it was damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "no such file", "a checkpoint", REMEDY)
    if path.suffix == ".safetensors":
        weights, config = read_safetensors(path)
        content: Any = {"network": weights, "config": config}
    else:
        content = read_torch(path)
    if not isinstance(content, dict):
        raise DataError(path, f"holds a {type(content).__name__}", "a state_dict", REMEDY)
    weights, rest = _unwrapped(content)
    strange = [
        str(k)[:60]
        for k, v in weights.items()
        if not (isinstance(k, str) and isinstance(v, Tensor))
    ]
    if strange or not weights:
        found = "no weights" + (
            f", but entries such as {', '.join(strange[:3])}" if strange else ""
        )
        raise DataError(path, found, "a state_dict, bare or under " + " or ".join(WRAPPERS), REMEDY)
    _check_config(rest, path)
    return _bare_names(weights), rest


def _unwrapped(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What holds the weights, at most two wrappers deep; and what lies beside it outside."""
    name = next((name for name in WRAPPERS if isinstance(content.get(name), dict)), None)
    if name is None:
        return content, {}
    rest = {k: v for k, v in content.items() if k != name}
    inner = content[name]
    within = next((name for name in WRAPPERS if isinstance(inner.get(name), dict)), None)
    return (inner if within is None else inner[within]), rest


def _bare_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put before every name, in whatever order they were put."""
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in weights)), None):
        weights = {k.removeprefix(prefix): v for k, v in weights.items()}
    return weights


def _check_config(rest: dict[str, Any], path: Path) -> None:
    """Raises a DataError where the file's own description is none."""
    config = rest.get("config")
    if config is None:
        return
    fits = isinstance(config, dict) and all(
        isinstance(config.get(part, {}), dict) for part in DESCRIBED
    )
    if not fits:
        raise DataError(path, "a config that is none", "the configuration of a run", REMEDY)


def check_fit(network: torch.nn.Module, weights: dict[str, Tensor], path: Path | str) -> None:
    """Refuse weights of another network, naming what differs; and weights that a diverged training
    left."""
    own = network.state_dict()
    optional = ".num_batches_tracked"  # absent in old files, and unused
    missing = [k for k in own if k not in weights and not k.endswith(optional)]
    unexpected = [k for k in weights if k not in own]
    other = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    examples = [f"{k} is {_size(weights[k])} instead of {_size(own[k])}" for k in other]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": examples}
    found = [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names]
    if found:
        remedy = f"{REMEDY}. If another --preset was named, leave it out" if other else REMEDY
        raise DataError(path, "; ".join(found), f"the {len(own)} entries of this network", remedy)
    broken = [k for k, v in weights.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise DataError(
            path, f"{len(broken)} entries with NaN or infinity ({_some(broken)})", "numbers", REMEDY
        )


def _plain(value: Tensor) -> Tensor:
    value = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return value.float() if value.is_floating_point() else value


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _size(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "a number"
