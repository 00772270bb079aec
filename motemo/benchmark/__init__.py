"""Comparing samplers offline, on tables of published records; see docs/benchmark.md."""
