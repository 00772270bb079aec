"""What does an architecture cost? Counted and measured objectives, and devices."""
