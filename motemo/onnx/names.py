"""What every ONNX graph of motemo has in common."""

OPSET = 18
IR_VERSION = 10
INPUT, OUTPUT = "images", "logits"
