"""Public weights of perceptual networks: a file of the user's, or downloaded once, checked and
kept."""

from __future__ import annotations

import io
import urllib.error
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.base.download import ProgressBar, cache_folder, fetch
from pipeline.base.errors import DataError

LARGEST_LINEAR = 1 << 20  # five layers, 7 KB; more than a megabyte is something else


@dataclass(frozen=True)
class Source:
    """Where a file comes from.

    Attributes:
        option: the command line option that names a local copy.
        url: what to download.
        sha256: its whole checksum. The publisher's names state the first eight digits.
        size: bytes, for the progress bar, and what a server may send.
    """

    option: str
    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def cached(self) -> Path:
        """Where a download is kept."""
        name = f"lpips-v0.1-{self.name}" if self.option == "--lpips" else self.name
        return cache_folder() / name


SOURCES = {
    "vgg19": Source(
        "--vgg19",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        574_673_361,
    ),
    "vgg16": Source(
        "--vgg16",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
    ),
    "lpips": Source(
        "--lpips",
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/"
        "v0.1/vgg.pth",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        7_289,
    ),
    "alexnet": Source(
        "--backbone",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
    ),
    "lpips-alex": Source(
        "--lpips",
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/"
        "v0.1/alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        6_009,
    ),
    "squeezenet": Source(
        "--backbone",
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        4_958_839,
    ),
    "lpips-squeeze": Source(
        "--lpips",
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/"
        "v0.1/squeeze.pth",
        "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
        10_811,
    ),
}
NEEDED_WITH = {
    "vgg19": ("vgg19", "vgg16", "lpips"),
    "vgg16": ("vgg16", "lpips"),
    "lpips": ("lpips",),
    "alexnet": ("alexnet", "lpips-alex"),
    "lpips-alex": ("lpips-alex",),
    "squeezenet": ("squeezenet", "lpips-squeeze"),
    "lpips-squeeze": ("lpips-squeeze",),
}
"""What to fetch in one go where a file is missing, in the order in which they are asked for."""
LPIPS_MEMBERS = {
    "lpips": "lpips/weights/v0.1/vgg.pth",
    "lpips-alex": "lpips/weights/v0.1/alex.pth",
    "lpips-squeeze": "lpips/weights/v0.1/squeeze.pth",
}
"""The same files inside the lpips package's wheel, which is taken as it is, too."""


def load_public_weights(
    name: str, path: Path | str | None = None
) -> tuple[dict[str, Tensor], Path]:
    """The state_dict of a public network, on the CPU, and the file it came from.

    Args:
        name: a key of ``SOURCES``.
        path: a local copy; None takes the cached one, or downloads it with a progress bar on
            stderr.

    Raises:
        DataError: no such file, no weights in it, or nothing local and no way to download it.
    """
    path = Path(path) if path else cached(name)
    if not path.is_file():
        raise DataError(path, "no such file", SOURCES[name].name, _remedy([name]))
    return read_state(path, LPIPS_MEMBERS.get(name, "")), path


def cached(name: str) -> Path:
    """The cached file of a source, downloaded first where it is missing. Raises DataError where
    that fails."""
    source = SOURCES[name]
    path = source.cached
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(source, path)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise DataError(
                path,
                f"is not there, and {source.url} could not be reached ({reason})",
                "",
                _remedy([n for n in NEEDED_WITH[name] if not SOURCES[n].cached.is_file()]),
            ) from None
        except OSError as error:
            raise DataError(
                path,
                f"could not be written ({error.strerror or error})",
                "",
                "Set FITTINGROOM_CACHE to a folder with 600 MB to spare",
            ) from None
    return path


def _remedy(names: list[str]) -> str:
    files = "; ".join(f"{SOURCES[n].url} for {SOURCES[n].option}" for n in names)
    if inside := [LPIPS_MEMBERS[n] for n in names if n in LPIPS_MEMBERS]:
        files += (
            f" (also inside the lpips package on PyPI, as {inside[0]}; the wheel itself will do)"
        )
    remedy = (
        f"Fetch on a machine with a network: {files}. Put the large files into {cache_folder()} or "
        f"name each with its option"
    )
    if any(name.startswith("vgg") or name == "lpips" for name in names):
        remedy += "; training also goes without them: --perceptual none"
    return remedy


def _download(source: Source, path: Path) -> None:
    """Fetches and checks the file, with a bar; what an interrupted download left is gone on
    with."""
    bar = lambda there, total: ProgressBar(source.name, there, total)
    fetch(source.url, path, source.sha256, source.size, bar)


def read_state(path: Path, member: str = "") -> dict[str, Tensor]:
    """A state_dict, read without running any code of the file; a wheel of the lpips package gives
    its layers.

    Raises:
        DataError: no file of weights.
    """
    try:
        source: Path | io.BytesIO = path
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                if wheel.getinfo(member).file_size > LARGEST_LINEAR:
                    raise ValueError("too large")
                source = io.BytesIO(wheel.read(member))
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(source, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"holds a {type(state).__name__}")
        return dict(state)
    except Exception as error:  # foreign bytes fail in a dozen ways
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0][:120]
        reason = "other bytes" if reason.isdigit() else reason  # the unpickler's word for a byte
        raise DataError(
            path,
            f"holds no weights ({reason})",
            "a state_dict that torch.save wrote",
            "Fetch the file again",
        ) from None
