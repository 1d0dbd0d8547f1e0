"""Synthetic machines with named faults."""
