"""The official score of DCASE Task 2 as a scikit-learn scorer."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from sklasd.metrics._rules import apply_rule, get_rule
from sklasd.metrics._scored_clips import find_column, single_year


def dcase_scorer(year: int = 2023, *, multimetric: bool = False) -> DCASEScorer:
    """Make a scorer that gives a detector the official score of DCASE Task 2.

    Parameters
    ----------
    year : {2020, 2021, 2022, 2023, 2024, 2025, 2026}, default=2023
        The year of the rule, as in :func:`dcase_score`.
    multimetric : bool, default=False
        Whether to return all values at once, for a search with ``refit="official"``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None, *, machine=None, section=None, domain=None)``, to be
        passed as `scoring` to `GridSearchCV`, `cross_validate` and the like. It calls
        `score_samples` of the estimator, or `decision_function` where there is none. If `X` is
        a clip table (a DataFrame), its columns `machine`, `section` and `domain` stand in for
        arguments that are not given, and its column `label` for `y`.
        It returns the score or, if `multimetric`, a dict with the keys "official", "auc" and
        "pauc" and, for years with domains, "auc_source" and "auc_target". Each value is the
        mean by which the year's score is formed, over all machines and sections.

    Raises
    ------
    ValueError
        If the year has no rule. When called: as :func:`dcase_score`, if there are no labels, and
        if the column `year` of a clip table names several years.

    See Also
    --------
    dcase_score : The score from labels and scores.

    Notes
    -----
    If `X` is an array, scikit-learn's metadata routing passes machine, section and domain: enable
    it, request them with ``dcase_scorer(2023).set_score_request(domain=True)``, and pass
    ``params={"domain": ...}`` to `cross_validate` or ``domain=...`` to the `fit` of a search.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.base import BaseEstimator
    >>> from sklasd.metrics import dcase_scorer
    >>> class Level(BaseEstimator):
    ...     def score_samples(self, X):
    ...         return -X["level"]
    >>> clips = pd.DataFrame({
    ...     "level": [0.1, 0.3, 0.2, 0.9],
    ...     "domain": ["source", "target", "source", "target"],
    ...     "label": [1, 1, -1, -1],
    ... })
    >>> scorer = dcase_scorer(2023, multimetric=True)
    >>> scorer
    DCASEScorer(multimetric=True, year=2023)
    >>> {name: round(value, 3) for name, value in scorer(Level(), clips).items()}
    {'official': 0.689, 'auc': 0.75, 'auc_source': 1.0, 'auc_target': 0.5, 'pauc': 0.737}
    """
    get_rule(year)
    return DCASEScorer(year, multimetric)


class DCASEScorer(BaseEstimator):
    """Scorer by the rule of a year, made by `dcase_scorer`.

    It is an estimator for the sake of `clone`, `get_params` and `set_score_request` only.
    """

    # Metadata routing takes every argument of `score` after `self` for metadata but X and y.
    __metadata_request__score: ClassVar = {"estimator": UNUSED}

    def __init__(self, year: int, multimetric: bool = False) -> None:
        self.year = year
        self.multimetric = multimetric

    def __call__(
        self, estimator: Any, X: Any, y: ArrayLike | None = None, **groups: ArrayLike | None
    ) -> float | dict[str, float]:
        return self.score(estimator, X, y, **groups)

    def score(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        machine: ArrayLike | None = None,
        section: ArrayLike | None = None,
        domain: ArrayLike | None = None,
    ) -> float | dict[str, float]:
        """Score an estimator on clips, see `dcase_scorer`."""
        single_year(X)  # sections of two years may share a name, and would be pooled
        labels = find_column(X, "label", y)
        if labels is None:
            raise ValueError(
                "Got y=None, but scoring needs labels; pass y with +1 for normal and -1 for "
                "anomalous clips, or a clip table with a label column."
            )
        respond = getattr(estimator, "score_samples", None) or estimator.decision_function
        groups = {"machine": machine, "section": section, "domain": domain}
        groups = {name: find_column(X, name, given) for name, given in groups.items()}
        values = apply_rule(labels, respond(X), self.year, **groups).headline()
        return values if self.multimetric else values["official"]
