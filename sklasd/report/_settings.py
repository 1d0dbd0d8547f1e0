"""How a model was made: its parameters and seeds, and the versions of packages."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from inspect import Parameter, signature
from typing import Any, NamedTuple

_PACKAGES = ("sklasd", "torch", "scikit-learn", "skorch", "numpy", "scipy", "librosa", "soundfile")


class Setting(NamedTuple):
    """A parameter of a model, named as in `set_params`, with values as Python writes them."""

    name: str
    value: str
    default: str

    @property
    def differs(self) -> bool:
        """Whether the value is not the default."""
        return self.value != self.default


def list_settings(model: Any) -> list[Setting]:
    """List the parameters of a model, those that differ from their defaults first.

    Examples
    --------
    >>> from sklasd import LogMel, OEAutoencoder, make_pipeline
    >>> list_settings(make_pipeline(LogMel(n_mels=64), OEAutoencoder()))[0]
    Setting(name='logmel__n_mels', value='64', default='128')
    """
    # Flat, with the parameters of all steps, such as "logmel__n_mels".
    params = model.get_params()
    settings = []
    for name, value in params.items():
        owner, _, leaf = name.rpartition("__")
        parameter = signature(type(params[owner] if owner else model)).parameters.get(leaf)
        # A step of a pipeline is among `params`, but no parameter of its class.
        if parameter is None or parameter.default is Parameter.empty:
            continue
        if not hasattr(value, "get_params"):
            settings.append(Setting(name, repr(value), repr(parameter.default)))
    return sorted(settings, key=lambda setting: not setting.differs)


def name_seeds(settings: list[Setting]) -> str:
    """Name the seeds of a model.

    Examples
    --------
    >>> name_seeds([Setting("oeautoencoder__random_state", "0", "None")])
    'oeautoencoder__random_state=0'
    """
    seeds = [s for s in settings if s.name.split("__")[-1] == "random_state"]
    if not seeds:
        return "none, since nothing is random"
    return ", ".join(f"{seed.name}={seed.value}" for seed in seeds)


def list_versions() -> list[tuple[str, str]]:
    """List the versions of Python and of the packages on which scores depend.

    Examples
    --------
    >>> [name for name, _ in list_versions()][:2]
    ['Python', 'sklasd']
    """
    versions = [("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:  # a checkout, or an extra that is not installed
            continue
    return [*versions, ("system", f"{platform.system()} {platform.machine()}")]
