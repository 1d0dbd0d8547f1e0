"""Whole pipelines by name: front end and detector of a paper, with the paper's parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from sklasd.pipeline import Pipeline, make_pipeline

__all__ = ["list_recipes", "make_recipe"]


def _statistics_mahalanobis() -> Pipeline:
    """Build a simple detector: quantiles of each band, and a single distance."""
    from sklasd.detectors import StatisticsDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(n_fft=2048), StatisticsDetector())


_STATISTICS = ("quantiles", "shape", "autocorrelation")  # members of the fused detector


def _statistics() -> Pipeline:
    """Build the fusion of three kinds of statistics: levels, their shape, and their repetition."""
    from sklasd.detectors import FusionDetector, StatisticsDetector
    from sklasd.features import LogMel

    members = [(name, StatisticsDetector(name)) for name in _STATISTICS]
    return make_pipeline(LogMel(n_fft=2048), FusionDetector(members))


def _ensemble() -> Pipeline:
    """Build the fusion of the same statistics and the official autoencoder, each with LogMel."""
    from sklasd.detectors import FusionDetector, OEAutoencoder, StatisticsDetector
    from sklasd.features import LogMel

    members = [
        (name, make_pipeline(LogMel(n_fft=2048), StatisticsDetector(name))) for name in _STATISTICS
    ]
    members.append(("autoencoder", make_pipeline(LogMel(), OEAutoencoder())))
    return make_pipeline(FusionDetector(members))


def _twfr_gmm(decay: float = 0.9, **mixture: Any) -> Pipeline:
    """Build TWFR-GMM: the ranked mean of each band, and a mixture of Gaussians."""
    from sklasd.backends import GaussianMixtureDetector
    from sklasd.detectors import StatisticsDetector
    from sklasd.features import ClipStatistics, LogMel

    ranked_mean = ClipStatistics("ranked_mean", decay=decay)
    backend = GaussianMixtureDetector(**mixture)
    return make_pipeline(LogMel(htk=True), StatisticsDetector(ranked_mean, backend=backend))


# r and number of components, which the authors chose by labelled test clips of DCASE 2022.
_TWFR_SETTINGS = {
    "ToyCar": (1.0, 2), "ToyTrain": (0.9, 4), "bearing": (1.0, 2), "fan": (1.0, 2),
    "gearbox": (0.98, 4), "slider": (0.88, 1), "valve": (0.46, 2),
}  # fmt: skip


def _dcase_autoencoder() -> Pipeline:
    """Build the official autoencoder of DCASE Task 2, on the first channel."""
    from sklasd.detectors import OEAutoencoder
    from sklasd.features import LogMel

    return make_pipeline(LogMel(channel=0), OEAutoencoder())


def _oe_autoencoder() -> Pipeline:
    """Build the autoencoder with outlier exposure, which needs exposed clips."""
    from sklasd.detectors import OEAutoencoder
    from sklasd.features import LogMel

    return make_pipeline(LogMel(), OEAutoencoder(needs_exposed=True))


def _unet_inpaint() -> Pipeline:
    """Build the inpainting U-Net with its report's front end."""
    from sklasd.detectors import UNetInpaintDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(n_fft=400, hop_length=256, n_mels=64), UNetInpaintDetector())


def _aegan_ad(**settings: Any) -> Pipeline:
    """Build AEGAN-AD with its paper's front end, and a machine's settings in the authors' code."""
    from sklasd.detectors import AEGANDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(n_fft=2048, top_db=80), AEGANDetector(**settings))


def _auddsr(**settings: Any) -> Pipeline:
    """Build AudDSR with its paper's front end, that of the official baselines."""
    from sklasd.detectors import AudDSRDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(), AudDSRDetector(**settings))


def _oe_mobilenet() -> Pipeline:
    """Build the image MobileNetV2 on its report's images; it needs exposed clips."""
    from sklasd.detectors import OEMobileNetDetector
    from sklasd.features import STFTImage

    return make_pipeline(STFTImage(), OEMobileNetDetector())


def _mobilenet_sections() -> Pipeline:
    """Build the official MobileNetV2 baseline of DCASE Task 2; it needs sections."""
    from sklasd.detectors import SectionMobileNetDetector
    from sklasd.features import LogMel

    return make_pipeline(LogMel(), SectionMobileNetDetector())


def _panns_knn() -> Pipeline:
    """Build the distance to the nearest normal clip, on the outputs of ResNet38's blocks."""
    from sklasd.backends import KNNDetector
    from sklasd.features import PANNsEmbedding

    return make_pipeline(PANNsEmbedding(), KNNDetector())


def _panns_mahalanobis() -> Pipeline:
    """Build one Gaussian of normal clips, on the outputs of ResNet38's blocks."""
    from sklasd.backends import MahalanobisDetector
    from sklasd.features import PANNsEmbedding

    return make_pipeline(PANNsEmbedding(), MahalanobisDetector())


def _cl_vae() -> Pipeline:
    """Build CL-VAE on the outputs of ResNet38's blocks; it learns from sections."""
    from sklasd.detectors import CLVAEDetector
    from sklasd.features import PANNsEmbedding

    return make_pipeline(PANNsEmbedding(), CLVAEDetector())


def _cvae() -> Pipeline:
    """Build the conditional VAE that CL-VAE is compared with, on the same embeddings."""
    from sklasd.detectors import CVAEDetector
    from sklasd.features import PANNsEmbedding

    return make_pipeline(PANNsEmbedding(), CVAEDetector())


# Settings of each machine in the authors' code, not in the paper: DCASE 2022, then 2020.
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

_NO_NET, _SMALL_NET, _LARGE_NET = (
    "no net, seconds", "a small net, 11 trainings", "a large net, 11 trainings",
)  # fmt: skip
_OTHERS = "clips of other machines"


