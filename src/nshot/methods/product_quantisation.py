"""Compress by product quantisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from nshot.core import (
    Backbone,
    BackboneRef,
    Dataset,
    Example,
    Family,
    FitContext,
    Needs,
    Prediction,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.training.codecs.options import CompressionMethod

if TYPE_CHECKING:
    from nshot.training.codecs.components import Components
    from nshot.training.codecs.reading import Reading
    from nshot.training.codecs.shapes import Shapes, Tiling
    from nshot.training.rowwise import Array

_TILES_PER_CENTRE = 8
"""Fewer than these for each centre would learn the pool by heart."""
_MOST_TILES = 4096
_PASSES = 12


class ProductQuantisation(CompressionMethod):
    """Cut a vector into parts and write of each the number of the nearest of a few hundred learnt centres.

    **Idea.** Tiles (see `pca_codec`; a vector is one tile) are turned onto their principal components, and these are
    dealt into m parts so that the product of variances is about the same in each. In every part k-means finds
    ``2^b`` centres in the pool; a tile is written as m numbers of b bits, all of the same length, so that anything can
    be found without reading what stands before. m follows from ``rate``.

    **Needs** images, or rows of numbers, or a backbone whose vectors are compressed; no labels.

    **Wins** where distances are to be computed on what is written, as in search among millions of vectors. **Loses** in
    error at equal rate to codes whose length follows their frequency.

    **Source.** Jégou, Douze and Schmid 2011, Product quantization for nearest neighbor search; the turning and dealing
    out is the parametric solution of Ge, He, Ke and Sun 2013, Optimized product quantization, section 4.2.

    **Example.** ``nshot fit tickets.csv --task compress --method product_quantisation --set rate=0.5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.COMPRESS}), modalities=frozenset({"image", "row"}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True

    code_bits: int = Field(default=8, ge=1, le=12)
    """Bits of a number, at most: with fewer than 8 x 2^bits tiles to learn from, they become fewer."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the centres; see `Method.fit`."""
        self.require(task, train, backbone)
        import numpy as np

        from nshot.training.codecs.components import principal_components, sampled_tiles
        from nshot.training.codecs.quantised import budget
        from nshot.training.codecs.shapes import Shapes, Tiling

        reading = self.reading(pool, backbone)
        arrays = reading.arrays(pool.examples)
        shapes, tiling = Shapes.of(arrays), Tiling.of(arrays)
        tiles = sampled_tiles(arrays, tiling, context.seed)
        components = principal_components(tiles, is_image=reading.is_image)
        bits = max(1, int(budget(arrays, shapes, tiling, self.rate, in_parts=False)))
        code_bits = max(1, min(self.code_bits, bits, int(np.log2(max(2, len(tiles) // _TILES_PER_CENTRE)))))
        parts = min(bits // code_bits, len(components.axes))
        coefficients = components.analyse(tiles)[:: -(-len(tiles) // _MOST_TILES)]
        order = _dealt(components.variances, parts)
        centres = [_centres(coefficients[:, own], code_bits, context.seed) for own in order]
        return ProductCodec(reading, shapes, tiling, components, order, centres, code_bits)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved centres; see `Method.restore`."""
        from nshot.training.codecs.components import Components
        from nshot.training.codecs.reading import Reading
        from nshot.training.codecs.shapes import Shapes, Tiling

        settings, tensors = state.settings, state.tensors
        components = Components(*(tensors[name] for name in ("mean", "scale", "axes", "variances")))
        order = _dealt(components.variances, int(settings["parts"]))
        return ProductCodec(
            Reading.from_json(settings["reading"], open_backbone),
            Shapes.from_json(settings["shapes"]),
            Tiling(*(int(side) for side in settings["tile"])),
            components,
            order,
            [tensors[f"centres_{part}"] for part in range(len(order))],
            int(settings["code_bits"]),
        )


def _dealt(variances: Array, parts: int) -> list[Array]:
    """Return which components belong to each part: in turn, each to the part with the least product of variances."""
    import numpy as np

    if not parts:
        return []
    room = -(-len(variances) // parts)
    own: list[list[int]] = [[] for _ in range(parts)]
    products = np.zeros(parts)
    logarithms = np.log(variances.astype(np.float64) / float(variances[-1])) + 1.0
    for component, logarithm in enumerate(logarithms.tolist()):
        open_parts = [part for part in range(parts) if len(own[part]) < room]
        least = min(open_parts, key=lambda part: (products[part], part))
        own[least].append(component)
        products[least] += logarithm
    return [np.array(one, dtype=np.int64) for one in own]


def _centres(coefficients: Array, code_bits: int, seed: int) -> Array:
    """Return the centres of k-means, float32, shape (2^code_bits, size); equal ones where there are too few rows."""
    import numpy as np
    from sklearn.cluster import KMeans

    different = np.unique(coefficients, axis=0)
    wanted = 1 << code_bits
    if len(different) <= wanted:
        return np.resize(different, (wanted, different.shape[1])).astype(np.float32)
    found = KMeans(wanted, n_init=1, max_iter=_PASSES, random_state=seed, init="k-means++").fit(coefficients)
    return np.asarray(found.cluster_centers_, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ProductCodec:
    """Components, dealt into parts, and the centres of each part: float32, shape (2^code_bits, size of the part)."""

    reading: Reading
    shapes: Shapes
    tiling: Tiling
    components: Components
    order: Sequence[Array]
    centres: Sequence[Array]
    code_bits: int

    def encode(self, examples: Sequence[Example]) -> list[bytes]:
        """Return each example in few bytes; see `nshot.core.Codec`."""
        return [self._written(array, at) for at, array in enumerate(self.reading.arrays(examples))]

    def decode(self, written: Sequence[bytes]) -> list[Array]:
        """Return the arrays that were written; see `nshot.core.Codec`."""
        from nshot.training.codecs.quantised import read_back

        return [read_back(self._read, data, at) for at, data in enumerate(written)]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the examples as they come back, and their bits."""
        from nshot.training.codecs.quantised import round_trip

        return round_trip(self, examples)

    def state(self) -> State:
        """Return components, centres, and how examples are read."""
        own = self.components
        settings = {
            "reading": self.reading.as_json(),
            "shapes": self.shapes.as_json(),
            "tile": [self.tiling.height, self.tiling.width, self.tiling.channels],
            "parts": len(self.order),
            "code_bits": self.code_bits,
        }
        tensors = {"mean": own.mean, "scale": own.scale, "axes": own.axes, "variances": own.variances}
        return State(settings, {**tensors, **{f"centres_{part}": one for part, one in enumerate(self.centres)}})

    def _written(self, array: Array, position: int) -> bytes:
        import numpy as np

        from nshot.training.codecs.quantised import refuse_colours

        refuse_colours(array, self.tiling, position)
        coefficients = self.components.analyse(self.tiling.cut(array))
        codes = np.zeros((len(coefficients), len(self.order)), dtype=np.int64)
        for part, (own, centres) in enumerate(zip(self.order, self.centres, strict=True)):
            wide = centres.astype(np.float64)
            distances = np.square(wide).sum(axis=1) - 2.0 * coefficients[:, own] @ wide.T
            codes[:, part] = distances.argmin(axis=1)
        places = np.arange(self.code_bits - 1, -1, -1)
        bits = (codes[:, :, None] >> places) & 1
        return self.shapes.header(array.shape) + np.packbits(bits.astype(np.uint8).ravel()).tobytes()

    def _read(self, written: bytes) -> Array:
        import numpy as np

        shape, at = self.shapes.read_header(written)
        tiles, parts = self.tiling.count(shape), len(self.order)
        wanted = tiles * parts * self.code_bits
        if len(written) - at != -(-wanted // 8):
            raise ValueError(f"{len(written) - at} bytes in place of {-(-wanted // 8)}")
        bits = np.unpackbits(np.frombuffer(written, dtype=np.uint8, offset=at), count=wanted)
        places = np.arange(self.code_bits - 1, -1, -1)
        codes = (bits.reshape(tiles, parts, self.code_bits).astype(np.int64) << places).sum(axis=2)
        coefficients = np.zeros((tiles, len(self.components.axes)))
        for part, (own, centres) in enumerate(zip(self.order, self.centres, strict=True)):
            coefficients[:, own] = centres[codes[:, part]]
        return self.tiling.joined(self.components.synthesise(coefficients), shape)
