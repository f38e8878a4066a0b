"""Image encoders: any network of transformers that takes images, from a folder with safetensors or from the hub.

Importing this file loads neither torch nor transformers nor Pillow. Weights are read at the first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

from nshot.backbones.cache import FeatureCache, recall, remember
from nshot.backbones.image_decoding import image_digest, picture_of
from nshot.backbones.image_settings import signature
from nshot.backbones.local_model import LocalModel
from nshot.backbones.locate import Located
from nshot.backbones.precision import measured
from nshot.backbones.settings import read_optional
from nshot.core import Ability, Example, Progress, silent

if TYPE_CHECKING:
    import numpy as np

    from nshot.backbones.image_networks import Network, Preparing

# Measured with MobileNetV2 on one core: 23 ms an image four at a time, 69 ms with 32, which fall out of its cache.
_AT_ONCE, _AT_ONCE_ON_GPU = 4, 64
_WIDTHS = "image_widths"


class ImageEncoder(LocalModel):
    """An image encoder with frozen weights: embeds images of any size, grey or coloured."""

    modalities = frozenset({"image"})
    abilities = frozenset({Ability.EMBEDS})

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
        """Keep where the model is; its weights are loaded when they are first used.

        Args:
            located: Where the model is.
            cache: Where vectors are kept; None to compute them every time.
            precision: ``fp32``, ``bf16`` or ``auto``: what is faster for a transformer, fp32 for convolutions.
            device: A torch device name, or ``auto``: a GPU where there is one.
            threads: Processor threads, or None for all that this process may use.
            trust_remote_code: Whether code that comes with the model may be run.
            progress: Told how many of the images are embedded.
        """
        super().__init__(
            located,
            precision=precision,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        self._cache = cache

    @cached_property
    def precision(self) -> str:
        """Return the number format that computes: ``fp32`` or ``bf16``."""
        if self._asked_precision != "auto":
            return self._asked_precision
        config = read_optional(self._located.folder / "config.json")
        # What was measured are matrix products; convolutions in bf16 are slower on processors that gain there.
        is_transformer = "num_attention_heads" in config.get("vision_config", config)
        return measured(self.device, self._threads) if is_transformer or self.device != "cpu" else "fp32"

    @cached_property
    def width(self) -> int:
        """Return the length of a vector; asked of the network once, then known without it.

        Raises:
            ModelError: The weights cannot be read or are not the recorded ones.
        """
        key = str(self.ref.sha256)
        known = recall(_WIDTHS, key)
        if not isinstance(known, int):
            import numpy as np

            known = self._computed([np.zeros((32, 32), dtype=np.uint8)]).shape[1]
            remember(_WIDTHS, key, known)
        return known

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector per image, shape (n, width), float32; each depends on its own image only.

        Raises:
            ExampleError: An example is no image that can be read.
            ModelError: The weights cannot be read or are not the recorded ones.
        """
        if self._cache is None:
            return self._computed(examples)
        digests = [image_digest(example, at) for at, example in enumerate(examples)]
        return self._cache.filled(
            self._cache_key,
            self.width,
            digests,
            prepare=self._load,
            compute=lambda missing: self._computed(examples, missing),
        )

    def uncached(self) -> ImageEncoder:
        """Return the same encoder without its cache; it shares what is loaded already."""
        alike = copy(self)
        alike._cache = None
        return alike

    def first_cost(self, examples: Sequence[Example]) -> float:
        """Return how long computing took for those of these images whose vectors are in the cache now, in seconds."""
        if self._cache is None or not len(examples):
            return 0.0
        digests = [image_digest(example, at) for at, example in enumerate(examples)]
        return self._cache.seconds(self._cache_key, self.width, digests)

    @property
    def _cache_key(self) -> str:
        return f"{self.ref.sha256}|{signature(self._located.folder)}|{self.precision}"

    @cached_property
    def _prepare(self) -> Preparing:
        from nshot.backbones.image_networks import preparing

        return preparing(self._located.folder, trust_remote_code=self._trust_remote_code)

    @cached_property
    def _network(self) -> Network:
        from nshot.backbones.image_networks import for_inference, pretrained

        self._located.sha256()  # refuses other weights than the recorded ones
        network = pretrained(self._located.folder, trust_remote_code=self._trust_remote_code)
        return for_inference(network, self.precision, self.device)

    def _load(self) -> None:
        """Read preprocessing and weights now."""
        _ = self._prepare, self._network

    def _computed(self, examples: Sequence[Example], positions: Sequence[int] | None = None) -> np.ndarray:
        """Return the vectors of the examples at these positions, or of all."""
        import numpy as np

        wanted = range(len(examples)) if positions is None else positions
        if not len(wanted):
            return np.empty((0, self.width), dtype=np.float32)
        import torch

        self._load()
        parts = []
        at_once = _AT_ONCE if self.device == "cpu" else _AT_ONCE_ON_GPU
        with torch.inference_mode(), self.computing():
            for start in range(0, len(wanted), at_once):
                batch = wanted[start : start + at_once]
                made = self._network(self._prepare([picture_of(examples[at], at) for at in batch]))
                parts.append(made.cpu().numpy())
                self._progress(start + len(batch), len(wanted), "embedding images")
        return np.concatenate(parts)
