"""What a network that has learnt to draw usual rows draws badly is strange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class Autoencoder(UnlabelledDetection):
    """Score a row by how badly a small network draws it that has learnt to draw the pool.

    **Idea.** A network g of four layers with a bottleneck minimises ``mean_i |z_i - g(m_i z_i)|^2`` over the scaled
    rows z of the pool, m hiding a random share of the values at each step; a row's score is ``|z - g(z)|^2 / width``.

    **Needs** a backbone that embeds, and unlabelled rows; no label.

    **Wins** where columns hang together in ways that are no straight lines, with thousands of rows. **Loses** to
    simpler scores on few rows, and takes the longest to fit.

    **Source.** Vincent et al. 2008, Extracting and Composing Robust Features with Denoising Autoencoders; Hawkins et
    al. 2002, Outlier Detection Using Replicator Neural Networks.

    **Example.** ``nshot compare payments.csv --task detect --also autoencoder``
    """

    uses_seed: ClassVar[bool] = True
    by_default: ClassVar[bool] = False

    epochs: float = Field(default=20, gt=0)
    """Passes over the rows; at least 300 steps."""
    batch_size: int = Field(default=64, ge=1)
    """Rows in a step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest rate; a cosine leads it to zero."""
    width: int = Field(default=64, ge=1)
    """Of the first and the third layer."""
    bottleneck: int = Field(default=32, ge=1)
    """Of the layer in the middle."""
    hidden: float = Field(default=0.3, ge=0, lt=1)
    """The share of values that are hidden at each step."""

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the trained network."""
        from nshot.training.outliers.autoencoder import Autoencoder as Learnt

        return Learnt

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the network trained on these vectors, and how the training went."""
        from nshot.training.batching import schedule
        from nshot.training.loop import TrainingSettings
        from nshot.training.outliers.autoencoder import trained

        planned = schedule(len(vectors), epochs=self.epochs, batch_size=self.batch_size)
        detector, record = trained(
            vectors,
            widths=(self.width, self.bottleneck),
            hidden=self.hidden,
            schedule=replace(planned, steps=max(_FEWEST_STEPS, planned.steps)),
            settings=TrainingSettings(self.learning_rate),
            context=context,
        )
        return detector, {"training": record.as_json()}


_FEWEST_STEPS = 300
