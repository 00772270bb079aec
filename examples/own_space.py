"""A search space of one's own, defined by running: the builder asks for what it needs to know.

Whatever `build` asks for becomes a gene, also what it asks for only sometimes, as for the blocks
beyond the first. Everything else follows: the search, counting, latency, ONNX models. MOTE has no
published constants for a new space and calibrates itself on a few of its architectures first.

The same from the command line: motemo search --space own_space.py:SPACE
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from torch import nn

import motemo
from motemo.export import export_onnx
from motemo.space import Shape


def build(trial: optuna.trial.BaseTrial, input_shape: Shape, classes: int) -> nn.Module:
    """Return a convolutional network: some blocks, plain or separable, each halving the image."""
    layers: list[nn.Module] = []
    channels = input_shape[0]
    for block in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_categorical(f"width_{block}", (8, 16, 32))
        if trial.suggest_categorical(f"kind_{block}", ("plain", "separable")) == "plain":
            layers.append(nn.Conv2d(channels, width, 3, stride=2, padding=1))
        else:  # only here is there a kernel to choose
            kernel = trial.suggest_int(f"kernel_{block}", 3, 7, step=2)
            layers += [
                nn.Conv2d(
                    channels, channels, kernel, stride=2, padding=kernel // 2, groups=channels
                ),
                nn.Conv2d(channels, width, 1),
            ]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers, *head)


SPACE = motemo.BuilderSpace(name="small-convnet", build_network=build)


def main() -> None:
    data = motemo.load_data("digits", images_per_class=60)
    shape = (1, 16, 16)
    objectives = [
        motemo.Mote(data=data),
        motemo.Flops(input_shape=shape, classes=data.classes),
        motemo.Latency(device=motemo.cpu(), input_shape=shape, classes=data.classes),
    ]
    front = motemo.search(SPACE, objectives, trials=12, seed=0)
    for member in front:
        mote, latency = member.measurements["mote"], member.measurements["latency_ms"]
        print(f"{member.architecture.genotype}  mote {mote.value:.3f}, {latency.value:.3f} ms")
    with TemporaryDirectory() as folder:
        models = export_onnx(front, Path(folder), input_shape=shape, classes=data.classes)
        print(f"{len(models)} ONNX models, each equal to its torch network")


if __name__ == "__main__":
    main()
