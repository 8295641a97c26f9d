"""Weights from and to Hugging Face's hub, as ``hf:owner/name`` in place of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.base.errors import DataError

PREFIX = "hf:"
EXTRA = "pip install 'fittingroom[hub]'"
SUFFIX = ".safetensors"


def is_hub(name: str) -> bool:
    """Whether a text names weights on the hub."""
    return name.startswith(PREFIX)


def fetch(name: str) -> Path:
    """The file of ``hf:owner/name``, ``hf:owner/name/file.safetensors`` or either with
    ``@revision`` at its end: from the hub's own cache, or downloaded into it.

    Only safetensors are taken: reading them runs no code.

    Raises:
        DataError: no such name, nothing or several files there, or the hub can't be reached.
    """
    hub = _hub(name)
    told, _, revision = name.removeprefix(PREFIX).partition("@")
    parts = told.split("/")
    if len(parts) < 2 or not all(parts):
        raise DataError(name, "no name of a repository", "hf:owner/name", "")
    repository, wanted = "/".join(parts[:2]), "/".join(parts[2:])
    if wanted and not wanted.endswith(SUFFIX):
        raise DataError(name, f"the file {wanted}", f"one that ends in {SUFFIX}", "")
    try:
        folder = Path(
            hub.snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=[wanted or f"*{SUFFIX}", "*.md"],
            )
        )
    except (OSError, ValueError) as error:  # the hub's errors are either
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        remedy = "Check the name and the network, or fetch the file and give its path"
        raise DataError(name, f"could not be fetched ({line})", "", remedy) from None
    found = sorted(folder.rglob(wanted or f"*{SUFFIX}"))
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found[:5]) or "none"
        raise DataError(
            name,
            f"{len(found)} files of weights ({names})",
            "one",
            f"Name it: {PREFIX}owner/name/FILE",
        )
    return found[0]


def push(weights: Path, card: Path, repository: str) -> str:
    """Puts weights and card into a repository of the hub, made if it is not there; private until
    its owner opens it.

    Returns:
        Where they are.

    Raises:
        DataError: nobody is logged in, the name is another's, or the hub can't be reached.
    """
    hub = _hub(repository)
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=True, exist_ok=True)
        for path, name in ((weights, weights.name), (card, "README.md")):
            api.upload_file(path_or_fileobj=str(path), path_in_repo=name, repo_id=repository)
    except (OSError, ValueError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        remedy = "Log in with `hf auth login`, and give a name of yours: owner/name"
        raise DataError(repository, f"could not be written to ({line})", "", remedy) from None
    return f"https://huggingface.co/{repository}"


def _hub(name: str) -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise DataError(name, "huggingface_hub is not installed", "", EXTRA) from None
    return huggingface_hub
