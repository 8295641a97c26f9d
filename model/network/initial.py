"""Weights to start from where there are none: a network that copies before it has learnt to move
anything."""

from __future__ import annotations

import torch
from torch import nn

from model.network.daflow import SLOPE, DAFlow
from model.network.recompute import as_conv

# of the usual size: flows start within a fraction of a pixel, yet every layer gets a gradient
FLOW_SHARE = 0.05
# logit of the person over the garment: 73 % of each pixel; with more, the garment may be given up
PERSON_FIRST = 1.0


@torch.no_grad()
def start_copying(network: DAFlow) -> None:
    """Changes fresh weights so that the result starts as the masked person with a breath of
    garment, colours exact.

    Random weights start with grey fog: colours have to be learnt before any flow gets a useful
        gradient, and by then
    the flows have fled to the border, where the ground is. Here the light encoder passes red, green
    and blue on (as c and -c, so that LeakyReLU loses nothing), the light decoder gives them back,
    the flows are small, and the
    person outweighs the garment: what is visible is right from the first step, so that all the loss
        lies in the mask.
    Other weights stay as they are. It needs a light encoder of at least 6 and 3 channels; else
    nothing is done.
    """
    cascade = network.dafnet
    for name in ("Self_MFEs", "Cross_MFEs", "Refine_MFEs"):
        for block in getattr(cascade, name):
            last = block.layers[-1]
            last.weight.mul_(FLOW_SHARE)
            last.bias.zero_()
            if name == "Refine_MFEs":
                last.bias[4 * cascade.count : 5 * cascade.count] = (
                    PERSON_FIRST  # the first K of 2 K logits
                )
    lift, spread = as_conv(cascade.lights_encoder[0]), as_conv(cascade.lights_encoder[2])
    gather, paint = as_conv(cascade.lights_decoder[0]), as_conv(cascade.lights_decoder[2])
    if lift.out_channels < 6 or spread.out_channels < 3:
        return
    _pass_colours(lift, spread, SLOPE)
    _pass_colours(gather, paint, SLOPE)


def _pass_colours(first: nn.Conv2d, second: nn.Conv2d, slope: float) -> None:
    """Makes second(leaky(first(x))) give the first three channels of x back in its first three."""
    assert first.bias is not None and second.bias is not None
    for colour in range(3):
        for row, sign in ((colour, 1.0), (colour + 3, -1.0)):
            first.weight[row] = 0
            first.weight[row, colour, first.kernel_size[0] // 2, first.kernel_size[1] // 2] = sign
            first.bias[row] = 0
        second.weight[colour] = 0
        middle = (second.kernel_size[0] // 2, second.kernel_size[1] // 2)
        second.weight[(colour, colour, *middle)] = 1 / (1 + slope)
        second.weight[(colour, colour + 3, *middle)] = -1 / (1 + slope)
        second.bias[colour] = 0
