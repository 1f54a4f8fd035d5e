"""Random numbers of gradient methods: which directions, which parameters. From streams of the run's own."""

from dataclasses import dataclass

import numpy as np

from qorch.gradients.wanted import BoolArray
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position, gradient_stream_of


@dataclass(frozen=True)
class PubStream:
    """The random stream of the gradient of one pub of a call: a call that is replayed draws the same numbers again.

    No two pubs of a run share one: the backward pass of a recurrent network multiplies the gradients of its pubs, and
    the mean of a product is the product of the means only of what is independent.
    """

    seed: int
    position: Position
    pub: int

    @property
    def step(self) -> int:
        """The run's step, from 0 on; what comes before the first one counts as it."""
        return max(self.position.step, 0)

    def generator(self) -> np.random.Generator:
        """A generator at the beginning of the stream."""
        return np.random.Generator(np.random.PCG64(gradient_stream_of(self.seed, self.position, self.pub)))


# Both read the words of the bit generator: NumPy keeps those in all its versions, but not what a Generator makes of
# them, and a run that is resumed with another version must find what it has paid for.
def draw_signs(generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """+1 or -1, with equal probability and independently."""
    size = int(np.prod(shape))
    words = np.asarray(generator.bit_generator.random_raw(-(-size // 64)), dtype="<u8")
    bits = np.unpackbits(words.view(np.uint8), count=size)
    return np.asarray(2.0 * bits - 1.0, dtype=np.float64).reshape(shape)


def draw_subset(generator: np.random.Generator, *, count: int, among: int) -> BoolArray:
    """``count`` of ``among`` places, each subset with the same probability: one bool for each place."""
    order = np.argsort(generator.bit_generator.random_raw(among), kind="stable")
    chosen = np.zeros(among, dtype=np.bool_)
    chosen[order[:count]] = True
    return chosen
