"""The reduced data set: few classes or images that stand for all, chosen by their codes."""
