"""Pipelines of the command line: built from its options, or loaded from a file."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from sklasd.base._fit_with import seed_parts
from sklasd.persistence import load_model
from sklasd.recipes import make_recipe
from sklasd.utils._devices import check_device


def build_pipeline(
    recipe: str, settings: list[str] | None, seed: int | None = None, device: str | None = None
) -> Pipeline:
    """Make a recipe's pipeline with the values of --set, --seed and --device."""
    params: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"Got --set {setting}; write it as STEP__PARAM=VALUE.")
        try:
            params[name] = literal_eval(value)
        except (ValueError, SyntaxError):
            params[name] = value  # a word, such as mean
    pipeline = make_recipe(recipe, **params)
    if seed is not None:
        seed_parts(pipeline, seed)
    if device is not None:
        set_device(pipeline, device)
    pipeline.check_params()  # before any recording is read
    return pipeline


def load_pipeline(path: Path, device: str | None = None) -> Any:
    """Load a model for the device of --device; of a search, load the best pipeline."""
    model = load_model(path)
    model = getattr(model, "best_estimator_", model)  # the other candidates are not needed
    if device is not None:
        set_device(model, device)
    return model


def set_device(model: Any, device: str) -> None:
    """Set the parameter `device` of every part of a model, including fitted parts.

    Raises
    ------
    ValueError
        For an impossible device, or if no part takes one.
    """
    check_device(device)  # at once, rather than when the first net computes
    if not (parts := [part for part in _parts(model) if "device" in part.get_params(deep=False)]):
        raise ValueError(f"Got --device {device}, but nothing in the model takes one.")
    for part in parts:
        part.set_params(device=device)


def _parts(value: Any) -> Iterator[BaseEstimator]:
    """Yield the estimators in an estimator: among its parameters and fitted attributes."""
    if isinstance(value, BaseEstimator):
        # skorch's nets are estimators without constraints: they follow their detector.
        if hasattr(value, "_parameter_constraints"):
            yield value
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)
