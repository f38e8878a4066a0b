"""Compress by principal components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

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

if TYPE_CHECKING:
    from nshot.training.codecs.components import Components
    from nshot.training.rowwise import Array


class PcaCodec(CompressionMethod):
    """Write the coefficients of the pool's principal components, rounded to one step.

    **Idea.** A picture is cut into tiles of 16 x 16 pixels (small pictures of one shape are one tile, a vector is one
    tile). Of each tile x the coefficients ``c = A (x - m)`` are written, A holding the eigenvectors of the pool's
    covariance: ``q = sign(c) floor(|c| / step + 0.4)``. One step for all coefficients leaves every one that varies by
    more than a step the same error, which is the best way to spend bits on a Gaussian source (reverse water-filling).
    Frequent numbers take few bits (an entropy coder with the pool's frequencies). The step is the shortest that
    keeps to ``rate`` on tiles that A was not learnt from.

    **Needs** images, or rows of numbers, or a backbone whose vectors are compressed; no labels.

    **Wins** where pictures or vectors resemble each other, as x-rays of one kind do. **Loses** to a trained transform
    where their differences do not add up linearly, and to image files where every picture shows something else.

    **Source.** Karhunen and Loève's transform; Cover and Thomas 2006, Elements of information theory, section 10.3.3.

    **Example.** ``nshot fit xrays.npz --task compress --method pca_codec --set rate=0.5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.COMPRESS}), modalities=frozenset({"image", "row"}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the components with the step that meets the rate; see `Method.fit`."""
        self.require(task, train, backbone)
        from nshot.training.codecs.components import principal_components, sampled_tiles
        from nshot.training.codecs.quantised import QuantisedCodec, budget, halves, quantiser_for
        from nshot.training.codecs.shapes import Shapes, Tiling

        reading = self.reading(pool, backbone)
        arrays = reading.arrays(pool.examples)
        shapes, tiling = Shapes.of(arrays), Tiling.of(arrays)
        learnt_from, held_back = halves(sampled_tiles(arrays, tiling, context.seed))
        transform = Linear(principal_components(learnt_from, is_image=reading.is_image))
        quantiser = quantiser_for(transform.analyse(held_back), budget(arrays, shapes, tiling, self.rate))
        kept = Linear(transform.components.first(len(quantiser.shifts)))
        return QuantisedCodec(reading, shapes, tiling, kept, quantiser)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved components; see `Method.restore`."""
        from nshot.training.codecs.components import Components
        from nshot.training.codecs.quantised import QuantisedCodec

        names = ("mean", "scale", "axes", "variances")
        components = Components(*(state.tensors[name] for name in names))
        return QuantisedCodec.restored(state, Linear(components), open_backbone)


@dataclass(frozen=True)
class Linear:
    """The components as a transform (`nshot.training.codecs.quantised.Transform`)."""

    components: Components

    def analyse(self, tiles: Array) -> Array:
        """Return the coefficients, shape (tiles, k)."""
        return self.components.analyse(tiles)

    def synthesise(self, coefficients: Array) -> Array:
        """Return the tiles, shape (tiles, size)."""
        return self.components.synthesise(coefficients)

    def tensors(self) -> Mapping[str, Array]:
        """Return mean, scale, axes and variances."""
        own = self.components
        return {"mean": own.mean, "scale": own.scale, "axes": own.axes, "variances": own.variances}
