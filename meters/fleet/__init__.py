"""The meters of one process: shards, and what they are composed of."""
