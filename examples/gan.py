"""A small GAN: a generator learns to put points on a circle, from what a discriminator says of them.

    python examples/gan.py              # with fastnn
    python examples/gan.py ref          # the same with fastnn_ref

Two models, each with an optimizer of its own. The discriminator learns by ``step``. The generator learns by hand: its
points go through the discriminator, and the gradient comes back the same way. A frozen discriminator gives dx alone, so
the products for gradients that nobody wants are left out.

Source: Goodfellow et al., "Generative adversarial nets" (2014).
"""

import argparse
import importlib
import time
from types import ModuleType

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
LATENT, BATCH, SECTORS = 4, 128, 12


def circle(rng: np.random.Generator, n: int) -> Array:
    """Points near the circle of radius 1."""
    angle, radius = rng.uniform(0, 2 * np.pi, size=n), rng.normal(1, 0.05, size=n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def noise(rng: np.random.Generator, n: int) -> Array:
    """What the generator starts from."""
    return rng.normal(size=(n, LATENT)).astype(np.float32)


def train(nn: ModuleType, rng: np.random.Generator, steps: int) -> Array:
    """Points (2000, 2) that the trained generator makes."""
    generator = nn.Sequential(
        nn.Linear(LATENT, 32, activation="relu"), nn.Linear(32, 32, activation="relu"), nn.Linear(32, 2), seed=1,
        dtype="float32")
    discriminator = nn.Sequential(
        nn.Linear(2, 64, activation="leaky_relu"), nn.Linear(64, 64, activation="leaky_relu"), nn.Linear(64, 1), seed=2,
        dtype="float32")
    loss = nn.BCEWithLogitsLoss()
    to_generate, to_discriminate = nn.Adam(lr=1e-3, betas=(0.5, 0.9)), nn.Adam(lr=2e-3, betas=(0.5, 0.9))
    is_real = np.repeat([[1.0], [0.0]], BATCH, axis=0)
    for step in range(steps):
        points = np.concatenate([circle(rng, BATCH), generator(noise(rng, BATCH))])
        d_loss = discriminator.step(points, is_real, loss, to_discriminate)

        discriminator.trainable = False
        made = generator.forward(noise(rng, BATCH), training=True)
        g_loss = loss.forward(discriminator.forward(made, training=True), is_real[:BATCH])
        generator.backward(discriminator.backward(loss.backward()))
        to_generate.step(generator)
        discriminator.trainable = True
        if (step + 1) % max(1, steps // 5) == 0:
            print(f"step {step + 1:5}: loss of the discriminator {d_loss:.3f}, of the generator {g_loss:.3f}")
    return np.asarray(generator.predict(noise(rng, 2000)))


def measure(found: Array) -> tuple[float, int]:
    """The mean distance from the circle, and how many of its 12 sectors have points."""
    error = float(np.abs(np.hypot(*found.T) - 1).mean())
    sectors = len(set(((np.arctan2(*found.T) + np.pi) / (2 * np.pi) * SECTORS).astype(int) % SECTORS))
    return error, sectors


def main(package: str = "fast", steps: int = 3000) -> tuple[float, int]:
    """Trains; prints and returns what ``measure`` finds."""
    nn = importlib.import_module("fastnn_ref" if package == "ref" else "fastnn")
    start = time.perf_counter()
    error, sectors = measure(train(nn, np.random.default_rng(0), steps))
    print(f"{steps} steps in {time.perf_counter() - start:.1f} s: points {error:.3f} from the circle on average, "
          f"in {sectors} of {SECTORS} sectors")
    return error, sectors


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(**vars(parser.parse_args()))
