"""A general reduced architecture: smaller networks of any space, no decision lost.

Not to be confused with `motemo.reduction`, which makes smaller data sets.
"""
