"""Checks, progress bars and safe writing for all other folders."""
