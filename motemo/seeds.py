"""Seeds: every random decision is a function of named parts, never of what ran before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager


def derive_seed(*parts: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on all parts and on nothing else.

    The same parts give the same seed in every process and on every machine.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded_torch(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them afterwards.

    For code that draws from a global generator and takes no other, as the initialisers of torch's
    own modules and dropout do. Other devices than the CPU and the named one are left alone.
    """
    import torch

    place = torch.device(device)
    cuda = place.type == "cuda"
    index = (torch.cuda.current_device() if place.index is None else place.index) if cuda else 0
    with torch.random.fork_rng(devices=[index] if cuda else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU
        if cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
