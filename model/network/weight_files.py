"""Files of weights, looked at before they are believed: sizes, checksums, and nothing of them run.

torch's own files are zip archives whose entries bear a CRC that torch does not look at; safetensors
has none, so ours carry a SHA-256 in their header. A flipped bit in somebody else's safetensors, or
in a file of torch's old form (before 1.6), can't be known.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.base.errors import DataError

REMEDY = "Take the published DAFlow checkpoint, or one that this program's training wrote"
HARMLESS: list[Any] = [argparse.Namespace, pathlib.PosixPath, pathlib.PurePosixPath]
"""Kinds of objects beside weights that training scripts store: made of plain values alone."""
DIGEST = "sha256"
SLACK = 1 << 16
DEEPEST = 100


DIRECTORY = 0x10
"""The attribute by which DOS marks a folder, in zip archives too."""
NOT_A_ZIP = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def read_torch(path: Path, remedy: str = REMEDY) -> Any:
    """What ``torch.save`` wrote, on the CPU.

    Raises:
        DataError: no such file; damaged, cut off or blown up; or it needs code to be read.
    """
    _check_archive(path, remedy)
    try:
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            raise DataError(
                path,
                f"needs code of its own to be read, which is not run: {first_line(error)}",
                "tensors, numbers and texts",
                f"If you trust its maker: {conversion(path)}",
            ) from None
        raise _no_checkpoint(path, "other bytes", remedy) from None
    except Exception as error:  # torch.load fails on foreign bytes in a dozen ways
        raise _no_checkpoint(path, first_line(error), remedy) from None
    for name, tensor in tensors_in(content):
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise DataError(path, f"{name} is sparse, quantized or empty", "plain tensors", remedy)
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            found = f"{name} is larger than what is stored of it"
            raise DataError(path, found, "whole tensors", remedy)
    return content


def conversion(path: Path) -> str:
    """A line that makes a file of plain weights of one that needs code to be read."""
    return (
        f"python -c \"import torch; c = torch.load('{path.name}', weights_only=False); "
        "torch.save(c.get('state_dict', c), 'weights.pt')\""
    )


def _no_checkpoint(path: Path, why: str, remedy: str) -> DataError:
    return DataError(path, f"is no checkpoint ({why})", "a file that torch.save wrote", remedy)


def _check_archive(path: Path, remedy: str) -> None:
    """The entries of torch's archive: as large as they say, and as they were written."""
    if not path.is_file():
        raise DataError(path, "no such file", "a checkpoint", remedy)
    try:
        if not zipfile.is_zipfile(path):
            return  # torch's old form, or nothing that torch reads
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            blown_up = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if blown_up or sum(e.file_size for e in entries) > path.stat().st_size + SLACK:
                found = "entries that are compressed, or larger than the file"
                raise DataError(path, found, "a file that torch.save wrote", remedy)
            if any(entry.external_attr & DIRECTORY for entry in entries):
                # Python reads such an entry, torch takes it for a folder without content.
                raise _no_checkpoint(path, "a folder in place of a tensor", remedy)
            told = any(entry.CRC for entry in entries)  # torch can be told to write none
            broken = archive.testzip() if told else None
    except NOT_A_ZIP as error:
        raise _no_checkpoint(path, first_line(error), remedy) from None
    if broken:
        raise DataError(
            path, f"damaged: {broken} is not what was written", "", "Copy or fetch it again"
        )


def tensors_in(content: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of everything in nested containers; nothing below ``DEEPEST`` levels."""
    if isinstance(content, Tensor):
        yield name or "the tensor", content
    elif depth < DEEPEST and isinstance(content, Mapping):
        for key, value in content.items():
            yield from tensors_in(value, f"{name}.{key}".lstrip(".")[:200], depth + 1)
    elif depth < DEEPEST and isinstance(content, (list, tuple)):
        for at, value in enumerate(content):
            yield from tensors_in(value, f"{name}[{at}]"[:200], depth + 1)


def read_safetensors(path: Path, remedy: str = REMEDY) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and ``config`` of its header ({} without one).

    Raises:
        DataError: no safetensors file, or not what this program wrote into it.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            header = file.metadata() or {}
        config = json.loads(header.get("config", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        found = f"is no safetensors file ({first_line(error)})"
        raise DataError(path, found, "", remedy) from None
    if DIGEST in header and header[DIGEST] != digest(weights, header):
        raise DataError(
            path, "damaged: its contents are not what was written", "", "Copy or fetch it again"
        )
    return weights, config


def write_safetensors(weights: Mapping[str, Tensor], path: Path, header: dict[str, str]) -> None:
    """Writes a file whose header bears the checksum of all of it. Raises OSError or
    SafetensorError."""
    save_file(dict(weights), path, header | {DIGEST: digest(weights, header)})
    path.chmod(0o644)  # safetensors leaves files that their owner alone can read


def digest(weights: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 over names, kinds, shapes and bytes of the tensors, and the header's texts."""
    told = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        told.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        told.update(value.reshape(-1).view(torch.uint8).numpy().data)
    for name in sorted(set(header) - {DIGEST}):
        told.update(f"{name}={header[name]}\n".encode())
    return told.hexdigest()


def first_line(error: Exception) -> str:
    if isinstance(error, (KeyError, EOFError)):  # of the unpickler: the text is a byte's number
        return "other bytes"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
