"""Memory and time of the training loss: plain torch, this loss on all levels at once, and level by
level.

python benchmarks/loss.py --size 512x384
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import model.loss.losses as losses  # noqa: E402
import model.loss.vgg as vgg  # noqa: E402
from commands.options import SizeType  # noqa: E402


def kept_mib(loss: losses.TryOnLoss, run) -> float:
    """Most MiB that saved tensors, the loss's own weights aside, held at one time while ``run``
    ran."""
    held = {weight.untyped_storage().data_ptr(): 1 for weight in loss.state_dict().values()}
    now = peak = 0

    class Held:
        def __init__(self, tensor):
            nonlocal now, peak
            self.tensor, self.key = tensor, tensor.untyped_storage().data_ptr()
            if self.key not in held:
                now += tensor.untyped_storage().nbytes()
            held[self.key] = held.get(self.key, 0) + 1
            peak = max(peak, now)

        def __del__(self):
            nonlocal now
            held[self.key] -= 1
            if not held[self.key]:
                del held[self.key]
                now -= self.tensor.untyped_storage().nbytes()

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        run()
    return peak / 2**20


def go_plain() -> None:
    """Puts torch's own operations in the place of the lean ones."""
    vgg._conv_relu = lambda x, kernel, bias: F.relu(F.conv2d(x, kernel, bias, padding=1))
    vgg._LeanMaxPool.apply = staticmethod(lambda x: F.max_pool2d(x, 2))
    vgg._WeightedDistance.apply = staticmethod(vgg.weighted_distance)
    losses._MeanAbsolute.apply = staticmethod(F.l1_loss)


@click.command()
@click.option("--size", "size_hw", type=SizeType(32), default="512x384", show_default=True)
@click.option("--batch", default=1, show_default=True)
def main(size_hw: tuple[int, int], batch: int) -> None:
    """Prints MiB kept for the backward pass and CPU seconds of each way."""
    torch.manual_seed(0)
    loss = losses.TryOnLoss(losses.PerceptualNetworks())
    for weight in loss.parameters():
        if weight.dim() == 4:
            torch.nn.init.kaiming_normal_(weight)
    for i in range(len(vgg.WIDTHS)):
        getattr(loss.perceptual.lpips, f"linear{i}").fill_(0.1)
    height, width = size_hw
    target = torch.rand(batch, 3, height, width) * 2 - 1
    levels = [
        (torch.rand(batch, 3, height >> 4 - n, width >> 4 - n) * 2 - 1).requires_grad_()
        for n in range(5)
    ]
    ways = {
        "level by level": lambda: loss.backward_through(levels, target),
        "all levels at once": lambda: loss(levels, target)["total"].backward(),
        "plain torch, all at once": lambda: loss(levels, target)["total"].backward(),
    }
    for name, run in ways.items():
        if name.startswith("plain"):
            go_plain()
        begun = time.process_time()
        kept = kept_mib(loss, run)
        click.echo(f"{name:26} {kept:8.0f} MiB kept {time.process_time() - begun:8.1f} s CPU")


if __name__ == "__main__":
    main()
