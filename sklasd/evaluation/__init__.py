"""Train on normal clips, score others, for many machines and seeds."""
