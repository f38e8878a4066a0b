"""The option that every method has which compresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from nshot.core import DataError, Dataset
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.core import Backbone
    from nshot.training.codecs.reading import Reading


class CompressionMethod(Method):
    """A method whose predictor is a `nshot.core.Codec`."""

    rate: float = Field(default=1.0, gt=0, le=64)
    """Bits to write on average: per pixel of an image, per number of a vector."""

    def reading(self, pool: Dataset, backbone: Backbone | None) -> Reading:
        """Return how the pool's examples become arrays.

        Raises:
            DataError: The pool is empty, or its examples are of a kind that this method does not compress.
        """
        from nshot.training.codecs.reading import Reading

        if not len(pool):
            raise DataError(f"{self.method_name()} learns from examples without labels; {pool.name} has none.")
        readable = self.needs.modalities if backbone is None else backbone.modalities
        if pool.modality not in readable:
            raise DataError(
                f"{self.method_name()} compresses {' and '.join(sorted(readable))} examples; {pool.name} holds "
                f"{pool.modality} examples. Texts are compressed as what a backbone makes of them: name one."
            )
        return Reading.of(pool, backbone)
