"""The program that runs an exported model. It is the same for every model."""

SCRIPT = '''\
"""Run the model on a file: python run.py photo.png [MODEL.onnx]

The file is an image (that takes pillow), or an .npy array of images (N, C, H, W) in [0, 1].
Needs onnxruntime and numpy.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).resolve().parent
facts = json.loads((here / "architecture.json").read_text(encoding="utf-8"))
if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
source, model = (*sys.argv[1:], facts["onnx"])[:2]
for file in (Path(source), here / model):
    if not file.is_file():
        sys.exit(f"There is no file {file}.")
if source.endswith(".npy"):
    images = np.load(source)
else:
    from PIL import Image

    channels, height, width = facts["input_shape"]
    image = Image.open(source).convert("RGB" if channels == 3 else "L")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) / 255
    images = pixels.reshape(1, height, width, channels).transpose(0, 3, 1, 2)
mean, std = (np.reshape(facts[name], (1, -1, 1, 1)) for name in ("mean", "std"))
session = onnxruntime.InferenceSession(here / model, providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"images": ((images - mean) / std).astype(np.float32)})
for row in logits:
    print(facts["class_names"][row.argmax()], row.tolist())
'''
