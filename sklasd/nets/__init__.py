"""Networks of the papers: torch, and nothing else."""
