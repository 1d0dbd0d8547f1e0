"""Charts as SVG, in colours that the page's style sheet names: readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

from sklasd.metrics._roc import MAX_FPR

_WIDTH, _HEIGHT = 420, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 408, 14, 214  # edges of the frame
_FAR = 4.0  # times the normal clips' width: scores further off share the last bar


class Chart(NamedTuple):
    """A chart of the report.

    Parameters
    ----------
    title : str
        What it shows.
    svg : str
        The drawing.
    legend : list of (str, str)
        The style sheet's class of each colour, and what it stands for.
    says : str
        What is to be seen in it, in a sentence; those who do not see it hear that.
    """

    title: str
    svg: str
    legend: list[tuple[str, str]]
    says: str


class _Axes:
    """A frame with two scales, drawn on in the data's own units."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        low, high = self._x
        return round(_LEFT + (value - low) / (high - low) * (_RIGHT - _LEFT), 1)

    def y(self, value: float) -> float:
        low, high = self._y
        return round(_BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP), 1)

    def bar(self, colour: str, left: float, right: float, height: float) -> None:
        """Draw a bar from the x axis."""
        x, y = self.x(left), self.y(height)
        self._parts.append(
            f'<rect class="{colour}" x="{x}" y="{y}" width="{self.x(right) - x:.1f}" '
            f'height="{_BOTTOM - y:.1f}"/>'
        )

    def line(self, colour: str, x: Any, y: Any) -> None:
        """Draw a line through points."""
        self._parts.append(f'<polyline class="{colour}" points="{self._points(x, y)}"/>')

    def area(self, colour: str, x: Any, y: Any) -> None:
        """Fill the area between points and the x axis."""
        ends = f"{self.x(x[-1])},{_BOTTOM} {self.x(x[0])},{_BOTTOM}"
        self._parts.append(f'<polygon class="{colour}" points="{self._points(x, y)} {ends}"/>')

    def _points(self, x: Any, y: Any) -> str:
        return " ".join(f"{self.x(a)},{self.y(b)}" for a, b in zip(x, y, strict=True))

    def draw(self, xlabel: str, ylabel: str, says: str) -> str:
        """Return the drawing, with ticks and labels."""
        for tick in nice_ticks(*self._x):
            self._text(self.x(tick), _BOTTOM + 17, f"{tick:g}", "middle")
        lines = []
        for tick in nice_ticks(*self._y):
            y = self.y(tick)
            lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>')
            self._text(_LEFT - 6, y + 4, f"{tick:g}", "end")
        self._text((_LEFT + _RIGHT) / 2, _HEIGHT - 8, xlabel, "middle")
        self._text(0, 0, ylabel, "middle", f"translate(13 {(_TOP + _BOTTOM) / 2}) rotate(-90)")
        axis = f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>'
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(says)}">'
            f"{''.join([*lines, *self._parts, axis])}</svg>"
        )

    def _text(self, x: float, y: float, text: str, anchor: str, turned: str = "") -> None:
        turn = f' transform="{turned}"' if turned else ""
        self._parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'
        )


def percent(share: float, decimals: int = 0) -> str:
    """Write a share, so that no line breaks before the sign.

    Examples
    --------
    >>> percent(0.125, 1).split()
    ['12.5', '%']
    """
    return f"{100 * share:.{decimals}f}\N{NO-BREAK SPACE}%"


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Pick round numbers in a range, about `n` of them.

    Parameters
    ----------
    low, high : float
        The range.
    n : int, default=5
        How many are wanted.

    Returns
    -------
    list of float
        Multiples of 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> nice_ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / n
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = magnitude * min(m for m in (1, 2, 5, 10) if m * magnitude >= 0.8 * rough)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [round(float(i * step), 12) + 0.0 for i in np.arange(first, last + 1)]  # no -0


