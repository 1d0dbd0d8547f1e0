"""Pictures of scores, thresholds and maps."""
