"""DAFlow: network, training, evaluation, try-on. Reads the shards that ``pipeline`` writes.

What a notebook needs is importable from here and stays stable; a name, and torch with it, is loaded
when it is asked for. docs/api.md shows each in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.base.lazy import front_door

if TYPE_CHECKING:
    from model.data.dataset import TryOnDataset as TryOnDataset
    from model.data.people import PeopleDataset as PeopleDataset
    from model.loss.losses import TryOnLoss as TryOnLoss
    from model.loss.perceptual import PerceptualNetworks as PerceptualNetworks
    from model.network.config import NetworkConfig as NetworkConfig
    from model.network.daflow import DAFlow as DAFlow
    from model.tryon.predictor import TryOn as TryOn

_HOME = {
    "DAFlow": "model.network.daflow",
    "NetworkConfig": "model.network.config",
    "PeopleDataset": "model.data.people",
    "PerceptualNetworks": "model.loss.perceptual",
    "TryOn": "model.tryon.predictor",
    "TryOnDataset": "model.data.dataset",
    "TryOnLoss": "model.loss.losses",
}
__all__ = list(_HOME)
__getattr__, __dir__ = front_door(__name__, _HOME)
