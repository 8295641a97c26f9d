"""A trained network ready for use: weights chosen, device and number format settled; a person and
a garment in, a picture out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.network.checkpoint import check_fit, load_network, read_checkpoint
from model.network.devices import check_device, full_memory_told, half_type
from model.network.own import file_of, is_own
from model.tryon.step import Step, prepare_step
from pipeline.annotate.photos import fit_garment, read_garment
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import DEFAULT_HW, FRAMES, REGION, WHOLE
from pipeline.base.storage import file_sha256
from pipeline.dataset.person import Person


@dataclass
class TryOn:
    """A trained network ready for use, on its device.

    Attributes:
        facts: which weights these are: file, sha256, choice, the configuration that the file
            carries, and whether they came with the program.
    """

    network: Any  # a DAFlow, or anything that is called like one
    device: torch.device = torch.device("cpu")
    autocast: torch.dtype | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: str | None = None,
        choice: str = "auto",
        frame: str | None = None,
    ) -> TryOn:
        """The network of a file, in evaluation mode.

        Args:
            path: any file that ``model.checkpoint`` reads, or the name of weights that come with
                the program (``drawn``).
            device: "cpu" or "cuda"; None takes CUDA where there is one. On CUDA it runs in bf16 or
                fp16 autocast.
            choice: "ema", the moving average; "raw", the weights as trained; "auto", what the run
                itself used.
            frame: of ``names.FRAMES``, what the network sees of a photo; None takes what it was
                trained to see, whole photos where its file does not say.

        Raises:
            DataError: the file does not fit, or has no moving average; or CUDA is asked for and not
                there.
        """
        path = file_of(path)
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_device(target)
        network = load_network(path, target)
        rest = read_checkpoint(path)[1]
        chosen = _choose(network, rest, path, choice)
        facts = {
            "file": Path(path).name,
            "sha256": file_sha256(Path(path)),
            "choice": chosen,
            "config": rest.get("config") or {},
            "frame": frame or _trained_frame(rest.get("config") or {}),
            "own": is_own(path),
        }
        return cls(network.eval(), target, half_type(target), facts)

    @property
    def trained_frame(self) -> str:
        """Of ``names.FRAMES``: what its file says that it has learnt to see."""
        return _trained_frame(self.facts.get("config") or {})

    @property
    def precision(self) -> str:
        return str(self.autocast or torch.float32).removeprefix("torch.")

    @torch.inference_mode()
    def __call__(self, reference: Tensor, garment: Tensor, agnostic: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in about [-1, 1]; the arguments as the network takes them, on any
        device."""
        inputs = [
            values.to(self.device, non_blocking=True) for values in (reference, garment, agnostic)
        ]
        height, width = inputs[0].shape[-2:]
        what = f"try-on at {height}x{width}, {len(inputs[0])} at a time"
        with (
            torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None),
            full_memory_told(what, "Take a smaller size, or --device cpu"),
        ):
            return self.network(*inputs).float()

    @property
    def network_hw(self) -> tuple[int, int]:
        """(height, width) that the network was trained at, where its file says so; else 512 x
        384."""
        text = str((self.facts.get("config") or {}).get("data", {}).get("size", ""))
        sides = text.split("x")
        if len(sides) == 2 and all(side.isdigit() for side in sides):
            return int(sides[0]), int(sides[1])
        return DEFAULT_HW

    @property
    def frame(self) -> str:
        """Of ``names.FRAMES``: what the network sees of a photo."""
        return self.facts.get("frame", WHOLE)

    @property
    def story(self) -> str:
        """Which weights these are, for whoever looks at their pictures: file, data, size,
        epochs."""
        config = self.facts.get("config") or {}
        data, train = config.get("data") or {}, config.get("train") or {}
        own = self.facts.get("own", False)
        parts = [f"{data['pairs']:,} pairs" if isinstance(data.get("pairs"), int) else "pairs"]
        parts += [f"at {data['size']}"] if data.get("size") else []
        parts += ["of the part around the garment"] if _trained_frame(config) == REGION else []
        parts += [f"for {train['epochs']} epochs"] if train.get("epochs") else []
        people = " of drawn people alone" if own else ""
        trained = f"trained on {parts[0]}{people} {' '.join(parts[1:])}".rstrip()
        if not data:
            trained = "the file does not say what they were trained on"
        came = ", which comes with the program:" if own else ":"
        return f"{self.facts.get('file', 'a network')}{came} {trained}."

    def draw(self, step: Step) -> Tensor:
        """(3, h, w) float32: the network's own picture of one step."""
        return self(*(values[None] for values in step.inputs))[0]

    def dress(
        self,
        person: Person,
        garment: np.ndarray | Path | str | None = None,
        *,
        category: Category | None = None,
        style: str = "standard",
        raw: bool = False,
    ) -> np.ndarray:
        """The person in the garment; every pixel that the mask leaves visible is the photo's own.

        Args:
            person: with photo, keypoints and at least one of label map and DensePose.
            garment: (H, W, 3) uint8 RGB as the dataset has them, or a JPEG or PNG file of any
                garment; None takes the person's own.
            category: of the garment; by default the person's.
            style: of the mask.
            raw: the network's own picture instead of the composite.

        Returns:
            (H, W, 3) uint8 RGB at the person's size.

        Raises:
            DataError: something of the person is missing, or the file is no usable picture.
            ValueError: an array that is no such picture.
        """
        garment = person.garment if garment is None else garment
        if garment is None:
            raise DataError(person.who.key, "no garment", "one to put on")
        if isinstance(garment, (str, Path)):
            fitted = read_garment(garment, self.network_hw)
        else:
            fitted = fit_garment(garment, self.network_hw)
        step = prepare_step(person, fitted, category or person.category, style, frame=self.frame)
        return step.finish(self.draw(step), raw)


def _trained_frame(config: dict[str, Any]) -> str:
    found = (config.get("data") or {}).get("frame")
    return found if found in FRAMES else WHOLE


def _choose(network: torch.nn.Module, rest: dict[str, Any], path: Path | str, choice: str) -> str:
    """Puts the chosen weights into the network; "ema" or "raw" says which they are."""
    trained = rest.get("trained")
    if not isinstance(trained, dict):
        if choice == "ema":
            raise DataError(
                path,
                "holds no moving average of the weights",
                "",
                "Leave --weights out, or train with --ema 0.999",
            )
        return "raw"
    if choice == "raw":
        check_fit(network, trained, path)
        network.load_state_dict(trained, strict=False)
        return "raw"
    return "ema"
