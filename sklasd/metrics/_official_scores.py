"""Metrics of anomalous sound detection, as the evaluators of DCASE Task 2 compute them.

Everywhere `y_true` is +1 for a normal and -1 for an anomalous clip, and `y_score` is what a
detector's `score_samples` returns: the higher, the more normal.
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklasd.metrics._roc import MAX_FPR, FloatArray, RankedClips, standardize
from sklasd.metrics._rules import apply_rule, build_table
from sklasd.metrics._scored_clips import ALL, check_labels, check_length, check_scored_labels


def auc_score(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Compute the area under the ROC curve, with the anomaly as the positive class.

    It is the share of pairs of a normal and an anomalous clip in which the anomalous clip has
    the lower score; a tie counts as half a pair.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        +1 for normal, -1 for anomalous.
    y_score : array-like of shape (n_clips,)
        The higher, the more normal. Infinite scores rank first or last.

    Returns
    -------
    float
        1 for a perfect detector, 0.5 for chance.

    Raises
    ------
    ValueError
        If there is only one class, a label other than +1 and -1, or a NaN among the scores.

    See Also
    --------
    pauc_score : The part of the area that has few false alarms.

    Examples
    --------
    >>> from sklasd.metrics import auc_score
    >>> auc_score([1, 1, -1, -1], [0.9, 0.4, 0.5, 0.1])
    0.75
    """
    return float(RankedClips(*_split_classes(y_true, y_score)).partial_area(1.0)[0])


def pauc_score(
    y_true: ArrayLike, y_score: ArrayLike, *, max_fpr: float = MAX_FPR, standardized: bool = True
) -> float:
    r"""Compute the partial area under the ROC curve, at false-alarm rates up to `max_fpr`.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        +1 for normal, -1 for anomalous.
    y_score : array-like of shape (n_clips,)
        The higher, the more normal. Infinite scores rank first or last.
    max_fpr : float, default=0.1
        Highest false-alarm rate, in (0, 1].
    standardized : bool, default=True
        Whether to standardise the area as all official evaluators do. If False, the formula
        that the task papers print is used.

    Returns
    -------
    float
        1 for a perfect detector. Chance is 0.5 if standardised, else ``max_fpr / 2``.

    Raises
    ------
    ValueError
        If there is only one class, a label other than +1 and -1, a NaN among the scores, a
        `max_fpr` out of range, or, in the papers' formula, no normal clip left at `max_fpr`.

    See Also
    --------
    auc_score : The whole area.

    Notes
    -----
    With :math:`A` the area left of :math:`p` = `max_fpr`, the standardised value is McClish's
    [1]_

    .. math:: \tfrac12 \left(1 + \frac{A - p^2/2}{p - p^2/2}\right),

    equal to ``sklearn.metrics.roc_auc_score(..., max_fpr=p)`` with the anomaly as the positive
    class. Published results of DCASE are of this kind, although the task papers [2]_ print

    .. math:: \frac{1}{\lfloor pN^- \rfloor N^+} \sum_{i=1}^{\lfloor pN^- \rfloor}
              \sum_{j=1}^{N^+} \mathcal{H}(a(x_j^+) - a(x_i^-)),

    where :math:`a(x^-_1) \geq a(x^-_2) \geq \dots` are the anomaly scores of the normal
    clips and :math:`\mathcal{H}` is 1 for positive arguments and otherwise 0, so that a tie is
    no win. The two differ widely on the same data, and must not be compared.

    References
    ----------
    .. [1] D. K. McClish, "Analyzing a portion of the ROC curve", Medical Decision Making 9,
       1989.
    .. [2] Y. Koizumi et al., "Description and discussion on DCASE2020 Challenge Task 2:
       Unsupervised anomalous sound detection for machine condition monitoring", DCASE
       Workshop, 2020.

    Examples
    --------
    >>> from sklasd.metrics import pauc_score
    >>> y_true = [1] * 10 + [-1, -1]
    >>> y_score = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0.5, -1]
    >>> round(pauc_score(y_true, y_score), 4)
    0.7368
    >>> pauc_score(y_true, y_score, standardized=False)
    0.5
    """
    if not (isinstance(max_fpr, Real) and 0 < max_fpr <= 1):
        raise ValueError(
            f"Got max_fpr={max_fpr!r}, but a number in (0, 1] is expected; DCASE takes 0.1."
        )
    normal, anomalous = _split_classes(y_true, y_score)
    # The papers' formula counts pairs; it is no area that could be scaled to the evaluators' value.
    if not standardized:
        return _count_wins(normal[ALL], anomalous[0], float(max_fpr))
    area = RankedClips(normal, anomalous).partial_area(float(max_fpr))
    return float(standardize(area, float(max_fpr))[0])


