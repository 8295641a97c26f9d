"""VGG16 and VGG19 as frozen feature stacks, and LPIPS on top of VGG16; torchvision's key names, no
torchvision.

Sources: Simonyan and Zisserman, 2015 (VGG); Zhang et al., 2018 (LPIPS, version 0.1 with the VGG
    backbone).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from pipeline.base.errors import DataError

BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each of the five blocks; a max-pooling stands between blocks."""
WIDTHS = (64, 128, 256, 512, 512)
LPIPS_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and spread of colours, of pictures in [-1, 1], as LPIPS takes them off."""
SMALLEST_SIDE = 16
"""Four poolings: below 16 pixels nothing would reach the fifth block."""


class _FrozenConvReLU(torch.autograd.Function):
    """relu(conv3x3(x)) whose backward gives the gradient of x alone, and keeps one byte a value
    instead of four.

    With frozen weights neither the input nor the output is needed again, only where the output was
    positive.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = F.conv2d(x, weight, bias, padding=1).relu_()
        ctx.save_for_backward(weight, out > 0)
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor):
        weight, positive = ctx.saved_tensors
        shape = (gradient.shape[0], weight.shape[1], *gradient.shape[2:])
        return conv2d_input(shape, weight, gradient * positive, padding=1), None, None


class _LeanMaxPool(torch.autograd.Function):
    """2 x 2 max-pooling that remembers which of four pixels won in one byte, where torch keeps an
    eight-byte index."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        out, index = F.max_pool2d(x, 2, return_indices=True)
        ctx.shape, width = x.shape, x.shape[3]
        winner = (index // width % 2 * 2).add_(index % width % 2)  # 2 * row + column
        ctx.save_for_backward(winner.to(torch.uint8))
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (winner,) = ctx.saved_tensors
        h, w = gradient.shape[2:]
        out = gradient.new_empty(ctx.shape).contiguous(memory_format=_memory(gradient))
        out[:, :, 2 * h :], out[:, :, :, 2 * w :] = 0, 0
        fours = out[:, :, : 2 * h, : 2 * w].unflatten(3, (w, 2)).unflatten(2, (h, 2))
        number = torch.arange(4, dtype=torch.uint8, device=out.device).view(2, 1, 2)
        won = winner[:, :, :, None, :, None] == number
        torch.mul(gradient[:, :, :, None, :, None], won, out=fours)
        return out


class VggFeatures(nn.Module):
    """Feature maps of a frozen VGG after chosen ReLUs; layers behind the last one wanted are not
    built.

    Args:
        depth: 16 or 19.
        taps: names such as ``"relu3_4"``: block 3, fourth convolution.
    """

    def __init__(self, depth: int, taps: Iterable[str]):
        super().__init__()
        self.depth, self.taps = depth, tuple(taps)
        self._names: list[str | None] = []  # one for each convolution in order; None is a pooling
        self.features = (
            nn.ModuleDict()
        )  # keyed by torchvision's index: "features.0.weight" and so on
        wanted, index, channels = set(self.taps), 0, 3
        for block, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), start=1):
            for number in range(1, count + 1):
                if not wanted:
                    break
                self.features[str(index)] = nn.Conv2d(channels, width, 3, padding=1)
                name = f"relu{block}_{number}"
                self._names.append(name)
                wanted.discard(name)
                channels, index = width, index + 2  # a convolution and its ReLU
            self._names.append(None)
            index += 1
        if wanted:
            raise ValueError(f"VGG{depth} has no {sorted(wanted)}")
        self.requires_grad_(False).eval()
        self._narrowed: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {}
        self.register_load_state_dict_post_hook(lambda module, _: module._narrowed.clear())

    def _apply(self, fn, recurse=True):
        self._narrowed.clear()
        return super()._apply(fn, recurse)

    def weights_in(self, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Kernel and bias of each convolution in a dtype: narrowed once, as they never change."""
        if dtype not in self._narrowed:
            layers = [tuple(layer.parameters()) for layer in self.features.values()]
            own = [(kernel.detach(), bias.detach()) for kernel, bias in layers]
            if dtype == own[0][0].dtype:
                return own
            self._narrowed[dtype] = [(kernel.to(dtype), bias.to(dtype)) for kernel, bias in own]
        return self._narrowed[dtype]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Feature maps by name, for ``image`` (B, 3, H, W), H and W at least 16; nothing is
        normalised here."""
        found: dict[str, Tensor] = {}
        dtype = image.dtype
        if torch.is_autocast_enabled(image.device.type):  # custom functions see no autocast
            dtype = torch.get_autocast_dtype(image.device.type)
            image = image.to(dtype)
        layers = iter(self.weights_in(dtype))
        for name in self._names:
            if len(found) == len(self.taps):
                break
            if name is None:
                image = (
                    _LeanMaxPool.apply(image) if needs_gradient(image) else F.max_pool2d(image, 2)
                )
                continue
            image = _conv_relu(image, *next(layers))
            if name in self.taps:
                found[name] = image
        return found

    def load_official(self, state: Mapping[str, Tensor], path: Path | str) -> None:
        """Takes the convolutions from a torchvision VGG state_dict; classifier and unused layers
        are ignored.

        Raises:
            DataError: a layer is missing or has another shape.
        """
        self.load_state_dict(
            checked_state(
                state, self.state_dict(), path, f"the weights of torchvision's vgg{self.depth}"
            )
        )


def _memory(values: Tensor) -> torch.memory_format:
    """The memory format in which values lie, or would lie with more than one row or channel."""
    last = values.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def needs_gradient(values: Tensor) -> bool:
    """Whether a graph behind ``values`` is being recorded."""
    return values.requires_grad and torch.is_grad_enabled()


def _conv_relu(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if needs_gradient(image):
        return _FrozenConvReLU.apply(image, weight, bias)
    return F.conv2d(image, weight, bias, padding=1).relu_()


def without_autocast(values: Tensor) -> torch.autocast:
    """Inside, operations keep the dtype they are given: sums that overflow half precision, and
    every backward pass, which autocast would round where the forward pass was careful."""
    return torch.autocast(values.device.type, enabled=False)


class Lpips(nn.Module):
    """LPIPS distance of image pairs in [-1, 1]: version 0.1, VGG16, every layer frozen."""

    shift: Tensor
    scale: Tensor

    def __init__(self):
        super().__init__()
        self.vgg = VggFeatures(16, LPIPS_TAPS)
        for index, width in enumerate(WIDTHS):
            self.register_buffer(f"linear{index}", torch.zeros(1, width, 1, 1))
        self.register_buffer("shift", torch.tensor(SHIFT, dtype=torch.float64).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE, dtype=torch.float64).view(1, 3, 1, 1))

    def features(self, image: Tensor) -> list[Tensor]:
        """Feature maps of the five layers, as they leave the network; ``image`` (B, 3, H, W) in
        [-1, 1]."""
        normal = (image - self.shift.to(image.dtype)) / self.scale.to(image.dtype)
        found = self.vgg(normal)
        return [found[name] for name in LPIPS_TAPS]

    def compare(self, features: list[Tensor], others: list[Tensor]) -> Tensor:
        """(B,) distances of two images from their features, in float32 or wider, also under
        autocast."""
        total = features[0].new_zeros(len(features[0]), dtype=_wide(features[0])[0].dtype)
        for i, (a, b) in enumerate(zip(features, others)):
            layer = _wide(a, b, getattr(self, f"linear{i}"))
            with without_autocast(a):
                distance = _WeightedDistance.apply if needs_gradient(a) else weighted_distance
                total = total + distance(*layer)
        return total

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        """(B,) distances; 0 for equal images."""
        return self.compare(self.features(image), self.features(other))

    def load_official(
        self,
        vgg16: Mapping[str, Tensor],
        linear: Mapping[str, Tensor],
        vgg16_path: Path | str = "VGG16",
        linear_path: Path | str = "LPIPS",
    ) -> None:
        """Takes torchvision's VGG16 and the five linear layers of LPIPS (``lin0.model.1.weight``
        ... ``lin4...``).

        Raises:
            DataError: a layer is missing, has another shape, or a linear weight is negative.
        """
        self.vgg.load_official(vgg16, vgg16_path)
        wanted = {f"lin{i}.model.1.weight": getattr(self, f"linear{i}") for i in range(len(WIDTHS))}
        found = checked_state(
            linear, wanted, linear_path, "LPIPS 0.1 linear layers for VGG16 (weights/v0.1/vgg.pth)"
        )
        for key, value in found.items():
            if (value < 0).any():
                raise DataError(
                    linear_path,
                    f"{key} has negative weights",
                    "weights of at least 0",
                    "Take weights/v0.1/vgg.pth from the lpips package",
                )
            wanted[key].copy_(value)


def checked_state(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path | str, what: str
) -> dict[str, Tensor]:
    """The entries of ``state`` that ``wanted`` names; DataError where one is missing or has another
    shape."""
    for key, value in wanted.items():
        found = state.get(key)
        if not isinstance(found, Tensor):
            raise DataError(path, f"no entry {key}", what)
        if found.shape != value.shape:
            raise DataError(
                path, f"{key} has the shape {tuple(found.shape)}", f"{tuple(value.shape)}: {what}"
            )
    return {key: state[key] for key in wanted}


def unit_features(features: Tensor) -> Tensor:
    """Features divided by their norm over channels plus 1e-10; a pixel without features stays 0,
    gradients too."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + 1e-10)


