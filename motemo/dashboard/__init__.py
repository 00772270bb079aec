"""Optuna Dashboard on the study of a run, with notes, pictures and plots in place.

The dashboard runs on a mirror in memory (`mirror`), which follows the storage of the search by
reading alone (`follower`): the search is never kept waiting by a writer, and nothing that is done
in the dashboard reaches its study. What motemo knows is added to the dashboard's answers
(`answers`) on their way out (`server`).
"""
