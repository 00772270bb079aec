"""How good is an architecture? Estimates of its accuracy."""
