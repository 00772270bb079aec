"""Image data: one class, one file per source, and the steps that reduce and resize it."""
