"""What training recorded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any, Self

import numpy as np

from sklasd.base import NetDetector
from sklasd.base._backend import last_step
from sklasd.detectors import DiscreteAutoencoder, FusionDetector
from sklasd.plotting._matplotlib import COLOURS, LINES, Display


class TrainingCurveDisplay(Display):
    """Losses over the epochs of training: of each net, or of a GAN's two.

    Parameters
    ----------
    curves : dict of {str: ndarray of shape (n_epochs,)}
        By name.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Of the axes.
    lines_ : dict of {str: matplotlib Line2D}
        By name.

    Notes
    -----
    Nets that were trained for a number of steps have one epoch for each pass over their data.
    Losses of different nets are in different units.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay.from_history([3.0, 2.0, 1.5], ax=Figure().subplots())
    >>> display.lines_["loss"].get_xdata()
    array([1, 2, 3])
    """

    def __init__(self, curves: Mapping[str, np.ndarray]) -> None:
        self.curves = curves

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **how: Any) -> Self:
        """Draw what the nets of a detector recorded.

        Parameters
        ----------
        estimator : estimator
            Fitted: a detector with nets, a pipeline that ends in one, a search over one, or what is
            around either; of several models, the first one's. Of a `FusionDetector`, all members
            with nets.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        TrainingCurveDisplay
            Drawn.

        Raises
        ------
        ValueError
            Where no net was trained.
        """
        curves = curves_of(last_step(estimator))
        if not curves:
            raise ValueError(
                f"Got the detector {type(last_step(estimator)).__name__}, in which no net was "
                "trained; fit one with nets, such as OEAutoencoder."
            )
        return cls(curves).plot(ax, **how)

    @classmethod
    def from_history(cls, history: Any, *, ax: Any = None, **how: Any) -> Self:
        """Draw losses.

        Parameters
        ----------
        history : DataFrame, dict of {str: array-like}, or array-like of shape (n_epochs,)
            A detector's `history_` or `loss_curve_`, or several of the latter by name.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        TrainingCurveDisplay
            Drawn.
        """
        named = history if hasattr(history, "items") else {"loss": history}
        return cls({name: np.asarray(curve) for name, curve in named.items()}).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            For matplotlib's ``plot``, such as `lw`.

        Returns
        -------
        TrainingCurveDisplay
            The same display.
        """
        ax = self._start(ax)
        self.lines_ = {}
        styles = zip(cycle(COLOURS), cycle(LINES), strict=False)
        for (name, curve), (colour, line) in zip(self.curves.items(), styles, strict=False):
            # A single epoch is no line.
            marker = "o" if len(curve) == 1 else None
            style = {"color": colour, "ls": line, "marker": marker, "label": name} | how
            (self.lines_[name],) = ax.plot(np.arange(1, len(curve) + 1), curve, **style)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if len(self.curves) > 1:
            ax.legend()
        else:
            ax.set_ylabel(next(iter(self.curves)))
        return self


def curves_of(detector: Any) -> dict[str, np.ndarray]:
    """Gather what nets recorded, by name; nothing where there are none.

    Parameters
    ----------
    detector : estimator
        Fitted.

    Returns
    -------
    dict of {str: ndarray of shape (n_epochs,)}
        Of a `FusionDetector`, those of all members.
    """
    if hasattr(detector, "history_"):
        return {
            name.replace("_", " "): curve.to_numpy() for name, curve in detector.history_.items()
        }
    if isinstance(detector, FusionDetector):
        return {
            f"{member}: {name}": curve
            for member, each in detector.named_estimators_.items()
            for name, curve in curves_of(last_step(each)).items()
        }
    if isinstance(detector, DiscreteAutoencoder):
        return {"loss": detector.loss_curve_}
    if not isinstance(detector, NetDetector):
        return {}
    losses = {
        name: np.array([epoch["train_loss"] for epoch in net.history])
        for name, net in detector.nets_.items()
    }
    if len(losses) == 1:
        return {"loss": next(iter(losses.values()))}
    return {f"loss of {name}": curve for name, curve in losses.items()}
