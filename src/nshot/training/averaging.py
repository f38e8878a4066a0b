"""The mean of the weights of several steps, or of the first ones and the last.

Close to the end of a training the weights wander around a point that is better than any of them; their mean is near it
(Izmailov et al. 2018, https://arxiv.org/abs/1803.05407).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_swa_multi_avg_fn


class RunningAverage:
    """The uniform mean of parameters over the last steps of a training, float32.

    Nothing is allocated before the first weights are added.

    Attributes:
        parameters: What is averaged.
        steps: Over how many steps; 0: never.
        means: One per parameter, empty where nothing was added yet.
        count: How many steps were added.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], steps: int) -> None:
        self.parameters = parameters
        self.steps = steps
        self.means: list[Tensor] = []
        self.count = 0
        self._update = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def add(self) -> None:
        """Let the parameters as they are now count as one more step."""
        current = [parameter.detach().float() for parameter in self.parameters]
        if not self.means:
            self.means = [torch.zeros_like(value) for value in current]
        self._update(self.means, current, self.count)
        self.count += 1

    def begin_again(self) -> None:
        """Forget what was added."""
        self.means, self.count = [], 0

    @torch.no_grad()
    def swap_in(self) -> None:
        """Give the parameters their means, where there are any."""
        for parameter, mean in zip(self.parameters, self.means, strict=False):
            parameter.copy_(mean)


@contextmanager
def drawn_back(parameters: Sequence[nn.Parameter], share: float) -> Iterator[None]:
    """Let parameters end this share of the way back from where they are at the end to where they were before.

    Source: Wortsman et al. 2022, https://arxiv.org/abs/2109.01903.
    """
    before = [parameter.detach().clone() for parameter in parameters] if share else []
    yield
    with torch.no_grad():
        for parameter, value in zip(parameters if before else [], before, strict=True):
            parameter.lerp_(value.to(parameter.device), share)
