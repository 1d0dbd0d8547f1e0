"""Checkpoints of PANNs: where they lie, how they are read and checked."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sklasd.features._mel_scale import mel_filters
from sklasd.nets._panns import PANN, Cnn6, Cnn10, Cnn14, ResNet38, draw_weights, freeze
from sklasd.nets._panns_blocks import N_MELS, fourier_kernels
from sklasd.training._modes import seeded
from sklasd.training._weights import differences
from sklasd.utils._data_home import data_folder

RECORD = 3987831  # on Zenodo
LICENCE = "CC BY 4.0"
_FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")
_KERNELS = ("conv_real.weight", "conv_imag.weight")
_SAME_KERNELS = 1e-4  # greatest difference; rounding makes 1e-7


class PANNsModel(NamedTuple):
    """A net, its official checkpoint, and its front end."""

    net: type[PANN]
    file_name: str
    sample_rate: int = 32000
    n_fft: int = 1024
    hop_length: int = 320
    fmin: float = 50.0
    fmax: float = 14000.0

    @property
    def mel_filters(self) -> np.ndarray:
        """The official filters, (n_mels, 1 + n_fft // 2)."""
        return mel_filters(self.sample_rate, self.n_fft, N_MELS, self.fmin, self.fmax, False)

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip."""
        return (self.net.shortest - 1) * self.hop_length


MODELS = {
    "resnet38": PANNsModel(ResNet38, "ResNet38_mAP=0.434.pth"),
    "cnn14": PANNsModel(Cnn14, "Cnn14_mAP=0.431.pth"),
    "cnn14_16k": PANNsModel(Cnn14, "Cnn14_16k_mAP=0.438.pth", 16000, 512, 160, 50.0, 8000.0),
    "cnn10": PANNsModel(Cnn10, "Cnn10_mAP=0.380.pth"),
    "cnn6": PANNsModel(Cnn6, "Cnn6_mAP=0.343.pth"),
}


def checkpoint_path(model: str, data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return where `fetch_panns` stores the checkpoint of a key of `MODELS`.

    Examples
    --------
    >>> checkpoint_path("cnn6", "/data").as_posix()
    '/data/panns/Cnn6_mAP=0.343.pth'
    """
    return data_folder(data_home) / "panns" / MODELS[model].file_name


def how_to_get(model: str) -> str:
    """Return the end of a message: how to get the official checkpoint."""
    return (
        f"expected is {MODELS[model].file_name!r} of Zenodo's record {RECORD} "
        f"(https://zenodo.org/records/{RECORD}, {LICENCE}): download it by "
        f"sklasd.datasets.fetch_panns({model!r}) or by hand, and pass weights=PATH"
    )


class Weights(NamedTuple):
    """The weights of a net: those of a file with a digest, or those of a seed."""

    model: str
    path: str | None
    sha256: str
    seed: int | None = None
    trust_pickle: bool = False

    def read(self) -> PANN:
        """Return the net with weights from the file or by the seed."""
        model = MODELS[self.model]
        if self.path is None:
            with seeded(self.seed or 0, "cpu"):
                net = draw_weights(model.net(model.n_fft))
            return _with_front_end(net, model)
        if _sha256(self.path, self.model) != self.sha256:
            raise ValueError(
                f"{self.path} is not the file that PANNsEmbedding was fitted with (its sha256 is "
                f"no longer {self.sha256[:12]}...); put that file back, or fit again."
            )
        net = _with_front_end(_empty(model), model)
        _fill(net, _read_state(self.path, self.model, self.trust_pickle), self)
        return net


def find_weights(
    model: str, weights: Any, seed: int | None = None, trust_pickle: bool = False
) -> Weights:
    """Find the file of the weights and compute its digest, without reading the weights.

    `model` is a key of `MODELS`; the other arguments are parameters of `PANNsEmbedding`. A missing
    file raises a FileNotFoundError, which names the official one.
    """
    # A seed takes the place of the digest, which identifies weights in the cache of rows.
    if isinstance(weights, str) and weights == "random":
        return Weights(model, None, f"random {seed}", seed)
    path = str(checkpoint_path(model) if weights is None else Path(weights).expanduser().absolute())
    return Weights(model, path, _sha256(path, model), None, trust_pickle)


@lru_cache(maxsize=2)
def load_net(weights: Weights, precision: str, device: str) -> PANN:
    """Return a frozen net."""
    # Shared: a search clones its pipeline for every fold, and ResNet38 takes 300 MB.
    return freeze(weights.read(), precision).to(device)


def _sha256(path: str, model: str) -> str:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path}; {how_to_get(model)}.")
    # Size and time are in the key of the cached digest, so that a changed file is read again.
    status = os.stat(path)
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _digest(path: str, size: int, mtime: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_state(path: str, model: str, trust_pickle: bool) -> Mapping[str, Tensor]:
    """Read the weights of a checkpoint, which may also hold the state of its training."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except Exception as error:  # torch raises many kinds for files that are no checkpoints
        # The message of torch names the type that it refused to unpickle.
        foreign = re.search(r"(?:GLOBAL|global:?|class) ([\w.]+\.\w+)", str(error))
        if foreign and not trust_pickle:
            raise ValueError(
                f"{path} holds pickled objects beside tensors ({foreign[1]}), and reading these "
                "can run any code; if you trust its source, pass trust_pickle=True."
            ) from error
        raise OSError(
            f"{path} is truncated or no checkpoint ({os.path.getsize(path)} bytes); "
            f"{how_to_get(model)}."
        ) from error
    state = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        found = list(content) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{path} has no weights under 'model', but {found}; {how_to_get(model)}.")
    return state


def _fill(net: PANN, state: Mapping[str, Any], source: Weights) -> None:
    """Load weights, or refuse them with the differences from the expected ones."""
    if wrong := differences(net.state_dict(), state, optional=_FRONT_END):
        raise ValueError(
            f"{source.path} does not fit model={source.model!r}: {wrong}. Pass the model of the "
            f"file ({', '.join(MODELS)}); {how_to_get(source.model)}."
        )
    net.load_state_dict(state, strict=False)
    stft = net.spectrogram_extractor.stft
    n_fft = MODELS[source.model].n_fft
    for part, kernels in zip(_KERNELS, fourier_kernels(n_fft), strict=True):
        off = (stft.get_parameter(part)[:, 0] - kernels).abs().max().item()
        if not off <= _SAME_KERNELS:  # also true for NaN
            raise ValueError(
                f"{source.path} holds another transform than Fourier's behind a Hann window "
                f"({part} is off by {off:.2g}), which PANNsEmbedding does not compute; "
                f"{how_to_get(source.model)}."
            )


def _with_front_end(net: PANN, model: PANNsModel) -> PANN:
    """Set the official kernels and filters, which some checkpoints lack."""
    stft = net.spectrogram_extractor.stft
    with torch.no_grad():
        for part, kernels in zip(_KERNELS, fourier_kernels(model.n_fft), strict=True):
            stft.get_parameter(part)[:, 0] = kernels
        net.logmel_extractor.melW.copy_(torch.from_numpy(model.mel_filters.T))
    return net


def _empty(model: PANNsModel) -> PANN:
    """Return a net with memory for weights, without drawing any."""
    # On the meta device nothing is drawn: the checkpoint replaces all 80 million weights.
    with torch.device("meta"):
        net = model.net(model.n_fft)
    return net.to_empty(device="cpu")
