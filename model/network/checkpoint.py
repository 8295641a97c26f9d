"""Weights into and out of the network: published checkpoints, training checkpoints, safetensors."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.network.config import NetworkConfig
from model.network.daflow import DAFlow
from pipeline.base.errors import DataError
from pipeline.base.storage import whole

WRAPPERS = ("network", "state_dict")
"""Entries that hold the weights: of our training checkpoints, and of the official training
script's."""

PREFIX = "module."
"""What torch's DataParallel and DistributedDataParallel put before every name."""

REMEDY = "Take the published DAFlow checkpoint, or one that this program's training wrote."


def load_weights(network: torch.nn.Module, path: Path | str) -> dict[str, Any]:
    """Put the weights of a file into a network, in the network's own dtype and device.

    Args:
        network: whose names and shapes the file has to have.
        path: a state_dict, bare or under "state_dict" or "network", with or without "module."
            before the names, as torch.save wrote it; or a .safetensors file.

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
    network = DAFlow(
        NetworkConfig.from_dict(config["network"]) if "network" in config else NetworkConfig()
    )
    check_fit(network, weights, path)
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
                save_file(weights, unfinished, {"config": json.dumps(config)})
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
        DataError: there is no such file, or it is no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "no such file", "a checkpoint", REMEDY)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if not isinstance(content, dict):
        raise DataError(path, f"holds a {type(content).__name__}", "a state_dict", REMEDY)
    name = next((name for name in WRAPPERS if isinstance(content.get(name), dict)), None)
    weights = content if name is None else content[name]
    rest = {} if name is None else {k: v for k, v in content.items() if k != name}
    strange = [
        str(k) for k, v in weights.items() if not (isinstance(k, str) and isinstance(v, Tensor))
    ]
    if strange or not weights:
        found = "no weights" + (
            f", but entries such as {', '.join(strange[:3])}" if strange else ""
        )
        raise DataError(path, found, "a state_dict, bare or under " + " or ".join(WRAPPERS), REMEDY)
    return {k.removeprefix(PREFIX): v for k, v in weights.items()}, rest


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(
            [argparse.Namespace]
        ):  # the official training script stores its options
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            found = "needs code of its own to be read, which is not run: " + _first_line(error)
            remedy = "Have its maker save the state_dict alone."
            raise DataError(path, found, "tensors, numbers and texts", remedy) from None
        raise DataError(path, "is no checkpoint", "a file that torch.save wrote", REMEDY) from None
    except Exception as error:  # torch.load fails on foreign bytes in a dozen ways
        found = f"is no checkpoint ({_first_line(error)})"
        raise DataError(path, found, "a file that torch.save wrote", REMEDY) from None


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            header = file.metadata() or {}
        return {"network": weights, "config": json.loads(header.get("config", "{}"))}
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            path, f"is no safetensors file ({_first_line(error)})", "", REMEDY
        ) from None


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
        raise DataError(path, "; ".join(found), f"the {len(own)} entries of this network", REMEDY)
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


def _first_line(error: Exception) -> str:
    if isinstance(error, (KeyError, EOFError)):  # of the unpickler: the text is a byte's number
        return "other bytes"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
