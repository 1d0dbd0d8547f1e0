"""What a model was made with: its parameters, its seeds, and the versions of what computes."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from inspect import Parameter, signature
from typing import Any, NamedTuple

_PACKAGES = ("sklasd", "torch", "scikit-learn", "skorch", "numpy", "scipy", "librosa", "soundfile")


class Setting(NamedTuple):
    """A parameter of a model.

    Parameters
    ----------
    name : str
        With the steps that lead to it, as `set_params` takes it.
    value : str
        As Python writes it.
    default : str
        What it would be if nobody had said anything.
    """

    name: str
    value: str
    default: str

    @property
    def differs(self) -> bool:
        """Whether somebody said something."""
        return self.value != self.default


def list_settings(model: Any) -> list[Setting]:
    """List the parameters of a model, those that differ from their defaults first.

    Parameters
    ----------
    model : estimator
        Such as a pipeline.

    Returns
    -------
    list of Setting
        Without parameters that are estimators, whose own parameters are listed.

    Examples
    --------
    >>> from sklasd import LogMel, OEAutoencoder, make_pipeline
    >>> list_settings(make_pipeline(LogMel(n_mels=64), OEAutoencoder()))[0]
    Setting(name='logmel__n_mels', value='64', default='128')
    """
    params = model.get_params()
    settings = []
    for name, value in params.items():
        owner, _, leaf = name.rpartition("__")
        known = signature(type(params[owner] if owner else model)).parameters.get(leaf)
        if known is None or known.default is Parameter.empty or hasattr(value, "get_params"):
            continue
        settings.append(Setting(name, repr(value), repr(known.default)))
    return sorted(settings, key=lambda setting: not setting.differs)


def name_seeds(settings: list[Setting]) -> str:
    """Say which seeds a model has.

    Parameters
    ----------
    settings : list of Setting
        From `list_settings`.

    Returns
    -------
    str
        Such as "oeautoencoder__random_state=0".

    Examples
    --------
    >>> name_seeds([Setting("oeautoencoder__random_state", "0", "None")])
    'oeautoencoder__random_state=0'
    """
    seeds = [s for s in settings if s.name.split("__")[-1] == "random_state"]
    if not seeds:
        return "none, as nothing is drawn at random"
    return ", ".join(f"{seed.name}={seed.value}" for seed in seeds)


def list_versions() -> list[tuple[str, str]]:
    """List the versions of Python and of the packages that scores depend on.

    Returns
    -------
    list of (str, str)
        Names and versions.

    Examples
    --------
    >>> [name for name, _ in list_versions()][:3]
    ['Python', 'sklasd', 'torch']
    """
    versions = [("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:  # run from a checkout
            continue
    return [*versions, ("system", f"{platform.system()} {platform.machine()}")]
