"""Text encoders: the embedded one, and any other whose folder holds a config, a tokenizer and safetensors.

Importing this file loads neither torch nor transformers. Weights are read at the first use.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from nshot.backbones.cache import FeatureCache, text_digest
from nshot.backbones.kept_tokens import KeptTokens
from nshot.backbones.local_model import LocalModel
from nshot.backbones.locate import Located
from nshot.backbones.precision import measured
from nshot.backbones.settings import EncoderSettings, read_settings
from nshot.backbones.tokens import Tokens, as_texts
from nshot.core import (
    Ability,
    Embeds,
    Example,
    PrefixShape,
    Progress,
    TokenWindow,
    UnsupportedError,
    Vocabulary,
    silent,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nshot.backbones.splitting import States

# Texts are sorted by length within such a window: long enough for even batches, short enough to stream a million rows.
_WINDOW = 16_384
# Tokens of one inference batch. Measured: fewer leave the matrix units idle, more fall out of the processor's cache.
_BATCH_TOKENS = 2048
# After so many texts freed memory goes back to the system; that takes a tenth of the time of embedding a single one.
_GIVE_BACK_AFTER = 256
# The same for the states of all tokens of a split network, which take a hundred times the memory of vectors.
_SPLIT_WINDOW = 1024


class TextEncoder(LocalModel):
    """A text encoder: embeds texts, and hands out its network for training."""

    modalities = frozenset({"text"})
    abilities = frozenset({Ability.EMBEDS, Ability.STARTS, Ability.TRAINS})

    def __init__(
        self,
        located: Located,
        *,
        cache: FeatureCache | None = None,
        precision: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        trust_remote_code: bool = False,
        progress: Progress = silent,
    ) -> None:
        """Read the settings of the model; weights and tokenizer are loaded when they are first used.

        Args:
            located: Where the model is.
            cache: Where vectors are kept; None to compute them every time.
            precision: ``fp32``, ``bf16`` or ``auto`` (the faster one, see `precision.measured`).
            device: A torch device name, or ``auto``: a GPU where there is one.
            threads: Processor threads, or None for all that this process may use.
            trust_remote_code: Whether code that comes with the model may be run.
            progress: Told how many of the texts are embedded.

        Raises:
            ModelError: The folder holds no text encoder that nshot can read.
        """
        super().__init__(
            located,
            precision=precision,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        self._settings = read_settings(located.folder)
        self._cache = cache
        self._kept = None if cache is None else KeptTokens()
        self._since_given_back = 0

    @property
    def settings(self) -> EncoderSettings:
        """Return pooling, longest input and the like."""
        return self._settings

    @property
    def width(self) -> int:
        """Return the length of a vector."""
        return self._settings.width

    @property
    def network_width(self) -> int:
        """Return the length of a vector: the network is what embeds."""
        return self.width

    @cached_property
    def precision(self) -> str:
        """Return the number format that computes: ``fp32`` or ``bf16``."""
        return measured(self.device, self._threads) if self._asked_precision == "auto" else self._asked_precision

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector per text, shape (n, width), float32; each depends on its own text only.

        Raises:
            DataError: An example is no text.
            ModelError: The weights cannot be read or are not the recorded ones.
        """
        texts = as_texts(examples)
        if self._cache is None or not texts:
            return self._computed(texts)
        return self._cache.filled(
            self._cache_key,
            self.width,
            [text_digest(text) for text in texts],
            prepare=self._load,
            compute=lambda missing: self._computed([texts[row] for row in missing]),
        )

    def uncached(self) -> TextEncoder:
        """Return the same encoder without its cache; it shares what is loaded already."""
        alike = copy(self)
        alike._cache = alike._kept = None
        return alike

    def first_cost(self, examples: Sequence[Example]) -> float:
        """Return how long computing took for those of these texts whose vectors are in the cache now, in seconds.

        Asked before a fit, it is the time that the cache is going to save; asked after, it would count twice
        what the fit itself computed.
        """
        if self._cache is None or not len(examples):
            return 0.0
        texts = as_texts(examples)
        seconds = self._cache.seconds(self._cache_key, self.width, [text_digest(text) for text in texts])
        if self._kept:
            seconds += self._kept.seconds(window.ids for windows in self.token_windows(texts) for window in windows)
        return seconds

    def module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, on the processor, training mode off."""
        return self._pretrained()

    def random_module(self, seed: int) -> torch.nn.Module:
        """Return the same architecture with weights drawn from `seed`."""
        from nshot.backbones.networks import untrained

        return untrained(self._settings, seed, trust_remote_code=self._trust_remote_code)

    def tokenize(self, examples: Sequence[Example]) -> list[list[int]]:
        """Return the token ids of each text, cut to the longest input of the model."""
        return self._tokens.ids(as_texts(examples))

    @property
    def token_width(self) -> int:
        """Return the length of a token's vector."""
        return int(self._settings.config["hidden_size"])

    def token_windows(self, texts: Sequence[Example]) -> list[list[TokenWindow]]:
        """Return the windows in which the model reads each text; see `EmbedsTokens`.

        Raises:
            DataError: An example is no text.
        """
        return self._tokens.windows(as_texts(texts))

    def embed_tokens(self, windows: Sequence[TokenWindow]) -> list[np.ndarray]:
        """Return the vectors of each window's tokens, float32, shape (tokens, token_width).

        They are rounded to half precision, in which they are kept: all the same whether they were kept or not.
        """
        import numpy as np

        found = {window.ids: None if self._kept is None else self._kept.get(window.ids) for window in windows}
        missing = [ids for ids, vectors in found.items() if vectors is None]
        for start in range(0, len(missing), _SPLIT_WINDOW):
            part = missing[start : start + _SPLIT_WINDOW]
            began = time.perf_counter()
            made = self._token_vectors(part)
            seconds = (time.perf_counter() - began) / sum(map(len, part))
            for ids, vectors in zip(part, made, strict=True):
                found[ids] = vectors
                if self._kept is not None:
                    self._kept.keep(ids, vectors, seconds * len(ids))
            self._progress(start + len(part), len(missing), "embedding words")
        return [np.asarray(found[window.ids], dtype=np.float32) for window in windows]

    def vocabulary(self) -> Vocabulary | None:
        """Return the tokens of the model, or None where none of them stands for a hidden one."""
        return self._tokens.vocabulary()

    def tokenizer_json(self) -> str:
        """Return the content of a ``tokenizer.json``: the library ``tokenizers`` makes the same ids of a text with it.

        It knows nothing of ``settings.prompt`` and ``settings.lower``.
        """
        return self._tokens.as_json()

    def collate(self, prepared: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Return the keyword arguments of `module` for a batch of texts that `tokenize` prepared."""
        from nshot.backbones.networks import batch

        return batch(self._settings, prepared)

    def adapted(self, weights: Mapping[str, np.ndarray]) -> TextEncoder:
        """Return an encoder with these weights (names as in `module`); it shares the tokenizer and keeps no vectors.

        Raises:
            ModelError: A name or a shape is not one of this network.
        """
        return _AdaptedEncoder(self, weights)

    @cached_property
    def depth(self) -> int:
        """Return the number of layers; where the config does not say it for sure, the weights are read for it.

        Raises:
            UnsupportedError: The network has no list of layers.
        """
        from nshot.backbones import splitting
        from nshot.backbones.bert import BertShape

        shape = BertShape.of(self._settings.config)
        return splitting.depth(self.module()) if shape is None else shape.num_hidden_layers

    def split(self, top: int) -> TextSplit:
        """Return the network cut below its `top` last layers; below the cut it computes in `precision`.

        Raises:
            UnsupportedError: It cannot be cut.
        """
        return TextSplit(self, top)

    def shortened(self, layers: int) -> TextEncoder:
        """Return the encoder of the first `layers`, ``1 <= layers <= depth``; it keeps no vectors.

        Raises:
            UnsupportedError: The network is no BERT.
        """
        from nshot.backbones.bert import BertShape

        if BertShape.of(self._settings.config) is None:
            raise UnsupportedError(
                f"Only a network of the architecture of BERT is cut to its first layers so far, and {self.ref.name} is "
                f"a '{self._settings.model_type}'. Leave layers out."
            )
        return _ShortEncoder(self, layers)

    @cached_property
    def prefix_shape(self) -> PrefixShape | None:
        """Return the sizes of a prefix, or None: only the architecture of BERT takes one."""
        from nshot.backbones.bert import BertShape

        shape = BertShape.of(self._settings.config)
        if shape is None:
            return None
        positions = shape.max_position_embeddings
        return PrefixShape(shape.num_hidden_layers, shape.num_attention_heads, shape.hidden_size, positions - 1)

    def prefixed_module(self, prefix: np.ndarray) -> torch.nn.Module:
        """Return `module` with this prefix, shape (length, layers * 2 * hidden), its only trainable parameter.

        Raises:
            UnsupportedError: The network is no BERT.
            ModelError: The prefix has another shape.
        """
        from nshot.backbones.networks import prefixed

        return prefixed(self.module(), prefix)

    def prefixed(self, prefix: np.ndarray) -> Embeds:
        """Return an encoder with this prefix; it shares the tokenizer and keeps no vectors."""
        return _PrefixedEncoder(self, prefix)

    def _pretrained(self) -> torch.nn.Module:
        from nshot.backbones.networks import pretrained

        self._located.sha256()  # refuses other weights than the recorded ones
        files = [path for path in self._located.weights() if path.parent == self._settings.folder]
        return pretrained(self._settings, files, trust_remote_code=self._trust_remote_code)

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self._settings, trust_remote_code=self._trust_remote_code)

    @cached_property
    def _network(self) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
        from nshot.backbones.networks import for_inference

        return for_inference(self.module(), self.precision, self.device)

    @cached_property
    def _token_network(self) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
        from nshot.backbones.networks import tokens_for_inference

        return tokens_for_inference(self.module(), self.precision, self.device)

    @property
    def _cache_key(self) -> str:
        return f"{self.ref.sha256}|{self._settings.signature}|{self.precision}"

    def _load(self) -> None:
        """Read tokenizer and weights now."""
        _ = self._tokens, self._network

    def _token_vectors(self, windows: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """Return the vectors of the tokens of each window, float16."""
        import numpy as np
        import torch

        made: list[np.ndarray] = [np.zeros((0, self.token_width), np.float16)] * len(windows)
        _ = self._token_network
        with torch.inference_mode(), self.computing():
            for rows in _even_batches(windows):
                hidden = self._token_network(self.collate([windows[row] for row in rows])).half().cpu().numpy()
                ends = np.cumsum([len(windows[row]) for row in rows])
                for row, vectors in zip(rows, np.split(hidden, ends[:-1]), strict=True):
                    made[row] = vectors.copy()
        return made

    def _computed(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        if not texts:
            return vectors
        import torch

        self._load()
        with torch.inference_mode(), self.computing():
            for start in range(0, len(texts), _WINDOW):
                prepared = self._tokens.ids(texts[start : start + _WINDOW])
                done = start
                for rows in _even_batches(prepared):
                    made = self._network(self.collate([prepared[row] for row in rows]))
                    vectors[start + rows] = made.float().cpu().numpy()
                    done += len(rows)
                    self._progress(done, len(texts), "embedding")
        self._since_given_back += len(texts)
        if self._since_given_back >= _GIVE_BACK_AFTER:
            self._since_given_back = 0
            _give_back_memory()
        return vectors


class TextSplit:
    """A text encoder cut below one of its layers."""

    def __init__(self, whole: TextEncoder, top: int) -> None:
        """Cut `whole` below its `top` last layers.

        Raises:
            UnsupportedError: It cannot be cut.
        """
        from nshot.backbones.bert import BertShape

        self._whole = whole
        self._top = top
        self._packed = BertShape.of(whole.settings.config) is not None
        if not self._packed:
            self._try()

    def states(self, prepared: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
        """Yield what the layers below the cut make of each text: shape (tokens, hidden), float32 or bf16.

        Args:
            prepared: From `TextEncoder.tokenize`.
        """
        import torch

        whole = self._whole
        for start in range(0, len(prepared), _SPLIT_WINDOW):
            window = prepared[start : start + _SPLIT_WINDOW]
            found: dict[int, torch.Tensor] = {}
            with torch.no_grad(), whole.computing():  # inference mode makes tensors that training must not see
                for rows in _even_batches(window):
                    made = self._lower(whole.collate([window[row] for row in rows]))
                    found.update(zip(rows.tolist(), made, strict=True))
            yield from (found[row] for row in range(len(window)))

    def upper(self) -> torch.nn.Module:
        """Return a fresh copy of the layers above the cut and of what follows them, float32, training mode off."""
        from nshot.backbones.splitting import upper

        return upper(self._whole.module(), self._top)

    def collate(self, states: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the keyword arguments of `upper` for the states of some texts."""
        from nshot.backbones.splitting import collate

        return collate(states, packed=self._packed)

    @cached_property
    def _lower(self) -> States:
        from nshot.backbones.splitting import lower

        return lower(self._whole.module(), self._top, self._whole.precision, self._whole.device)

    def _try(self) -> None:
        import torch

        from nshot.backbones import splitting

        whole = self._whole
        batch = whole.collate(whole.tokenize(["a", "three words here"]))

        def cut() -> torch.Tensor:
            states = splitting.lower(whole.module(), self._top, "fp32", "cpu")(batch)
            vectors: torch.Tensor = self.upper()(**self.collate(states))
            return vectors

        with torch.no_grad():
            splitting.require_the_same(whole.module()(**batch), cut)


class _AdaptedEncoder(TextEncoder):
    """A text encoder whose weights were trained further."""

    def __init__(self, original: TextEncoder, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__(
            original._located,
            precision=original._asked_precision,
            device=original._asked_device,
            threads=original._threads,
            trust_remote_code=original._trust_remote_code,
            progress=original._progress,
        )
        self._settings = original._settings
        self._original = original
        self._weights = dict(weights)

    @cached_property
    def _tokens(self) -> Tokens:
        return self._original._tokens

    def _pretrained(self) -> torch.nn.Module:
        from nshot.backbones.networks import changed

        return changed(self._original.module(), self._weights)


class _ShortEncoder(_AdaptedEncoder):
    """The first layers of a text encoder."""

    def __init__(self, original: TextEncoder, layers: int) -> None:
        super().__init__(original, {})
        config = {**self._settings.config, "num_hidden_layers": layers}
        self._settings = replace(self._settings, config=config)

    def _pretrained(self) -> torch.nn.Module:
        from nshot.backbones.networks import shortened

        return shortened(self._original.module(), self._settings)


class _PrefixedEncoder(_AdaptedEncoder):
    """A text encoder with vectors before every text in every layer."""

    def __init__(self, original: TextEncoder, prefix: np.ndarray) -> None:
        super().__init__(original, {})
        self._prefix = prefix

    def _pretrained(self) -> torch.nn.Module:
        from nshot.backbones.networks import prefixed

        return prefixed(self._original.module(), self._prefix)


def _give_back_memory() -> None:
    """Return freed memory to the system, where the C library can.

    Batches of ever other sizes leave holes in the heap, and it would grow with the number of texts.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return  # another C library than glibc


def _even_batches(prepared: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    """Yield the rows of batches of about `_BATCH_TOKENS` tokens, padding included, from short texts to long ones."""
    import numpy as np

    lengths = np.fromiter(map(len, prepared), dtype=np.int64, count=len(prepared))
    order = np.argsort(lengths, kind="stable")
    first = 0
    for position, length in enumerate(lengths[order].tolist()):
        if position > first and (position - first + 1) * length > _BATCH_TOKENS:
            yield order[first:position]
            first = position
    yield order[first:]