class Recipe(NamedTuple):
    """A pipeline by name, and what a user has to know before choosing it.

    Parameters
    ----------
    build : callable
        Returns the unfitted pipeline.
    paper : str
        Where it comes from.
    needs : str
        What it asks for beside normal clips.
    cost : str
        What a fit takes by default.
    inputs : str
        What it looks at.
    """

    build: Callable[[], Pipeline]
    paper: str = "ours"
    needs: str = "nothing"
    cost: str = _NO_NET
    inputs: str = "clips"


RECIPES: dict[str, Recipe] = {
    "statistics": Recipe(_statistics),
    "statistics-mahalanobis": Recipe(_statistics_mahalanobis),
    "twfr-gmm": Recipe(_twfr_gmm, "TWFR-GMM"),
    **{
        f"twfr-gmm:{name}": Recipe(partial(_twfr_gmm, decay=r, n_components=k), "TWFR-GMM")
        for name, (r, k) in _TWFR_SETTINGS.items()
    },
    "ensemble": Recipe(_ensemble, "ours and DCASE", cost=_SMALL_NET),
    "dcase-autoencoder": Recipe(_dcase_autoencoder, "DCASE baseline", cost=_SMALL_NET),
    "oe-autoencoder": Recipe(
        _oe_autoencoder, "AE with outlier exposure", needs=_OTHERS, cost=_SMALL_NET
    ),
    "unet-inpaint": Recipe(
        _unet_inpaint, "U-Net inpainting", "a GPU", _LARGE_NET, "clips of 1 s or longer"
    ),
    "auddsr": Recipe(_auddsr, "AudDSR", "a GPU", _LARGE_NET),
    "auddsr-annot": Recipe(
        partial(_auddsr, needs_exposed=True), "AudDSR", f"a GPU, {_OTHERS}", _LARGE_NET
    ),
    "oe-mobilenet": Recipe(
        _oe_mobilenet, "image MobileNetV2", f"a GPU, {_OTHERS}, ImageNet weights", _LARGE_NET,
        "images of clips",
    ),
    "mobilenet-sections": Recipe(
        _mobilenet_sections, "DCASE baseline", "a GPU, two sections or more", _LARGE_NET
    ),
    "cl-vae": Recipe(_cl_vae, "CL-VAE", "PANNs' weights, sections", _SMALL_NET, "embeddings"),
    "cvae": Recipe(_cvae, "CL-VAE", "PANNs' weights, sections", _SMALL_NET, "embeddings"),
    "panns-knn": Recipe(_panns_knn, "PANNs", "PANNs' weights", "0.4 s a clip", "embeddings"),
    "panns-mahalanobis": Recipe(
        _panns_mahalanobis, "PANNs", "PANNs' weights", "0.4 s a clip", "embeddings"
    ),
    "aegan-ad": Recipe(_aegan_ad, "AEGAN-AD", "a GPU", _LARGE_NET, "clips of 4.1 s or longer"),
    **{
        f"aegan-ad:{name}": Recipe(
            partial(_aegan_ad, **settings), "AEGAN-AD", "a GPU", _LARGE_NET,
            "clips of 4.1 s or longer",
        )
        for name, settings in _AEGAN_SETTINGS.items()
    },
}  # fmt: skip


def make_recipe(name: str = "statistics", **params: Any) -> Pipeline:
    """Make a whole pipeline, front end and detector.

    Parameters
    ----------
    name : str, default="statistics"
        One of `list_recipes`.
    **params
        Parameters to change, as in ``Pipeline.set_params``: ``oeautoencoder__max_epochs=20``.
        Without the name of a step, as in ``max_epochs=20``, the step that has the parameter gets
        it.

    Returns
    -------
    Pipeline
        Unfitted. The steps are named by their classes, in lower case.

    Raises
    ------
    ValueError
        For an unknown recipe or parameter, and for a parameter that several steps have.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> pipeline = make_recipe("dcase-autoencoder", max_epochs=20, logmel__n_mels=64)
    >>> list(pipeline.named_steps)
    ['logmel', 'oeautoencoder']
    >>> pipeline[-1].max_epochs
    20
    """
    if name not in RECIPES:
        raise ValueError(f"Got the recipe {name!r}; there are {', '.join(RECIPES)}.")
    pipeline = RECIPES[name].build()
    return pipeline.set_params(
        **{_full_name(param, pipeline, name): value for param, value in params.items()}
    )


def _full_name(param: str, pipeline: Pipeline, recipe: str) -> str:
    """Add the name of the step that has a parameter to the parameter's name."""
    # Names without "__" are the pipeline's own parameters, such as its cache of fitted steps.
    names = [name for name in pipeline.get_params() if "__" in name]
    if param in names:
        return param
    found = [name for name in names if name.endswith(f"__{param}")]
    if not found:
        raise ValueError(
            f"Recipe {recipe!r} has no parameter {param!r}; it has {', '.join(names)}."
        )
    # A detector's own parameter comes before that of a back end or scaler in it.
    least = min(name.count("__") for name in found)
    nearest = [name for name in found if name.count("__") == least]
    if len(nearest) > 1:
        raise ValueError(
            f"Recipe {recipe!r} has the parameter {param!r} in several steps; pass one of "
            f"{', '.join(nearest)}."
        )
    return nearest[0]


def list_recipes() -> list[str]:
    """List the names that `make_recipe` takes.

    Returns
    -------
    list of str
        The default first; recipes of papers follow those of sklasd.

    Examples
    --------
    >>> list_recipes()[:4]
    ['statistics', 'statistics-mahalanobis', 'twfr-gmm', 'twfr-gmm:ToyCar']
    """
    return list(RECIPES)
