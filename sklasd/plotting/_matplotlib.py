"""matplotlib, where it is installed, and the base of all displays."""

from __future__ import annotations

from typing import Any, ClassVar

# Colours of Okabe and Ito; the first ones are dark and bright enough for white and black paper.
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
COLOURS = (BLUE, VERMILLION, "#009E73", PURPLE, "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")  # tell curves apart in grey print


def require_matplotlib() -> Any:
    """Import ``matplotlib.figure``, or say how to install it; no window system is touched."""
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'sklasd[plot]'.") from error
    return figure


def text_colour() -> str:
    """Return the text colour of matplotlib's style, which is readable on its background."""
    import matplotlib as mpl

    return mpl.rcParams["text.color"]


class Display:
    """Base of displays, which hold data as attributes and draw it in `plot`."""

    ax_: Any
    figure_: Any
    _size: ClassVar[tuple[float, float]] = (6.4, 4.2)  # of a new figure, in inches

    def _start(self, ax: Any) -> Any:
        """Return the given axes, or those of a new figure of pyplot."""
        require_matplotlib()
        if ax is None:
            # Only here: notebooks show figures of pyplot, and everything else works without it.
            from matplotlib import pyplot

            _, ax = pyplot.subplots(figsize=self._size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax
