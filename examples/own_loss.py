"""A task that is no classification: remove the noise from images, with a loss of one's own.

Examples are inputs, targets and a loss; a `DataLoader` does as well, by `Examples.of_loader`.
"""

from collections.abc import Mapping

import torch
from torch import nn

import motemo


def build(values: Mapping[str, object], input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Map noisy images (N, C, H, W) to clean ones, (N, outputs, H, W)."""
    width, depth = int(str(values["width"])), int(str(values["depth"]))
    layers: list[nn.Module] = [nn.Conv2d(input_shape[0], width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, outputs, 3, padding=1))


def noisy_digits() -> motemo.Examples:
    """Return digits with noise as inputs, without it as targets."""
    digits = motemo.load_data("digits", images_per_class=30)
    clean = torch.from_numpy(digits.images).float() / 255
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return motemo.Examples(
        name="noisy digits",
        inputs=clean + 0.3 * noise,
        targets=clean,
        loss=nn.functional.mse_loss,
        outputs=1,
    )


def main() -> None:
    """Search for small networks whose short training goes well."""
    space = motemo.FunctionSpace(
        name="denoiser",
        genes=(motemo.Gene("depth", (1, 2, 3)), motemo.Gene("width", (2, 4, 8, 16))),
        build_network=build,
    )
    objectives = [
        motemo.Mote(data=noisy_digits()),
        motemo.Params(input_shape=(1, 8, 8), classes=1),
    ]
    front = motemo.search(space, objectives, trials=8)
    for member in front:
        mote, params = member.measurements["mote"], member.measurements["params"]
        print(f"{member.architecture.genotype}  mote {mote.value:.2f}, {params.value:,.0f} params")
    print(f"{len(front)} denoisers to train")


if __name__ == "__main__":
    main()
