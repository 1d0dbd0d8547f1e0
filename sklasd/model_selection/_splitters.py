"""Splitters that train on normal clips and test on normal and anomalous ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, StratifiedKFold
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import get_routing_for_object

from sklasd.model_selection._clip_splitter import ClipSplitter, Fold
from sklasd.model_selection._split_clips import Mask, SplitClips


class NormalOnlySplit(ClipSplitter):
    """Cross-validate with normal clips only to train on.

    A scikit-learn splitter splits the normal clips. Each fold trains on one part, and tests the
    rest and anomalous clips. Exposed clips are training clips in every fold and never tested.

    Parameters
    ----------
    cv : int or splitter, default=5
        A number of folds means `GroupKFold` with groups, else `StratifiedKFold` for a clip table
        with any of the columns machine, section and domain, else `KFold`. Splitters that stratify
        do so by these columns; arrays are one stratum. `PredefinedSplit` takes one entry per clip,
        whatever its label.
    anomalies : {"all", "split", "none"}, default="all"
        "all" tests every anomalous clip in every fold; "split" tests each in one fold, spread
        evenly, also within each machine, section and domain. "none" tests normal clips alone, and
        needs no labels: for `simulated_outlier_scorer`, which makes its own anomalies.
    group : str or list of str, default=None
        Columns of a clip table whose clips stay together, such as "recording" or
        ["machine", "section"]: section numbers repeat from machine to machine. `groups` given to
        `split` replace them. Without either, each clip is a group.

    See Also
    --------
    DCASESplit : The given training and test clips.

    Notes
    -----
    *Anomalies* are never training clips, so each fold may test all of them. Then k folds compare
    each pair of a normal and an anomalous clip once, and each AUC uses all anomalies. But since
    folds share them, their spread is too small an estimate for new anomalies. The folds of "split"
    share no clip, which `cross_val_predict` needs.

    *pAUC* at 0.1 uses only the tenth of a fold's normal clips with the highest anomaly scores:
    prefer few folds, with dozens of normal clips in each.

    *Groups* are never in both training and test of a fold. A splitter that ignores groups splits
    the groups, not the clips. Anomalous clips are not tested where their group is in training, and
    exposed clips are not trained on where their group is tested.

    *Supplemental* clips are left out; the parts "train" and "test" of `split` are pooled.

    *Detectors* leave out y == -1 in `fit`, so that a search with `refit` trains on normal clips:
    pass `y` also with a clip table, and leave supplemental clips out. Pass exposed clips to the
    detector by the parameter `exposed` of its `fit`; it leaves out those labelled -1 in any case.
    For a nested search, use `StratifiedKFold` outside: the inner search needs anomalies to score.
    Training clips are of one class and have no score: leave `return_train_score` off
    (`HalvingGridSearchCV` has it on).

    *Metadata routing*: `groups` and `exposed` are requested. Without routing, scikit-learn passes
    on `groups` alone. Then the column `exposed` is read; for arrays, make the folds beforehand:
    ``cv=list(splitter.split(X, y, exposed=exposed))``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.model_selection import NormalOnlySplit
    >>> X, y = np.zeros((6, 2)), [1, 1, 1, 1, -1, -1]
    >>> for train, test in NormalOnlySplit(2).split(X, y):
    ...     print(train, test)
    [2 3] [0 1 4 5]
    [0 1] [2 3 4 5]
    """

    _remedy = 'use fewer folds, anomalies="all", or other groups'
    _parameter_constraints: ClassVar[dict] = {
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"])],
        "anomalies": [StrOptions({"all", "split", "none"})],
        "group": [str, list, tuple, None],
    }

    def __init__(
        self, cv: Any = 5, *, anomalies: str = "all", group: str | Sequence[str] | None = None
    ) -> None:
        self.cv = cv
        self.anomalies = anomalies
        self.group = group

    # Successive halving reads these two to find out whether all calls give the same folds.
    @property
    def shuffle(self) -> bool:
        """Whether `cv` shuffles, if it has a choice."""
        return getattr(self.cv, "shuffle", True)

    @property
    def random_state(self) -> Any:
        """Seed of `cv`, or 0 if it needs none."""
        return getattr(self.cv, "random_state", 0)

    def _count_folds(self, X: Any, y: Any, groups: Any, exposed: Any) -> int:
        self._validate_params()  # GridSearchCV counts the folds before it splits
        if isinstance(self.cv, Integral):
            return int(self.cv)
        try:
            return self.cv.get_n_splits()
        except (TypeError, ValueError):  # it depends on the clips
            return len(self._split_normal(self._read(X, y, exposed), groups))

    def _tests_anomalies(self) -> bool:
        return self.anomalies != "none"

    def _folds(self, clips: SplitClips, groups: Any) -> Iterator[Fold]:
        number = self._number_groups(clips, groups)
        normal = self._split_normal(clips, groups)
        # An anomaly of a group that is trained on would be recognised by its group.
        anomalous = [clips.anomalous & ~np.isin(number, number[train]) for train, _ in normal]
        if self.anomalies == "none":
            anomalous = [np.zeros_like(mask) for mask in anomalous]
        elif self.anomalies == "split":
            anomalous = _spread_evenly(anomalous, clips.strata())
        for (train, test), anomalies in zip(normal, anomalous, strict=True):
            tested = test | anomalies
            yield train | (clips.exposed & ~np.isin(number, number[tested])), tested

    def _number_groups(self, clips: SplitClips, groups: Any) -> NDArray[np.intp]:
        """Number the group of each clip; -1 for exposed clips without one."""
        if not self._is_grouped(groups):
            return np.arange(len(clips.table))
        columns = [self.group] if isinstance(self.group, str) else list(self.group or ())
        return clips.numbers(groups, columns)

    def _is_grouped(self, groups: Any) -> bool:
        return groups is not None or self.group is not None

    def _split_normal(self, clips: SplitClips, groups: Any) -> list[Fold]:
        """Split the normal clips by `cv`, whole groups at a time if it ignores groups."""
        rows, number = np.flatnonzero(clips.normal), self._number_groups(clips, groups)
        cv = self._choose_cv(clips.strata()[rows], self._is_grouped(groups))
        # A splitter that ignores groups gets one clip of each.
        unit = np.arange(len(rows)) if _uses_groups(cv) else pd.factorize(number[rows])[0]
        first = rows[np.unique(unit, return_index=True)[1]]

        def spread(units: NDArray[np.intp]) -> Mask:
            mask = np.zeros(len(number), dtype=bool)
            mask[rows[np.isin(unit, units)]] = True
            return mask

        try:
            pairs = _split_rows(cv, first, clips, number)
        except ValueError as error:
            n_groups = len(np.unique(number[rows]))
            of_groups = f" of {n_groups} groups" if n_groups < len(rows) else ""
            raise ValueError(
                f"Got cv={self.cv!r}, which cannot split {len(rows)} normal clips{of_groups}: "
                f"{error} Use fewer folds, or another splitter."
            ) from error
        return [(spread(train), spread(test)) for train, test in pairs]

    def _choose_cv(self, strata: NDArray[np.intp], grouped: bool) -> Any:
        """Return `cv`, or the splitter for a number of folds."""
        if isinstance(self.cv, Integral):
            if grouped:
                return GroupKFold(self.cv)
            return StratifiedKFold(self.cv) if len(np.unique(strata)) > 1 else KFold(self.cv)
        if _uses_groups(self.cv) and not grouped:
            raise ValueError(
                f"Got cv={self.cv!r} without groups; pass groups, or name the columns of the clip "
                'table that have them, as in NormalOnlySplit(..., group="recording").'
            )
        return self.cv


def _uses_groups(cv: Any) -> bool:
    return "groups" in get_routing_for_object(cv).split.requests


def _split_rows(
    cv: Any, rows: NDArray[np.intp], clips: SplitClips, number: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Split some of the clips, and return pairs of positions among these."""
    if isinstance(cv, PredefinedSplit):  # it has an entry for each clip, but gets only some
        fold = np.asarray(cv.test_fold)
        if len(fold) != len(number):
            raise ValueError(f"test_fold has {len(fold)} entries for {len(number)} clips.")
        cv = PredefinedSplit(fold[rows])
    groups = {"groups": number[rows]} if _uses_groups(cv) else {}  # others would warn
    return list(cv.split(clips.table.iloc[rows], clips.strata()[rows], **groups))


