"""Deployment folders: a chosen model with everything that it takes to run and to judge it."""
