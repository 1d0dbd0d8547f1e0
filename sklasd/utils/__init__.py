"""Checks, progress bars and safe writing, which every room uses."""
