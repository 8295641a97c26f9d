"""DAFlow: network, training, evaluation, try-on. Reads the shards that ``pipeline`` writes."""