def dcase_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    machine: ArrayLike | None = None,
    section: ArrayLike | None = None,
    domain: ArrayLike | None = None,
    year: int = 2023,
) -> float:
    """Compute the official score of DCASE Task 2, by the rule of a year.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        +1 for normal, -1 for anomalous.
    y_score : array-like of shape (n_clips,)
        The higher, the more normal. Infinite scores rank first or last.
    machine, section : array-like of shape (n_clips,), default=None
        Machine type and section (in 2020: the machine id) of each clip. None stands for a
        single one.
    domain : array-like of shape (n_clips,), default=None
        "source" or "target" for each clip. Needed from 2021 on; the rule of 2020 ignores it.
    year : {2020, 2021, 2022, 2023, 2024, 2025, 2026}, default=2023
        The year of the rule.

    Returns
    -------
    float
        1 for a perfect detector.

    Raises
    ------
    ValueError
        If the year has no rule; if a section lacks a kind of clip that the rule compares; if the
        domains are missing or unknown; if a label is neither +1 nor -1; if a score is NaN; or
        if the arguments differ in length.

    See Also
    --------
    evaluation_table : The areas behind the score, with confidence intervals.
    dcase_scorer : The score as a `scoring` for model selection.

    Notes
    -----
    ==========  ==================================================  ==========================
    year        areas                                               score
    ==========  ==================================================  ==========================
    2020        AUC and pAUC of each section's clips                arithmetic mean over the
                                                                    sections of a machine,
                                                                    then over machines
    2021        AUC and pAUC of each domain of each section,        harmonic mean of all areas
                against the anomalies of the same domain
    2022-2026   AUC of each domain's normal clips and pAUC of all   harmonic mean of all areas
                normal clips, against all anomalies of the section
    ==========  ==================================================  ==========================

    The pAUC is McClish's up to a false-alarm rate of 0.1, see :func:`pauc_score`. Areas are
    floored at 2.2e-16 before the harmonic mean is taken, so that a single area of 0 makes the
    score 0 for practical purposes. Clips are matched by position: the indices of pandas objects
    are ignored.

    Examples
    --------
    >>> from sklasd.metrics import dcase_score
    >>> y_true = [1, 1, -1, -1]
    >>> y_score = [0.9, 0.3, 0.5, 0.1]
    >>> domain = ["source", "target", "source", "target"]
    >>> round(dcase_score(y_true, y_score, domain=domain, year=2023), 4)
    0.6885
    >>> round(dcase_score(y_true, y_score, year=2020), 4)
    0.7434
    """
    evaluation = apply_rule(y_true, y_score, year, machine=machine, section=section, domain=domain)
    return evaluation.headline()["official"]


