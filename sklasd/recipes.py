"""Whole pipelines by name: front end and detector of a paper, with the paper's numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sklasd.pipeline import CheckedPipeline, make_pipeline


def _dcase_autoencoder() -> CheckedPipeline:
    """Build the official autoencoder of DCASE Task 2."""
    from sklasd.detectors import OEAutoencoder
    from sklasd.features import LogMel

    return make_pipeline(LogMel(), OEAutoencoder())


def _unet_inpaint() -> CheckedPipeline:
    """Build the inpainting U-Net with its report's front end; it scales by itself."""
    from sklasd.detectors import UNetInpaintDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(n_fft=400, hop_length=256, n_mels=64), UNetInpaintDetector())


def _aegan_ad(**settings: Any) -> CheckedPipeline:
    """Build AEGAN-AD with its paper's front end, and the released settings of a machine."""
    from sklasd.detectors import AEGANDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(n_fft=2048, top_db=80), AEGANDetector(**settings))


# What the authors' code sets for each machine, and the paper leaves out: DCASE 2022, then 2020.
_AEGAN_SETTINGS: dict[str, dict[str, Any]] = {
    "bearing": {"first_norm": False},
    "fan": {"first_norm": False},
    "gearbox": {"norm": "batch", "matching": "mean_std"},
    "slider": {},
    "ToyCar": {"first_norm": False, "betas": (0.0, 0.999)},
    "fan-2020": {"matching_weight": 1.0, "max_epochs": 50},
    "pump-2020": {"matching": "mean_std", "matching_weight": 1.0, "max_epochs": 50},
    "slider-2020": {"norm": "batch", "matching_weight": 1.0, "max_epochs": 50},
    "ToyCar-2020": {"matching": "mean_std", "matching_weight": 1.0, "max_epochs": 50},
    "ToyConveyor-2020": {"matching_weight": 0.05, "max_epochs": 50},
    "valve-2020": {"norm": "batch", "matching_weight": 0.05, "max_epochs": 50},
}

RECIPES: dict[str, Callable[[], CheckedPipeline]] = {
    "dcase-autoencoder": _dcase_autoencoder,
    "unet-inpaint": _unet_inpaint,
    "aegan-ad": _aegan_ad,
    **{f"aegan-ad:{name}": partial(_aegan_ad, **s) for name, s in _AEGAN_SETTINGS.items()},
}


def make_recipe(name: str = "dcase-autoencoder", **params: Any) -> CheckedPipeline:
    """Make a paper's whole pipeline.

    Parameters
    ----------
    name : str, default="dcase-autoencoder"
        One of `list_recipes`.
    **params
        Parameters that differ from the paper's, as in ``Pipeline.set_params``:
        ``logmel__n_mels=64``, ``oeautoencoder__max_epochs=20``.

    Returns
    -------
    CheckedPipeline
        scikit-learn's Pipeline, unfitted, which checks all parameters before a file is read.
        Its steps carry the lower-case names of their classes.

    Raises
    ------
    ValueError
        For an unknown recipe or parameter, naming the known ones.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> pipeline = make_recipe("dcase-autoencoder", oeautoencoder__max_epochs=20)
    >>> list(pipeline.named_steps)
    ['logmel', 'oeautoencoder']
    """
    if name not in RECIPES:
        raise ValueError(f"Got the recipe {name!r}; there are {', '.join(RECIPES)}.")
    pipeline = RECIPES[name]()
    known = [p for p in pipeline.get_params() if "__" in p]
    unknown = [p for p in params if p not in known]
    if unknown:
        raise ValueError(f"Recipe {name!r} has no parameter {unknown}; it has {', '.join(known)}.")
    return pipeline.set_params(**params)


def list_recipes() -> list[str]:
    """List the names that `make_recipe` takes.

    Returns
    -------
    list of str
        In the order of their papers.

    Examples
    --------
    >>> list_recipes()[:4]
    ['dcase-autoencoder', 'unet-inpaint', 'aegan-ad', 'aegan-ad:bearing']
    """
    return list(RECIPES)
