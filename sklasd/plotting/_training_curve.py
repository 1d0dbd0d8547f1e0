"""The display of losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Self

import numpy as np

from sklasd.base import NetDetector
from sklasd.base._unwrap import detector_of
from sklasd.detectors import DiscreteAutoencoder, FusionDetector
from sklasd.plotting._matplotlib import COLOURS, LINES, Display


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay(Display):
    """Losses over the epochs of training, for each net.

    Parameters
    ----------
    curves : dict of {str: ndarray of shape (n_epochs,)}
        Losses by name.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    lines_ : dict of {str: matplotlib Line2D}
        By name.

    Notes
    -----
    A net that was trained for a number of steps has one epoch for each pass over its data. Losses
    of different nets are in different units.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay.from_history([3.0, 2.0, 1.5], ax=Figure().subplots())
    >>> display.lines_["loss"].get_xdata()
    array([1, 2, 3])
    """

    curves: Mapping[str, np.ndarray]

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **how: Any) -> Self:
        """Draw the losses of a detector's nets.

        Parameters
        ----------
        estimator : estimator
            Fitted: a detector with nets, a pipeline that ends in one, a search over one, or a
            wrapper of any. Of several groups, the model of the first is drawn; of a
            `FusionDetector`, all members with nets.
        ax, **how
            As in `plot`.

        Returns
        -------
        TrainingCurveDisplay
            After `plot`.

        Raises
        ------
        ValueError
            If the detector has no nets.
        """
        curves = curves_of(detector_of(estimator))
        if not curves:
            raise ValueError(
                f"Got the detector {type(detector_of(estimator)).__name__}, in which no net was "
                "trained; fit one with nets, such as OEAutoencoder."
            )
        return cls(curves).plot(ax, **how)

    @classmethod
    def from_history(cls, history: Any, *, ax: Any = None, **how: Any) -> Self:
        """Draw given losses.

        Parameters
        ----------
        history : DataFrame, dict of {str: array-like}, or array-like of shape (n_epochs,)
            A detector's `history_` or `loss_curve_`, or several of the latter by name.
        ax, **how
            As in `plot`.

        Returns
        -------
        TrainingCurveDisplay
            After `plot`.
        """
        # Both tables and dicts have `items`, by the names of their columns.
        named = history if hasattr(history, "items") else {"loss": history}
        return cls({name: np.asarray(curve) for name, curve in named.items()}).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **how
            Arguments of matplotlib's ``plot``, such as `lw`.

        Returns
        -------
        TrainingCurveDisplay
            The same display.
        """
        ax = self._start(ax)
        self.lines_ = {}
        styles = zip(cycle(COLOURS), cycle(LINES), strict=False)
        for (name, curve), (colour, line) in zip(self.curves.items(), styles, strict=False):
            # A line through a single point would be invisible.
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
    """Return the losses of a fitted detector's nets by name; empty if it has no nets."""
    if hasattr(detector, "history_"):  # a GAN's, with a column for each loss
        return {
            name.replace("_", " "): curve.to_numpy() for name, curve in detector.history_.items()
        }
    if isinstance(detector, FusionDetector):
        return {
            f"{member}: {name}": curve
            for member, each in detector.named_estimators_.items()
            for name, curve in curves_of(detector_of(each)).items()
        }
    if isinstance(detector, DiscreteAutoencoder):
        return {"loss": detector.loss_curve_}
    if not isinstance(detector, NetDetector):
        return {}
    losses = {
        name: np.array([epoch["train_loss"] for epoch in net.history])
        for name, net in detector.nets_.items()
    }
    if len(losses) == 1:  # its name says nothing that "loss" does not
        return {"loss": next(iter(losses.values()))}
    return {f"loss of {name}": curve for name, curve in losses.items()}
