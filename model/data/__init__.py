"""Shards to batches.

Folders of shards enter; batches of tensors leave, the same for the same seed, epoch and index
whatever the number of workers. ``packing`` is the layout of a sample between processes.
"""
