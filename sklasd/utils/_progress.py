"""One progress bar for everything that takes long."""

from __future__ import annotations

from tqdm import tqdm


def progress_bar(total: int, *, desc: str, unit: str = "clip", verbose: bool = True) -> tqdm:
    """Make a bar that shows where a person watches, and only when there is something to wait for.

    Parameters
    ----------
    total : int
        Number of steps.
    desc : str
        What is going on.
    unit : str
        What a step is.
    verbose : bool
        False hides the bar everywhere.

    Returns
    -------
    tqdm
        Hidden where standard error is no terminal, and for the first two seconds.

    Examples
    --------
    >>> with progress_bar(2, desc="reading") as bar:
    ...     _ = bar.update()
    """
    disable = None if verbose else True
    return tqdm(total=total, desc=desc, unit=unit, disable=disable, delay=2, leave=False)