def _spread_evenly(allowed: list[Mask], strata: NDArray[np.intp]) -> list[Mask]:
    """Keep each clip in one of the folds that may test it: in the one with the fewest so far."""
    n_allowed = np.sum(allowed, axis=0)
    chosen = np.zeros((len(allowed), len(strata)), dtype=bool)
    counts = np.zeros(len(allowed), dtype=int)
    for clip in np.lexsort((strata, n_allowed)):  # those without a choice first
        folds = [fold for fold, mask in enumerate(allowed) if mask[clip]]
        if folds:
            fold = folds[int(np.argmin(counts[folds]))]
            chosen[fold, clip] = True
            counts[fold] += 1
    return list(chosen)


class DCASESplit(ClipSplitter):
    """Train on the given part "train" and test the given part "test": one fold.

    Exposed clips are trained on, too. The part is in the column `split` of a clip table or in
    `groups`. Supplemental clips are left out.

    See Also
    --------
    sklasd.datasets.load_dcase : Make such a clip table.
    NormalOnlySplit : Any other split, with notes on refitting and metadata routing.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklasd.model_selection import DCASESplit
    >>> clips = pd.DataFrame({"split": ["train", "test", "test"], "label": [1, 1, -1]})
    >>> [(train.tolist(), test.tolist()) for train, test in DCASESplit().split(clips)]
    [([0], [1, 2])]
    """

    _remedy = "check the columns split and label, or use NormalOnlySplit"

    def _folds(self, clips: SplitClips, groups: Any) -> Iterator[Fold]:
        part = clips.words(groups, "split", ("train", "test", "supplemental"))
        own = clips.normal | clips.anomalous
        yield (clips.normal & (part == "train")) | clips.exposed, own & (part == "test")