def evaluation_table(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    y_pred: ArrayLike | None = None,
    machine: ArrayLike | None = None,
    section: ArrayLike | None = None,
    domain: ArrayLike | None = None,
    year: int = 2023,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Tabulate areas, means and confidence intervals per machine, section and domain.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,)
        +1 for normal, -1 for anomalous.
    y_score : array-like of shape (n_clips,)
        The higher, the more normal. Infinite scores rank first or last.
    y_pred : array-like of shape (n_clips,), default=None
        Decisions of the detector: +1 for normal, -1 for anomalous. Adds precision, recall and
        F1.
    machine, section : array-like of shape (n_clips,), default=None
        Machine type and section (in 2020: the machine id) of each clip. None stands for a
        single one, called "all" in the table.
    domain : array-like of shape (n_clips,), default=None
        "source" or "target" for each clip. Needed from 2021 on; the rule of 2020 ignores it.
    year : {2020, 2021, 2022, 2023, 2024, 2025, 2026}, default=2023
        The year of the rule, as in :func:`dcase_score`.
    confidence : float, default=0.95
        Probability that an interval covers the value, in (0, 1).
    n_bootstrap : int, default=1000
        Number of times the clips are resampled. With 0, the table has no intervals.
    random_state : int, Generator or None, default=0
        Seed of the resampling, as taken by `numpy.random.default_rng`.

    Returns
    -------
    DataFrame
        The columns `machine`, `section`, `domain` (2021 only, where the domains are evaluated
        apart) and `row` describe a row. "all" means "not split by this". The rows, sorted by
        machine and section, are

        - ``row="section"``: one per machine and section, in 2021 one per domain of them;
        - ``row="arithmetic mean"`` and ``row="harmonic mean"``: after the sections of each
          machine, the means of every column over them;
        - the same two at the end with ``machine="all"``: in 2020 over the machines' means,
          from 2021 on over all rows with ``row="section"``;
        - ``row="official"``: last, that of the two means which forms the year's score.

        The other columns are

        - `auc`, `pauc`: of all clips of the row;
        - `auc_source`, `auc_target`: from 2022 on, of the domain's normal clips and all
          anomalies of the section;
        - `official`: the year's score of the row's own clips; in the row of the same name, the
          score from :func:`dcase_score`;
        - `<name>_low`, `<name>_high`: for each of the above, the confidence interval;
        - `precision`, `recall`, `f1`: of the decisions on the row's clips, with the anomaly as
          the positive class, and 0 where undefined;
        - `precision_source`, ... `f1_target`: from 2022 on, of the decisions on the clips of one
          domain, as the evaluators report them.

    Raises
    ------
    ValueError
        As :func:`dcase_score`, and if `confidence` or `n_bootstrap` is out of range.

    See Also
    --------
    dcase_score : The official score alone.

    Notes
    -----
    The bootstrap [1]_ draws clips with replacement within each machine, section, domain and class,
    so that each draw has the make-up of the test set; machines and sections themselves are not
    resampled. The draws are shifted so that their mean is the value of the clips as they are, and
    cut at 0 and 1; the intervals are their percentiles. Without the shift, repeated clips would tie
    with each other, and the bias of a pAUC would outweigh the interval in a mean over many
    sections. In simulations, intervals of 95 % covered the expected value in 92 to 97 % of test
    sets with 25 or 50 clips of each kind, but in only 87 to 90 % of those with five.
    Reordering the clips leaves the table as it is.

    References
    ----------
    .. [1] B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall,
       1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.metrics import evaluation_table
    >>> y_true = np.array([1, -1] * 200)
    >>> machine = np.repeat(["fan", "pump"], 200)
    >>> noise = np.random.default_rng(0).normal(scale=np.where(machine == "fan", 3, 1))
    >>> table = evaluation_table(y_true, y_true + noise, machine=machine, year=2020)
    >>> columns = ["machine", "row", "auc", "auc_low", "auc_high"]
    >>> print(table[columns].round(3).to_string(index=False))
    machine             row   auc  auc_low  auc_high
        fan         section 0.637    0.563     0.710
        fan arithmetic mean 0.637    0.563     0.710
        fan   harmonic mean 0.637    0.563     0.710
       pump         section 0.910    0.865     0.949
       pump arithmetic mean 0.910    0.865     0.949
       pump   harmonic mean 0.910    0.865     0.949
        all arithmetic mean 0.774    0.728     0.816
        all   harmonic mean 0.750    0.693     0.801
        all        official 0.774    0.728     0.816
    """
    _check_bootstrap(confidence, n_bootstrap)
    # Column 0 of each value is that of the clips as they are, the others are draws.
    evaluation = apply_rule(y_true, y_score, year, machine=machine, section=section, domain=domain)
    values = evaluation.measure_areas(n_bootstrap, random_state)
    if y_pred is not None:
        decisions = check_length(y_pred, "y_pred", len(evaluation.clips.anomalous))
        values |= evaluation.measure_decisions(check_labels(decisions, "y_pred"))
    return build_table(evaluation, values, confidence)


def _split_classes(
    y_true: ArrayLike, y_score: ArrayLike
) -> tuple[dict[str, FloatArray], list[FloatArray]]:
    """Return anomaly scores of the normal and of the anomalous clips for `RankedClips`."""
    anomalous, scores = check_scored_labels(y_true, y_score)
    if anomalous.all() or not anomalous.any():
        raise ValueError(
            f"Got y_true with {(~anomalous).sum()} normal and {anomalous.sum()} anomalous clips, "
            "but an area under the ROC curve needs both; in cross-validation, use a splitter "
            "whose test folds hold both, such as NormalOnlySplit."
        )
    return {ALL: scores[~anomalous]}, [scores[anomalous]]


def _count_wins(normal: FloatArray, anomalous: FloatArray, max_fpr: float) -> float:
    """Return the mean share of anomalous clips above each of the most anomalous normal clips."""
    # 0.29 * 100 is 28.999999999999996 in floating point.
    n_top = int(max_fpr * len(normal) + 1e-9)
    if n_top == 0:
        raise ValueError(
            f"Got {len(normal)} normal clips, but floor(max_fpr * n_normal) is 0 for max_fpr="
            f"{max_fpr}; take {int(np.ceil(1 / max_fpr))} normal clips or more, a larger max_fpr, "
            "or standardized=True."
        )
    top = np.sort(normal)[-n_top:]
    return float(np.searchsorted(top, anomalous, side="left").mean() / n_top)


def _check_bootstrap(confidence: float, n_bootstrap: int) -> None:
    if not (isinstance(confidence, Real) and 0 < confidence < 1):
        raise ValueError(
            f"Got confidence={confidence!r}, but a number between 0 and 1 is expected, such as "
            "0.95."
        )
    if not isinstance(n_bootstrap, Integral) or n_bootstrap < 0:
        raise ValueError(
            f"Got n_bootstrap={n_bootstrap!r}, but an integer of at least 0 is expected, such as "
            "1000; 0 leaves the intervals out."
        )
