"""What lies behind one dressed person, as pictures: the warped garment, its weight, its flows, and
the network's own picture before it is composed."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from model.data.dataset import to_image
from model.network.daflow import DAFlow
from model.network.explain import FLOW_FIGURES, Layers, flow_figures, layers_of
from model.tryon.predictor import TryOn
from model.tryon.step import Step
from pipeline.base.errors import DataError
from pipeline.dataset.readers import resize_image
from pipeline.inspect.overlays import grid

FULL_COLOUR = 0.25  # of the width: a flow as long as this has the wheel's full colour
MOST_FLOWS = 6


class Explained:
    """One step, looked into.

    Attributes:
        output: (3, h, w) float32 in about [-1, 1], what ``predictor.draw`` gives; on the CPU.
        layers: on the CPU.
        figures: see ``model.network.explain.flow_figures``.
    """

    def __init__(self, predictor: TryOn, step: Step):
        """Runs the network. Raises DataError where it has no flows to show."""
        network = predictor.network
        if not can_explain(predictor):
            raise DataError("--explain", "this network does not give its flows", "a DAFlow")
        reference, garment, agnostic = (values[None].to(predictor.device) for values in step.inputs)
        with (
            torch.inference_mode(),
            torch.autocast(
                predictor.device.type, predictor.autocast, enabled=predictor.autocast is not None
            ),
        ):
            output, flows = network(reference, garment, agnostic, return_flows=True)
        found = layers_of(flows[-1], garment, network.config.crisp)
        small = cv2.resize(step.seen_mask.astype(np.float32), garment.shape[:1:-1])
        hidden = torch.from_numpy(small)[None, None].to(predictor.device)
        self.output = output[0].float().cpu()
        self.layers = Layers(*(values.cpu() for values in found))
        self.figures = flow_figures(flows[-1], hidden)[0]

    def columns(self) -> dict[str, np.ndarray]:
        """Heading -> (h, w, 3) uint8 RGB, from left to right."""
        layers = self.layers
        flows = {
            f"flow {n + 1}": to_image(single)
            for n, single in enumerate(layers.single[0][:MOST_FLOWS])
        }
        return {
            "warped garment": to_image(layers.warped[0]),
            "its weight": weight_picture(layers.weight[0, 0].numpy()),
            **(flows if len(flows) > 1 else {}),
            "flow": flow_picture(layers.grids[0].mean(0).numpy(), layers.weight[0, 0].numpy()),
            "own picture": to_image(self.output),
        }

    def panel(self, before: dict[str, np.ndarray], result: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8: ``before`` (garment and masked person), the layers, and the result."""
        columns = before | self.columns() | {"result": result}
        rows = min(result.shape[0], 512)
        cells = [resize_image(p, (rows, _width(p, rows))) for p in columns.values()]
        return grid([cells], list(columns), height=rows)

    def told(self) -> str:
        """The figures in one line."""
        return ", ".join(f"{name} {self.figures[name]:.3f}" for name in FLOW_FIGURES)


def can_explain(predictor: TryOn) -> bool:
    """Whether the network gives its flows."""
    return isinstance(predictor.network, DAFlow)


def weight_picture(weight: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 of weights in [0, 1]: white = all from the garment."""
    grey = (np.clip(np.nan_to_num(weight), 0, 1) * 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def flow_picture(places: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB: how far and whither the garment is looked up from each pixel.

    Hue is the direction, colour the length (full from a quarter of the width on), white is none;
    dark where the garment has no weight.

    Args:
        places: (2, h, w) in [-1, 1], x then y.
        weight: (h, w) in [0, 1].
    """
    height, width = weight.shape
    x = (2 * np.arange(width) + 1) / width - 1
    y = (2 * np.arange(height) + 1) / height - 1
    across, down = (places[0] - x) / 2, (places[1] - y[:, None]) / 2 * height / width
    length = np.hypot(across, down)
    hue = (np.degrees(np.arctan2(down, across)) % 360) / 2
    saturation = np.clip(length / FULL_COLOUR, 0, 1) * 255
    value = 40 + 215 * np.clip(weight, 0, 1)
    hsv = np.stack([hue, saturation, value], 2)
    return cv2.cvtColor(np.nan_to_num(hsv).astype(np.uint8), cv2.COLOR_HSV2RGB)


def _width(picture: np.ndarray, rows: int) -> int:
    return max(1, round(picture.shape[1] * rows / picture.shape[0]))
