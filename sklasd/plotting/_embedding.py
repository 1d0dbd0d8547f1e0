"""Clips by their embeddings, two numbers for each."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from sklasd.inspection import embed_clips
from sklasd.plotting._matplotlib import BLUE, COLOURS, VERMILLION, Display, text_colour
from sklasd.plotting._scored import check_truth, labels_of
from sklasd.utils._metadata import check_metadata

_MARKERS = {"normal": "o", "anomalous": "X"}
_LABEL_COLOURS = {"normal": BLUE, "anomalous": VERMILLION}
_NEIGHBOURS = 30  # t-SNE's perplexity, where there are clips enough


class Kind(NamedTuple):
    """What clips that are drawn alike have in common; None is not known."""

    section: Any = None
    domain: Any = None
    label: str | None = None


class EmbeddingDisplay(Display):
    """Clips as points, the nearer the more alike: their embeddings by t-SNE or PCA.

    Crosses are anomalous, discs normal; hollow ones are of the target domain. Colours tell
    sections, or labels where there is one section only, or none is given.

    Parameters
    ----------
    points : ndarray of shape (n_clips, 2)
        Where the clips are drawn.
    kinds : list of (section, domain, label)
        One for each clip; None where something is not known, labels are "normal" and "anomalous".
    axes : (str, str), default=("", "")
        Names of the two axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Of the axes.
    points_ : dict of {(section, domain, label): matplotlib PathCollection}
        Of clips that are drawn alike.

    Notes
    -----
    It is the picture by which [1]_ (Fig. 3) shows how far target clips lie from source clips.
    Distances within a picture of t-SNE mean little beyond nearest neighbours; PCA keeps large
    distances, and tells how much of the variance is seen.

    References
    ----------
    .. [1] A. Jiang et al., "AEGAN-AD: unsupervised anomalous sound detection for machine condition
       monitoring using generative adversarial networks", ICASSP, 2023.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import EmbeddingDisplay
    >>> embeddings = np.random.default_rng(0).normal(size=(20, 5))
    >>> display = EmbeddingDisplay.from_embeddings(
    ...     embeddings, [1] * 15 + [-1] * 5, method="pca", ax=Figure().subplots()
    ... )
    >>> len(display.points_[None, None, "anomalous"].get_offsets())
    5
    """

    _size = (6.4, 4.8)

    def __init__(
        self, points: np.ndarray, kinds: list[Kind], *, axes: tuple[str, str] = ("", "")
    ) -> None:
        self.points = points
        self.kinds = kinds
        self.axes = axes

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        section: Any = None,
        domain: Any = None,
        method: str = "tsne",
        random_state: Any = 0,
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Embed clips as a detector does, and draw them.

        Parameters
        ----------
        estimator : estimator
            Fitted, as in `sklasd.inspection.embed_clips`.
        X : clips
            As the first step takes them.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None reads the column `label` of a clip table, where there is
            one.
        section, domain : array-like of shape (n_clips,), default=None
            Of the clips; None reads the column of this name of a clip table, where there is one.
        method : {"tsne", "pca"}, default="tsne"
            How an embedding becomes two numbers.
        random_state : int, RandomState instance or None, default=0
            Of t-SNE.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        EmbeddingDisplay
            Drawn.
        """
        _check_method(method)
        columns = getattr(X, "columns", ())
        return cls.from_embeddings(
            embed_clips(estimator, X),
            labels_of(X, y),
            section=X["section"] if section is None and "section" in columns else section,
            domain=X["domain"] if domain is None and "domain" in columns else domain,
            method=method,
            random_state=random_state,
            ax=ax,
            **how,
        )

    @classmethod
    def from_embeddings(
        cls,
        embeddings: Any,
        y: Any = None,
        *,
        section: Any = None,
        domain: Any = None,
        method: str = "tsne",
        random_state: Any = 0,
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw embeddings.

        Parameters
        ----------
        embeddings : array-like of shape (n_clips, n_features)
            A row for each clip.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous.
        section, domain : array-like of shape (n_clips,), default=None
            Of the clips; domains are "source" and "target".
        method : {"tsne", "pca"}, default="tsne"
            How an embedding becomes two numbers.
        random_state : int, RandomState instance or None, default=0
            Of t-SNE.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        EmbeddingDisplay
            Drawn.
        """
        _check_method(method)
        embeddings = np.asarray(embeddings)
        n_clips = len(embeddings)
        truth = check_truth(y, n_clips)
        labels = None if truth is None else np.where(truth == 1, "normal", "anomalous")
        told = (
            check_metadata("section", section, n_clips),
            check_metadata("domain", domain, n_clips),
        )
        known = [[None] * n_clips if of is None else _know(of) for of in (*told, labels)]
        kinds = [Kind(*kind) for kind in zip(*known, strict=True)]
        points, axes = _reduce(embeddings, method, random_state)
        return cls(points, kinds, axes=axes).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            For matplotlib's ``scatter``, such as `s`.

        Returns
        -------
        EmbeddingDisplay
            The same display.
        """
        ax = self._start(ax)
        sections = _several(kind.section for kind in self.kinds)
        colours = dict(zip(sections, cycle(COLOURS), strict=False))
        self.points_ = {}
        for kind in sorted(set(self.kinds), key=str):
            points = self.points[[other == kind for other in self.kinds]]
            colour = colours.get(kind.section) or _LABEL_COLOURS.get(kind.label or "normal")
            style = _style(kind, colour) | {"s": 36, "alpha": 0.8} | how
            self.points_[kind] = ax.scatter(*points.T, **style)
        for section in sections:
            # In grey, and beyond six sections, colours alone do not tell them apart.
            own = self.points[[kind.section == section for kind in self.kinds]]
            ax.text(*np.median(own, axis=0), str(section), weight="bold", ha="center", va="center")
        ax.set(xlabel=self.axes[0], ylabel=self.axes[1])
        handles = self._legend(colours)
        if handles:
            ax.legend(handles=handles)
        return self

    def _legend(self, colours: dict[Any, str]) -> list[Any]:
        """Return a mark for each section, domain and label that there is."""
        present = {
            **{Kind(section=section): colour for section, colour in colours.items()},
            **{
                Kind(domain=domain): text_colour()
                for domain in _several(kind.domain for kind in self.kinds)
            },
            **{
                Kind(label=label): text_colour() if colours else _LABEL_COLOURS[label]
                for label in _several(kind.label for kind in self.kinds)
            },
        }
        from matplotlib.lines import Line2D

        marks = []
        for kind, colour in sorted(present.items(), key=lambda item: str(item[0])):
            style = _style(kind, colour)
            name = (
                f"section {kind.section}" if kind.section is not None else kind.domain or kind.label
            )
            marks.append(
                Line2D(
                    [], [], ls="", marker=style["marker"], markerfacecolor=style["facecolors"],
                    markeredgecolor=colour, label=name,
                )
            )  # fmt: skip
        return marks


def _know(values: np.ndarray) -> list[Any]:
    """Return None for what is missing, which is written in many ways."""
    return [None if pd.isna(value) else value for value in values.tolist()]


def _several(values: Iterable[Any]) -> list[Any]:
    """Return the values that there are, or none where all are the same, which tells nothing."""
    known = sorted(set(values) - {None}, key=str)
    return known if len(known) > 1 else []


def _style(kind: Kind, colour: Any) -> dict[str, Any]:
    return {
        "marker": _MARKERS[kind.label or "normal"],
        "facecolors": "none" if kind.domain == "target" else colour,
        "edgecolors": colour,
    }


def _check_method(method: str) -> None:
    if method not in ("tsne", "pca"):
        raise ValueError(f'Got method={method!r}; pass "tsne" or "pca".')


def _reduce(
    embeddings: np.ndarray, method: str, random_state: Any
) -> tuple[np.ndarray, tuple[str, str]]:
    """Make two numbers of each row, and name them."""
    n_clips, n_features = embeddings.shape
    if min(n_clips - 1, n_features) < 2:
        raise ValueError(
            f"Got {n_clips} embeddings of {n_features} numbers, which fill no plane; pass at least "
            "3 clips, of at least 2 numbers each."
        )
    if method == "pca":
        pca = PCA(2, svd_solver="full")
        points = pca.fit_transform(embeddings)
        seen = 100 * pca.explained_variance_ratio_
        names = [f"component {i + 1} ({seen[i]:.0f} % of variance)" for i in range(2)]
        return points, (names[0], names[1])
    perplexity = min(_NEIGHBOURS, (n_clips - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
    return tsne.fit_transform(embeddings), ("t-SNE 1", "t-SNE 2")
