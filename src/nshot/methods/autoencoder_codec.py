"""Compress by an autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from nshot.core import (
    Backbone,
    BackboneRef,
    Dataset,
    Family,
    FitContext,
    Needs,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.training.codecs.options import CompressionMethod

_TILES_PER_STEP = 128
_SHARES = (0.0, 0.5, 1.0)
"""How much of what the network adds is kept: what does best on tiles that it was not trained on."""


class AutoencoderCodec(CompressionMethod):
    """Principal components with a small network before and behind, trained for error and bits at once.

    **Idea.** `pca_codec` gives coefficients c in steps. A network adds what the others say about each:
    ``z = c + V relu(U c + u)``; z is rounded and written, and read back as ``z + W relu(T z + t)``. Trained is
    ``E |error|^2 + (ln 2 / 6) E bits``, from the point where the network adds nothing. How much of what it adds is
    kept, and the step that meets ``rate``, are chosen on tiles that it was not trained on.

    **Needs** images, or rows of numbers, or a backbone whose vectors are compressed; no labels.

    **Wins** over PCA where the pool is large and of one kind. **Loses** in seconds.

    **Source.** Ballé, Laparra and Simoncelli 2017, https://arxiv.org/abs/1611.01704.

    **Example.** ``nshot fit xrays.npz --task compress --method autoencoder_codec --set rate=0.5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.COMPRESS}), modalities=frozenset({"image", "row"}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    hidden: int = Field(default=128, ge=1, le=4096)
    """Width of the hidden layers."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """The highest learning rate."""
    steps: int = Field(default=300, ge=1)
    """Optimiser steps, of 128 tiles each."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many tiles a fit passes through the network."""
        return self.steps * _TILES_PER_STEP

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained network with the step that meets the rate; see `Method.fit`.

        Raises:
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        import numpy as np

        from nshot.training.batching import Schedule
        from nshot.training.codecs.autoencoder import trained
        from nshot.training.codecs.components import principal_components, sampled_tiles
        from nshot.training.codecs.quantised import QuantisedCodec, budget, halves, quantiser_for
        from nshot.training.codecs.shapes import Shapes, Tiling
        from nshot.training.loop import TrainingSettings

        reading = self.reading(pool, backbone)
        arrays = reading.arrays(pool.examples)
        shapes, tiling = Shapes.of(arrays), Tiling.of(arrays)
        learnt_from, held_back = halves(sampled_tiles(arrays, tiling, context.seed))
        bits = budget(arrays, shapes, tiling, self.rate)
        components = principal_components(learnt_from, is_image=reading.is_image)
        linear = quantiser_for(components.analyse(held_back), bits)
        transform, record = trained(
            components.first(max(1, len(linear.shifts))),
            linear.step,
            learnt_from,
            hidden=self.hidden,
            schedule=Schedule(min(_TILES_PER_STEP, len(learnt_from)), self.steps),
            settings=TrainingSettings(self.learning_rate, average=0.1),
            context=context,
        )
        found = []
        for share in _SHARES:
            less = transform.drawn_back(share)
            coefficients = less.analyse(held_back)
            quantiser = quantiser_for(coefficients, bits)
            back = less.synthesise(quantiser.restored(quantiser.quantised(coefficients)))
            found.append((float(np.square((back - held_back) / components.scale).mean()), less, quantiser))
        _, chosen, quantiser = min(found, key=lambda one: one[0])
        return QuantisedCodec(reading, shapes, tiling, chosen, quantiser, record)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved network; see `Method.restore`."""
        from nshot.training.codecs.autoencoder import Corrected
        from nshot.training.codecs.quantised import QuantisedCodec

        return QuantisedCodec.restored(state, Corrected.restored(state.tensors), open_backbone)
