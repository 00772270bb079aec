"""A device offered to searches on other machines: the server, and what both sides share.

Nothing here imports torch: the target may be a small computer without it.
"""
