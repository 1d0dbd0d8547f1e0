"""Pipelines of the command line: made of its words, or loaded from a file."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from sklasd.base._backend import seed_parts
from sklasd.persistence import load_model
from sklasd.recipes import make_recipe
from sklasd.utils._devices import check_device


def make_pipeline(
    recipe: str, settings: list[str] | None, seed: int | None = None, device: str | None = None
) -> Pipeline:
    """Make a pipeline with what --set, --seed and --device say."""
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
    """Load a model, to compute where --device says; of a search, its best one."""
    model = load_model(path)
    model = getattr(model, "best_estimator_", model)
    if device is not None:
        set_device(model, device)
    return model


def set_device(model: Any, device: str) -> None:
    """Have every part of a model with a parameter `device` compute there, fitted parts, too.

    Raises
    ------
    ValueError
        For a device that cannot be, or where no part takes one.
    """
    check_device(device)
    if not (parts := [part for part in _parts(model) if "device" in part.get_params(deep=False)]):
        raise ValueError(f"Got --device {device}, but nothing in the model takes one.")
    for part in parts:
        part.set_params(device=device)


def _parts(value: Any) -> Iterator[BaseEstimator]:
    """Find estimators in estimators: parameters, and what `fit` made of them."""
    if isinstance(value, BaseEstimator) and hasattr(value, "_parameter_constraints"):
        yield value
    inside = vars(value).values() if isinstance(value, BaseEstimator) else value
    if isinstance(inside, dict):
        inside = inside.values()
    if isinstance(inside, list | tuple | type({}.values())):
        for each in inside:
            yield from _parts(each)
