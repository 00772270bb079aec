"""Rendering: a `Front` as a table, a file, a picture or a page; one small file each."""
