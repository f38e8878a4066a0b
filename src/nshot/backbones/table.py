"""Rows of a table as a backbone: what a column becomes is learnt from rows, without their targets.

Nothing here is pre-trained but the text encoder of columns with texts. Importing this file loads neither torch nor
pyarrow.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from nshot.backbones.table_cells import cells
from nshot.backbones.table_record import Learnt
from nshot.backbones.table_texts import TextColumnEncoder
from nshot.core import (
    TABLE,
    Ability,
    Backbone,
    BackboneRef,
    Embeds,
    Example,
    ModelError,
    UnsupportedError,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nshot.backbones.table_network import RowNetwork

_NETWORK_WIDTH = 256


class TableRows:
    """Rows of a table: embeds each into numbers that say what its cells say, once it has seen rows (`core.Learns`).

    Every column weighs about as much as one standardised number; one that is the same in all rows is left out. What
    becomes of a column: `table_numbers`, `table_categories`, `table_dates`, `table_texts`. Each row is computed by
    itself, so that batches change nothing.
    """

    modalities = frozenset({"row"})
    abilities = frozenset({Ability.EMBEDS, Ability.STARTS})
    network_width = _NETWORK_WIDTH

    def __init__(
        self, ref: BackboneRef, *, text_encoder: BackboneRef, open_encoder: Callable[[BackboneRef], Backbone]
    ) -> None:
        """Take over what was learnt before, if anything was; nothing is loaded.

        Args:
            ref: ``table`` or ``table:ENCODER``.
            text_encoder: What embeds columns of texts, where nothing was learnt yet.
            open_encoder: Opens it.

        Raises:
            ModelError: What was learnt is damaged, or not what was recorded.
        """
        if ref.learnt is None and ref.sha256 is not None:
            raise ModelError(
                f"This model uses what was learnt of the columns of a table ({ref.sha256}), and that is missing. "
                "Copy the model again, or fit it anew."
            )
        self._id = ref.id
        self._learnt = None if ref.learnt is None else Learnt.read(ref.learnt)
        self._text_encoder = text_encoder
        self._open_encoder = open_encoder
        if ref.sha256 is not None and ref.sha256 != self.ref.sha256:
            raise ModelError(
                f"What was learnt of the columns of a table is not what was recorded. Expected sha256 {ref.sha256}, "
                f"found {self.ref.sha256}. Copy the model again, or fit it anew."
            )

    @cached_property
    def ref(self) -> BackboneRef:
        """Return the reference, with what was learnt and the hash of that; without, before it learnt."""
        if self._learnt is None:
            return BackboneRef(self._id)
        learnt = self._learnt.model_dump(mode="json")
        written = json.dumps(learnt, sort_keys=True, separators=(",", ":"))
        return BackboneRef(self._id, None, hashlib.sha256(written.encode()).hexdigest(), learnt)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Return what each entry of a vector stands for; nothing before it learnt."""
        return () if self._learnt is None else self._learnt.feature_names

    @property
    def width(self) -> int:
        """Return the length of a vector; 0 before it learnt."""
        return len(self.feature_names)

    @property
    def usual_length(self) -> float:
        """Return the root mean square length of a vector: every column has the variance one."""
        return 0.0 if self._learnt is None else math.sqrt(self._learnt.n_columns)

    def learnt_from(self, examples: Sequence[Example]) -> TableRows:
        """Return a backbone that has seen these rows; this one stays as it is.

        Raises:
            DataError: An example is no row, or no column tells a row from another.
            ModelError: There are columns of texts, and their encoder cannot be opened.
        """
        learnt = Learnt.of(cells(examples), lambda: self._encoder)
        found = TableRows(BackboneRef(self._id), text_encoder=self._text_encoder, open_encoder=self._open_encoder)
        found._learnt = learnt
        return found

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector per row, float32, shape (n, width).

        A column that a row lacks counts as missing there; one that was not learnt is not looked at.

        Raises:
            UnsupportedError: It has not learnt yet.
            DataError: An example is no row.
        """
        if self._learnt is None:
            raise UnsupportedError(
                f"The backbone '{self._id}' has seen no rows yet, so it does not know what its columns hold. "
                "Call learnt_from(rows) first, and use what that returns."
            )
        return self._learnt.features(cells(examples), lambda: self._encoder)

    def random_module(self, seed: int) -> torch.nn.Module:
        """Return a small network on the features of a row, with weights drawn from `seed`."""
        from nshot.backbones.table_network import untrained

        return untrained(self.width, _NETWORK_WIDTH, seed)

    def tokenize(self, examples: Sequence[Example]) -> list[tuple[np.ndarray]]:
        """Return the vector of each row; a row counts as one token."""
        return [(vector,) for vector in self.embed(examples)]

    def collate(self, prepared: Sequence[tuple[np.ndarray]]) -> dict[str, torch.Tensor]:
        """Return ``features``, float32, shape (rows, width)."""
        import numpy as np
        import torch

        return {"features": torch.from_numpy(np.stack([vector for (vector,) in prepared]))}

    def adapted(self, weights: Mapping[str, np.ndarray]) -> NetworkRows:
        """Return a backbone that embeds with a trained network.

        Args:
            weights: All of them, by the names of `random_module`.

        Raises:
            ModelError: A name or a shape is not one of the network, or one is missing.
        """
        return NetworkRows(self, weights)

    @cached_property
    def _encoder(self) -> TextColumnEncoder:
        recorded = None if self._learnt is None or self._learnt.encoder is None else self._learnt.encoder.ref
        ref = recorded or self._text_encoder
        if ref.is_remote or ref.is_table:
            raise ModelError(_no_encoder(ref))
        opened = self._open_encoder(ref)
        if not isinstance(opened, Embeds) or "text" not in opened.modalities:
            raise ModelError(_no_encoder(ref))
        widths = {texts.width for texts in self._learnt.texts} if self._learnt else set()
        if widths - {opened.width}:
            raise ModelError(
                f"The columns of texts were learnt with vectors of {max(widths)} numbers, and {ref.id} makes "
                f"{opened.width}. Copy the model again, or fit it anew."
            )
        return opened


class NetworkRows:
    """Rows of a table, embedded by a network that was trained on them."""

    modalities = frozenset({"row"})
    abilities = frozenset({Ability.EMBEDS})
    width = _NETWORK_WIDTH

    def __init__(self, rows: TableRows, weights: Mapping[str, np.ndarray]) -> None:
        """Take the weights of the network.

        Args:
            rows: Makes the features that the network reads.
            weights: By the names of `TableRows.random_module`.

        Raises:
            ModelError: They are not those of the network.
        """
        from nshot.backbones.table_network import trained

        self._rows = rows
        self._network: RowNetwork = trained(rows.width, _NETWORK_WIDTH, weights)

    @property
    def ref(self) -> BackboneRef:
        """Return the reference of the rows that the network was trained on."""
        return self._rows.ref

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector per row, float32, shape (n, 256).

        Raises:
            DataError: An example is no row.
        """
        from nshot.backbones.table_network import vectors

        return vectors(self._network, self._rows.embed(examples))


def text_encoder_of(ref: BackboneRef, default: str) -> BackboneRef:
    """Return the text encoder that ``table:ENCODER`` names, or the default one."""
    return BackboneRef(ref.id.removeprefix(TABLE).removeprefix(":") or default)


def _no_encoder(ref: BackboneRef) -> str:
    return (
        f"'{ref.id}' does not embed texts, and the table has columns of texts. "
        f"Name a text encoder: {TABLE}:all-MiniLM-L6-v2, {TABLE}:FOLDER, or the id of one on the Hugging Face hub."
    )
