"""A small torch model of one's own as a search space.

Genes name the decisions, a function builds the network; everything else follows: the search,
counting, latency, ONNX models. MOTE has no published constants for a new space and calibrates
itself on a few of its architectures first.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

import motemo
from motemo.export import export_onnx
from motemo.space import Choice, Shape


def build_network(values: Mapping[str, Choice], input_shape: Shape, classes: int) -> nn.Module:
    """Return a plain convolutional network: some blocks, each halving the resolution."""
    channels, width = input_shape[0], int(values["width"])
    layers: list[nn.Module] = []
    for _ in range(int(values["depth"])):
        kernel = int(values["kernel"])
        layers += [
            nn.Conv2d(channels, width, kernel, stride=2, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU() if values["activation"] == "relu" else nn.SiLU(),
        ]
        channels, width = width, 2 * width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


SPACE = motemo.FunctionSpace(
    name="small-convnet",
    genes=(
        motemo.Gene("depth", (1, 2, 3)),
        motemo.Gene("width", (8, 16, 32)),
        motemo.Gene("kernel", (3, 5)),
        motemo.Gene("activation", ("relu", "silu")),
    ),
    build_network=build_network,
)


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
