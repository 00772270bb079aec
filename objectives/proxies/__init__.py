"""Baselines that score a network without training it, or nearly so: one file each."""