class LeaveOneSectionOut(ClipSplitter):
    """Train on all sections but one, and test that one.

    There is a fold for each section with normal and anomalous clips to test, in the order of names;
    other sections are only trained on. The section is in the column `section` of a clip table,
    within each `machine` if there is that column, or in `groups`. Exposed clips are trained on in
    every fold. With a column `split`, clips of "train" are only trained on and those of "test"
    only tested, so that results compare with those of `DCASESplit`.

    See Also
    --------
    NormalOnlySplit : Any other split, with notes on refitting and metadata routing.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklasd.model_selection import LeaveOneSectionOut
    >>> clips = pd.DataFrame({"section": ["00", "00", "01", "01"], "label": [1, -1, 1, -1]})
    >>> [(train.tolist(), test.tolist()) for train, test in LeaveOneSectionOut().split(clips)]
    [([2], [0, 1]), ([0], [2, 3])]
    """

    _remedy = "there must be two sections with normal clips, one of them with anomalous clips too"

    def _count_folds(self, X: Any, y: Any, groups: Any, exposed: Any) -> int:
        return len(list(self._folds(self._read(X, y, exposed), groups)))

    def _folds(self, clips: SplitClips, groups: Any) -> Iterator[Fold]:
        machine = ["machine"] if "machine" in clips.table else []
        number = clips.numbers(groups, [*machine, "section"])
        trained, tested = clips.normal & clips.part("train"), clips.part("test")
        # Sections of training clips alone cannot be scored.
        sections = np.intersect1d(number[tested & clips.normal], number[tested & clips.anomalous])
        if not sections.size:
            raise ValueError(f"Got no section with normal and anomalous clips; {self._remedy}.")
        for section in sections:
            held_out = number == section
            yield (trained & ~held_out) | clips.exposed, tested & held_out


class SourceToTargetSplit(ClipSplitter):
    """Train on the source domain, and test the target domain: one fold.

    The domain is in the column `domain` of a clip table or in `groups`. Exposed clips are trained
    on. With a column `split`, clips of "train" are only trained on and those of "test" only tested.

    Parameters
    ----------
    test_source : bool, default=False
        Whether to test the source clips of the part "test" as well. This needs a clip table with a
        column `split`.

    See Also
    --------
    NormalOnlySplit : Any other split, with notes on refitting and metadata routing.

    Notes
    -----
    DCASE's data have a few target clips to train on; here there are none. Its rules from 2022 on
    compare the normal clips of each domain with the anomalous clips of both. So `dcase_scorer`
    needs ``test_source=True`` from 2021 on; without it, use the rule of 2020.

    Examples
    --------
    >>> from sklasd.model_selection import SourceToTargetSplit
    >>> X, y, domain = [[0], [0], [0]], [1, 1, -1], ["source", "target", "target"]
    >>> for train, test in SourceToTargetSplit().split(X, y, groups=domain):
    ...     print(train, test)
    [0] [1 2]
    """

    _remedy = "check the columns domain, label and split"
    _parameter_constraints: ClassVar[dict] = {"test_source": ["boolean"]}

    def __init__(self, *, test_source: bool = False) -> None:
        self.test_source = test_source

    def _folds(self, clips: SplitClips, groups: Any) -> Iterator[Fold]:
        if self.test_source and "split" not in clips.table:
            raise ValueError(
                "Got test_source=True without a column 'split', which says which source clips to "
                "test; pass a clip table with this column, or test_source=False."
            )
        # Target clips for training are left out altogether: this split asks what a model does
        # without them.
        domain = clips.words(groups, "domain", ("source", "target"))
        test = clips.part("test") & ((domain == "target") | self.test_source)
        train = clips.normal & clips.part("train") & (domain == "source")
        yield train | clips.exposed, test
