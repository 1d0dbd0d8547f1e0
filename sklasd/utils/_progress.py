"""One progress bar for everything that takes long."""

from __future__ import annotations

from multiprocessing import parent_process

from tqdm import tqdm


def progress_bar(total: int, *, desc: str, unit: str = "clip", verbose: bool = True) -> tqdm:
    """Make a progress bar.

    It is hidden if `verbose` is False, if standard error is no terminal, for the first two seconds,
    and in workers, whose bars would overwrite each other.

    Examples
    --------
    >>> with progress_bar(2, desc="reading") as bar:
    ...     _ = bar.update()
    """
    is_worker = parent_process() is not None
    # For tqdm None means: hidden unless standard error is a terminal.
    disable = True if is_worker or not verbose else None
    return tqdm(total=total, desc=desc, unit=unit, disable=disable, delay=2, leave=False)
