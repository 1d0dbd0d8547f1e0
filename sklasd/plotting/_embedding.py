"""The display of embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from itertools import cycle
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from sklasd.inspection import embed_clips
from sklasd.metrics._scored_clips import find_column
from sklasd.plotting._matplotlib import BLUE, COLOURS, VERMILLION, Display, text_colour
from sklasd.plotting._scored import check_truth
from sklasd.utils._metadata import check_metadata

_MARKERS = {"normal": "o", "anomalous": "X"}
_LABEL_COLOURS = {"normal": BLUE, "anomalous": VERMILLION}
_PERPLEXITY = 30  # of t-SNE, if there are enough clips


class Kind(NamedTuple):
    """What clips that are drawn alike have in common; None is unknown."""

    section: Any = None
    domain: Any = None
    label: str | None = None


@dataclass(eq=False, repr=False)
class EmbeddingDisplay(Display):
    """Embeddings of clips in two dimensions, by t-SNE or PCA.

    Crosses are anomalous clips, discs normal ones, and hollow markers are of the target domain.
    Colours show the sections, or the labels if there are not several sections.

    Parameters
    ----------
    points : ndarray of shape (n_clips, 2)
        Positions of the clips.
    kinds : list of (section, domain, label)
        One for each clip; None is unknown, and labels are "normal" and "anomalous".
    axes : (str, str), default=("", "")
        Names of the two axes.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    points_ : dict of {(section, domain, label): matplotlib PathCollection}
        The clips that are drawn alike.

    Notes
    -----
    In this way [1]_ (Fig. 3) shows how far target clips lie from source clips. In a picture by
    t-SNE only the nearest neighbours mean something; PCA keeps large distances, and its axes name
    the share of the variance that they show.

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

    points: np.ndarray
    kinds: list[Kind]
    _: KW_ONLY
    axes: tuple[str, str] = ("", "")

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, section: Any = None, domain: Any = None,
        method: str = "tsne", random_state: Any = 0, ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Embed clips as a detector does, and draw them.

        Parameters
        ----------
        estimator : estimator
            Fitted, as in `sklasd.inspection.embed_clips`.
        X : clips
            Input of the first step.
        y, section, domain : array-like of shape (n_clips,), default=None
            As in `from_embeddings`; None reads the column `label`, `section` or `domain` of a clip
            table, if it has one.
        method, random_state
            As in `from_embeddings`.
        ax, **how
            As in `plot`.

        Returns
        -------
        EmbeddingDisplay
            After `plot`.
        """
        _check_method(method)  # before the clips are embedded, which may take long
        columns = getattr(X, "columns", ())
        return cls.from_embeddings(
            embed_clips(estimator, X),
            find_column(X, "label", y),
            section=X["section"] if section is None and "section" in columns else section,
            domain=X["domain"] if domain is None and "domain" in columns else domain,
            method=method,
            random_state=random_state,
            ax=ax,
            **how,
        )

    @classmethod
    def from_embeddings(
        cls, embeddings: Any, y: Any = None, *, section: Any = None, domain: Any = None,
        method: str = "tsne", random_state: Any = 0, ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Draw given embeddings.

        Parameters
        ----------
        embeddings : array-like of shape (n_clips, n_features)
            One row for each clip.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous.
        section, domain : array-like of shape (n_clips,), default=None
            Sections, and the domains "source" and "target".
        method : {"tsne", "pca"}, default="tsne"
            How an embedding becomes two numbers.
        random_state : int, RandomState instance or None, default=0
            Seed of t-SNE.
        ax, **how
            As in `plot`.

        Returns
        -------
        EmbeddingDisplay
            After `plot`.
        """
        _check_method(method)
        embeddings = np.asarray(embeddings)
        n_clips = len(embeddings)
        truth = check_truth(y, n_clips)
        # Clips without a section or domain are drawn as a kind of their own.
        columns = (
            check_metadata("section", section, n_clips),
            check_metadata("domain", domain, n_clips),
            None if truth is None else np.where(truth == 1, "normal", "anomalous"),
        )
        filled = [[None] * n_clips if c is None else _none_if_missing(c) for c in columns]
        kinds = [Kind(*kind) for kind in zip(*filled, strict=True)]
        points, axes = _reduce(embeddings, method, random_state)
        return cls(points, kinds, axes=axes).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw the clips.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **how
            Arguments of matplotlib's ``scatter``, such as `s`.

        Returns
        -------
        EmbeddingDisplay
            The same display.
        """
        ax = self._start(ax)
        sections = _values_that_differ(kind.section for kind in self.kinds)
        colours = dict(zip(sections, cycle(COLOURS), strict=False))
        self.points_ = {}
        # One collection for each kind, since matplotlib's scatter has one marker.
        for kind in sorted(set(self.kinds), key=str):
            points = self.points[[other == kind for other in self.kinds]]
            colour = colours.get(kind.section) or _LABEL_COLOURS[kind.label or "normal"]
            style = _style(kind, colour) | {"s": 36, "alpha": 0.8} | how
            self.points_[kind] = ax.scatter(*points.T, **style)
        for section in sections:
            # In grey, and beyond six sections, colours alone do not tell them apart.
            own = self.points[[kind.section == section for kind in self.kinds]]
            ax.text(*np.median(own, axis=0), str(section), weight="bold", ha="center", va="center")
        ax.set(xlabel=self.axes[0], ylabel=self.axes[1])
        if handles := self._legend(colours):
            ax.legend(handles=handles)
        return self

    def _legend(self, colours: dict[Any, str]) -> list[Any]:
        """Return a marker for each section, domain and label, where there are several."""
        from matplotlib.lines import Line2D

        domains = _values_that_differ(kind.domain for kind in self.kinds)
        labels = _values_that_differ(kind.label for kind in self.kinds)
        entries = [(f"section {s}", Kind(section=s), colour) for s, colour in colours.items()]
        entries += [(domain, Kind(domain=domain), text_colour()) for domain in domains]
        for label in labels:
            # Where colours show sections, labels differ by their markers only.
            entries += [
                (label, Kind(label=label), text_colour() if colours else _LABEL_COLOURS[label])
            ]
        marks = []
        for name, kind, colour in entries:
            style = _style(kind, colour)
            look = {"markerfacecolor": style["facecolors"], "markeredgecolor": colour}
            marks.append(Line2D([], [], ls="", marker=style["marker"], label=name, **look))
        return marks


def _none_if_missing(values: np.ndarray) -> list[Any]:
    """Replace every kind of missing value by None."""
    return [None if pd.isna(value) else value for value in values.tolist()]


def _values_that_differ(values: Iterable[Any]) -> list[Any]:
    """Return the different values, or nothing if there is only one, which needs no legend."""
    different = sorted(set(values) - {None}, key=str)
    return different if len(different) > 1 else []


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
    """Reduce rows to two numbers, and name the axes."""
    n_clips, n_features = embeddings.shape
    if min(n_clips - 1, n_features) < 2:
        raise ValueError(
            f"Got {n_clips} embeddings of {n_features} numbers, which do not fill a plane; pass at "
            "least 3 clips, of at least 2 numbers each."
        )
    if method == "pca":
        # The exact solver: the default of large inputs is random.
        pca = PCA(2, svd_solver="full")
        points = pca.fit_transform(embeddings)
        shares = 100 * pca.explained_variance_ratio_
        names = [f"component {i + 1} ({shares[i]:.0f} % of variance)" for i in range(2)]
        return points, (names[0], names[1])
    # scikit-learn refuses a perplexity of as many neighbours as there are clips.
    perplexity = min(_PERPLEXITY, (n_clips - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
    return tsne.fit_transform(embeddings), ("t-SNE 1", "t-SNE 2")
