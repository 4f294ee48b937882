"""What variational encoders give."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Gaussian(NamedTuple):
    """Means and logarithms of variances, each (batch, ...)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """A latent by the reparametrisation trick; `noise` is normal, of the shape of the means."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence from N(0, 1) of each number, of the shape of the means."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - self.log_variance - 1)
