"""Displays as SVG inside a page: small, and in the colours of the page's style sheet."""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

from sklasd.plotting._matplotlib import BLUE, PURPLE, VERMILLION

_WIDTH, _HEIGHT = 420, 300  # units of the drawing; text of 14 units can be read on a phone
_INK, _LINE = "#586474", "#dde2e8"
_VARIABLES = {  # of style.css, which has a light and a dark value for each
    BLUE: "normal", VERMILLION: "anomalous", PURPLE: "unknown", _INK: "quiet", _LINE: "line",
}  # fmt: skip
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text, in the font of the page
    "svg.hashsalt": "sklasd",  # the same chart is the same file
    "font.size": 14,
    "lines.linewidth": 2,
    "xtick.major.pad": 6,
    "hatch.linewidth": 1.2,
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor"], _INK),
    **dict.fromkeys(["xtick.color", "ytick.color"], _INK),
    **dict.fromkeys(["xtick.major.size", "ytick.major.size"], 0),
    **dict.fromkeys(["axes.spines.left", "axes.spines.top", "axes.spines.right"], False),
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "legend.frameon": False,
}
# matplotlib writes what only a file of its own needs. Its ids would clash between charts, and
# nothing reaches beyond the axes, so that nothing has to be clipped.
_NEEDLESS = (
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<defs>\s*<clipPath.*?</defs>",
    r'(?<=<g) id="[^"]*"| clip-path="[^"]*"| transform="rotate\(-0 [^"]*\)"|font-family: [^;]*; ',
    r'<path d="[^"]*" style="fill: none"/>|<g/>|(?<=>)\s+|\s+(?=[<"])',
    r"<g></g>",
)


def draw_svg(display: Any, label: str) -> str:
    """Draw a display of `sklasd.plotting` as an SVG element in the colours of the page.

    The label is for readers who do not see the chart.

    Examples
    --------
    >>> from sklasd.plotting import TrainingCurveDisplay
    >>> draw_svg(TrainingCurveDisplay({"loss": [3.0, 1.0]}), "Two epochs.")[:48]
    '<svg role="img" aria-label="Two epochs." viewBox'
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = io.StringIO()
    with mpl.rc_context(_STYLE):
        # Not a figure of pyplot: those of the user stay as they are.
        figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72), layout="constrained")
        display.plot(figure.subplots())
        display.ax_.set_aspect("auto")
        _move_legend(display.ax_)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _shorten(file.getvalue(), label)


def _move_legend(ax: Any) -> None:
    """Put the legend above the axes, where it hides no data on a small screen."""
    if ax.get_legend() is None:
        return
    handles, names = ax.get_legend_handles_labels()
    ax.get_legend().remove()
    ax.figure.legend(handles, names, loc="outside upper left", ncols=2, borderaxespad=0)


def _shorten(svg: str, label: str) -> str:
    for pattern in _NEEDLESS:
        svg = re.sub(pattern, "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour.lower(), f"var(--{variable})")
    # A tenth of a unit is less than a pixel; numbers outside of tags are text, and stay.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d)\d+", r"\1", tag[0]), svg)
    head = f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
    return head + re.sub(r"\s+", " ", re.sub("^.*?<svg.*?>", "", svg, flags=re.DOTALL))