def draw_scores(
    groups: Sequence[tuple[str, str, np.ndarray]], threshold: float, width: float
) -> Chart:
    """Draw a histogram of the scores of each kind of clips, and the threshold.

    Parameters
    ----------
    groups : sequence of (str, str, ndarray)
        Class of the colour, name, and scores.
    threshold : float
        Below it a clip is anomalous.
    width : float
        From the threshold to a typical normal clip; where it is not positive, no score is far off.

    Returns
    -------
    Chart
        Scores far below both the threshold and the middle one share the first bar.
    """
    every = np.concatenate([values for *_, values in groups])
    scores = np.append(every[np.isfinite(every)], threshold)
    top, low = float(scores.max()), float(scores.min())
    lowest = min(threshold, float(np.median(scores))) - _FAR * width
    n_far = int((scores < lowest).sum()) if width > 0 else 0
    low = lowest if n_far else low
    edges = np.linspace(low, top, 25) if top > low else np.linspace(low - 1, top + 1, 25)
    drawn = [np.clip(v[np.isfinite(v)], edges[0], edges[-1]) for *_, v in groups]
    counts = [np.histogram(values, edges)[0] for values in drawn]
    highest = max(1, int(np.max(counts)))
    axes = _Axes((edges[0], edges[-1]), (0, highest * 1.05))
    for (colour, *_), count in zip(groups, counts, strict=True):
        for left, right, height in zip(edges[:-1], edges[1:], count, strict=True):
            if height:
                axes.bar(f"{colour} fill", left, right, height)
    axes.line("threshold", [threshold] * 2, [0, highest * 1.05])
    far = f" The first bar holds scores below {low:.3g}, too." if n_far else ""
    below = "; ".join(f"{int((~(v >= threshold)).sum())} of {len(v)} {n}" for _, n, v in groups)
    n_left = len(every) - sum(map(len, drawn))
    left = f" {n_left} not drawn: the score is no finite number." if n_left else ""
    says = f"Below the threshold {threshold:.3g}: {below}.{far}{left}"
    legend = [(f"{colour} fill", f"{name} ({len(v)})") for colour, name, v in groups]
    return Chart(
        "Scores", axes.draw("score (higher is more normal)", "clips", says),
        [*legend, ("threshold", "threshold")], says,
    )  # fmt: skip


def draw_roc(is_anomalous: np.ndarray, scores: np.ndarray, auc: float, pauc: float) -> Chart:
    """Draw the ROC of the anomalies, and the part of it that pAUC measures.

    Parameters
    ----------
    is_anomalous : ndarray of bool, shape (n_clips,)
        The truth.
    scores : ndarray of shape (n_clips,)
        Higher is more normal.
    auc, pauc : float
        What is told of it.

    Returns
    -------
    Chart
        Shares from 0 to 1.
    """
    false_alarms, found, _ = roc_curve(is_anomalous, -scores)
    last = int(np.searchsorted(false_alarms, MAX_FPR))  # the first one that is not below
    edge = np.interp(MAX_FPR, false_alarms[last - 1 : last + 1], found[last - 1 : last + 1])
    axes = _Axes((0, 1), (0, 1.02))
    few = np.append(false_alarms[:last], MAX_FPR)
    axes.area("partial", few, np.append(found[:last], edge))
    axes.line("chance", [0, 1], [0, 1])
    axes.line("curve", false_alarms, found)
    at = percent(float(np.interp(MAX_FPR, false_alarms, found)))
    says = f"With {percent(MAX_FPR)} false alarms {at} of the faults are found; AUC {auc:.3f}."
    legend = [("curve", f"AUC {auc:.3f}"), ("partial", f"pAUC {pauc:.3f}"), ("chance", "chance")]
    return Chart("ROC", axes.draw("false alarms", "faults found", says), legend, says)


def draw_p_values(p_values: np.ndarray, *, are_normal: bool) -> Chart:
    """Draw a histogram of p-values, and what it would be if they were spread evenly.

    Parameters
    ----------
    p_values : ndarray of shape (n_clips,)
        Of clips known to be normal, or of all.
    are_normal : bool
        Which of the two.

    Returns
    -------
    Chart
        Ten bars.
    """
    counts, edges = np.histogram(p_values, np.linspace(0, 1, 11))
    expected = len(p_values) / 10
    top = max(1.0, 1.1 * counts.max(), 1.5 * expected)
    axes = _Axes((0, 1), (0, top))
    for left, right, height in zip(edges[:-1], edges[1:], counts, strict=True):
        if height:
            axes.bar("normal fill" if are_normal else "unknown fill", left, right, height)
    axes.line("threshold", [0, 1], [expected] * 2)
    kind = "normal clips" if are_normal else "clips"
    says = (
        f"{counts[0]} of {len(p_values)} {kind} have a p-value below 0.1; {expected:g} are expected"
        f"{'' if are_normal else ' if all of them are normal'}."
    )
    legend = [("normal fill" if are_normal else "unknown fill", f"{kind} ({len(p_values)})")]
    return Chart(
        "p-values", axes.draw("p-value", "clips", says), [*legend, ("threshold", "spread evenly")],
        says,
    )  # fmt: skip


def draw_training(losses: np.ndarray, title: str) -> Chart:
    """Draw the loss over the epochs.

    Parameters
    ----------
    losses : ndarray of shape (n_epochs,)
        At least two.
    title : str
        Of which net it is, where there are several.

    Returns
    -------
    Chart
        From the first epoch to the last.
    """
    low, high = float(losses.min()), float(losses.max())
    room = 0.05 * (high - low) or 1.0
    axes = _Axes((1, len(losses)), (low - room, high + room))
    axes.line("curve", np.arange(1, len(losses) + 1), losses)
    says = f"From {losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} epochs."
    return Chart(title, axes.draw("epoch", "loss", says), [("curve", "training loss")], says)
