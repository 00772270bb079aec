"""Correlating estimates with true accuracies; see docs/correlate.md."""
