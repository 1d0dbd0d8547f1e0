"""Machines with named faults, made up."""
