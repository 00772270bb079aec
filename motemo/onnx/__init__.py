"""ONNX: graphs built from torch networks, and sessions that run them."""
