"""Whole pipelines by name: front end and detector of a paper, with the paper's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.pipeline import Pipeline, make_pipeline


def _dcase_autoencoder() -> Pipeline:
    """Build the official autoencoder of DCASE Task 2."""
    from sklasd import LogMel, OEAutoencoder

    return make_pipeline(LogMel(), OEAutoencoder())


def _unet_inpaint() -> Pipeline:
    """Build the inpainting U-Net with its report's front end; it scales by itself."""
    from sklasd import LogMel, UNetInpaintDetector

    return make_pipeline(LogMel(n_fft=400, hop_length=256, n_mels=64), UNetInpaintDetector())


RECIPES: dict[str, Callable[[], Pipeline]] = {
    "dcase-autoencoder": _dcase_autoencoder,
    "unet-inpaint": _unet_inpaint,
}


def make_recipe(name: str = "dcase-autoencoder", **params: Any) -> Pipeline:
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
    sklearn.pipeline.Pipeline
        Unfitted; its steps carry the lower-case names of their classes.

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
    >>> list_recipes()
    ['dcase-autoencoder', 'unet-inpaint']
    """
    return list(RECIPES)
