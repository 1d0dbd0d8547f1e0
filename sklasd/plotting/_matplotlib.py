"""matplotlib, where it is installed, and what all displays have in common."""

from __future__ import annotations

from typing import Any, ClassVar

# Okabe and Ito's colours, those first that are dark and bright enough for white and black paper.
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
COLOURS = (BLUE, VERMILLION, "#009E73", PURPLE, "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")  # and for those who print in grey


def require_matplotlib() -> Any:
    """Import matplotlib's figure module, or say how to install it.

    Returns
    -------
    module
        ``matplotlib.figure``; no window system is touched.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'sklasd[plot]'.") from error
    return figure


def text_colour() -> str:
    """Return the colour of text in the style that is set, which can be read on its background."""
    import matplotlib as mpl

    return mpl.rcParams["text.color"]


class Display:
    """Base of displays: what is drawn is data, and `plot` draws it.

    A subclass has data as attributes, and `plot`, which begins with `_start`.
    """

    ax_: Any
    figure_: Any
    _size: ClassVar[tuple[float, float]] = (6.4, 4.2)  # inches, of a figure of its own

    def _start(self, ax: Any) -> Any:
        """Return the axes to draw on: those given, or of a new figure of pyplot."""
        require_matplotlib()
        if ax is None:
            from matplotlib import pyplot

            _, ax = pyplot.subplots(figsize=self._size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax
