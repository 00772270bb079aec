"""Where to look next? Samplers are Optuna's own `BaseSampler`."""
