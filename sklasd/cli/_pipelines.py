"""Pipelines of the command line: made of its words, or loaded from a file."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import joblib
from sklearn.pipeline import Pipeline

from sklasd.recipes import make_recipe


def make_pipeline(recipe: str, settings: list[str] | None, seed: int) -> Pipeline:
    """Make a pipeline with what --set and --seed say."""
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
    unseeded = [  # whatever part draws at random, unless --set gave it a seed
        name
        for name, value in pipeline.get_params().items()
        if name.split("__")[-1] == "random_state" and name not in params and value is None
    ]
    pipeline.set_params(**dict.fromkeys(unseeded, seed))
    pipeline.check_params()  # before any recording is read
    return pipeline


def load_pipeline(path: Path) -> Pipeline:
    """Load a model, and say so where the file is none."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no model {path}; make one with `sklasd fit`.")
    try:
        model = joblib.load(path)
    except (ValueError, LookupError, ImportError, AttributeError, TypeError, EOFError,
            UnpicklingError) as error:  # fmt: skip
        raise ValueError(f"{path} cannot be loaded as a model ({error}).") from error
    model = getattr(model, "best_estimator_", model)  # of a search
    if not isinstance(model, Pipeline) or not hasattr(model, "score_samples"):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, not a pipeline from clips to a detector."
        )
    return model