def _wide(*values: Tensor) -> list[Tensor]:
    """float32 at least: half precision loses the small differences."""
    return [value.to(torch.promote_types(values[0].dtype, torch.float32)) for value in values]


def weighted_distance(features: Tensor, others: Tensor, weight: Tensor) -> Tensor:
    """(B,) one layer's share of LPIPS: mean over pixels of the weighted squared difference of unit
    features."""
    squared = (unit_features(features) - unit_features(others)).square()
    return torch.einsum("bchw,c->b", squared, weight.flatten()) / squared[0, 0].numel()


class _WeightedDistance(torch.autograd.Function):
    """``weighted_distance`` that makes its gradient at once and keeps nothing else.

    Left to autograd it would keep seven maps of the features' size for the one that is needed in
    the end.
    """

    @staticmethod
    def forward(ctx, features: Tensor, others: Tensor, weight: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        size = norm + 1e-10
        change = (features / size).sub_(unit_features(others))
        weighted = change * weight
        pixels = change[0, 0].numel()
        value = torch.einsum("bchw,bchw->b", change, weighted) / pixels
        # d unit / d features = (1 - unit unitᵀ) / size, applied to 2 * weighted / pixels; nothing
        # flows at norm 0
        along = torch.einsum("bchw,bchw->bhw", features, weighted)[:, None] / (norm * size).clamp(
            min=1e-30
        )
        ctx.save_for_backward(
            weighted.addcmul_(features, along, value=-1).mul_(2 / pixels / size * (norm > 0))
        )
        return value

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return ctx.saved_tensors[0] * gradient.view(-1, 1, 1, 1), None, None
