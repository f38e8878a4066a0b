"""Compress images as JPEG files."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

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


class Jpeg(CompressionMethod):
    """Write JPEG files of one quality, the highest that keeps to the rate.

    **Idea.** Blocks of 8 x 8 pixels, a discrete cosine transform, coefficients rounded as coarsely as the quality says,
    the standard's code tables. What all files of one shape share (some 600 bytes) is written once and not counted;
    ``whole_files`` counts it, with code tables made for each picture, as files on a disk have them.

    **Needs** images; learns only the quality from the pool.

    **Wins** where everything has to open the files. **Loses** at few bits per pixel, and on small pictures.

    **Source.** ITU-T recommendation T.81 (1992), by libjpeg through Pillow; colours at half the resolution.

    **Example.** ``nshot fit photos --task compress --method jpeg --set rate=0.5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.COMPRESS}), modalities=frozenset({"image"}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.BASELINE

    whole_files: bool = False
    """Write whole files, with the header that all files of one shape share."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the quality that meets the rate; see `Method.fit`."""
        self.require(task, train, backbone)
        from nshot.training.codecs.files import FileCodec

        self.reading(pool, None)
        return FileCodec.for_rate("JPEG", pool, self.rate, whole=self.whole_files)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved quality; see `Method.restore`."""
        from nshot.training.codecs.files import FileCodec

        return FileCodec.restored("JPEG", state, whole=self.whole_files)
