"""Weights that come with the program: small networks, trained on drawn people alone."""

from __future__ import annotations

from pathlib import Path

from pipeline.base.errors import DataError

FOLDER = Path(__file__).parent / "weights"
OWN_WEIGHTS = {
    "drawn": "all three categories",
    "drawn-upper": "upper body only, a beginning for fine-tuning as the published weights are",
}
"""Names that commands take in place of a file, and what each knows. A card lies beside each."""
DEFAULT = "drawn"


def own_weights(name: str) -> Path:
    """The safetensors file of a name of ``OWN_WEIGHTS``; KeyError for another name."""
    return FOLDER / f"{name}.safetensors" if name in OWN_WEIGHTS else _unknown(name)


def file_of(path: Path | str) -> Path:
    """The file of weights that come with the program, where ``path`` is their name and no file;
    else the path. Raises DataError for a run's folder."""
    place = Path(path)
    if str(path) in OWN_WEIGHTS and not place.exists():
        return own_weights(str(path))
    if place.is_dir():
        remedy = f"Give {place / 'best.pt'}" if (place / "best.pt").is_file() else ""
        raise DataError(place, "a folder", "a file of weights", remedy)
    return place


def is_own(path: Path | str) -> bool:
    """Whether a file is one of those that come with the program."""
    return Path(path).resolve().parent == FOLDER.resolve()


def _unknown(name: str) -> Path:
    raise KeyError(f"{name}: no weights of this name; there are {', '.join(OWN_WEIGHTS)}")
