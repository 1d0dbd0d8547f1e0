"""Names of before, until all rooms are merged."""
