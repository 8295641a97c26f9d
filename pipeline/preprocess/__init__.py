"""From a dataset to a folder of shards: planned, run in parallel, resumed, verified.

The only room that knows the order of the stages. A dataset and a configuration enter; shards,
``index.json`` and the list of what was skipped leave. A new place to run tasks is a new backend.
"""
