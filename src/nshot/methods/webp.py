"""Compress images as WEBP files."""

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


class Webp(CompressionMethod):
    """Write WebP files of one quality, the highest that keeps to the rate.

    **Idea.** Each block is predicted from its neighbours, the rest goes through a transform and an adaptive arithmetic
    coder. What all files of one shape share (27 bytes) is written once and not counted; ``whole_files`` counts it.

    **Needs** images; learns only the quality from the pool.

    **Wins** on photographs at few bits per pixel. **Loses** to JPEG near the original, since its colours always have
    half the resolution and its pixels a smaller range.

    **Source.** RFC 6386 (VP8) and RFC 9649 (WebP), by libwebp through Pillow.

    **Example.** ``nshot fit photos --task compress --method webp --set rate=0.5 --out model``
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
        return FileCodec.for_rate("WEBP", pool, self.rate, whole=self.whole_files)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved quality; see `Method.restore`."""
        from nshot.training.codecs.files import FileCodec

        return FileCodec.restored("WEBP", state, whole=self.whole_files)
