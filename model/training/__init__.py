"""One training run, from its configuration to its summary.

Shards, a network and a ``TrainConfig`` enter; a run folder leaves: checkpoints, log, pictures,
curves, summary. ``train`` is the recipe top to bottom; a new option starts in ``config``.
"""
