"""`sklasd fetch`: the published data of DCASE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def run_fetch(
    year: Annotated[int, typer.Argument(help="2020 to 2026.")],
    machines: Annotated[
        list[str] | None, typer.Option("--machine", help="One machine; may be given repeatedly.")
    ] = None,
    subsets: Annotated[
        list[str] | None,
        typer.Option("--subset", help="development (default), additional, evaluation or all."),
    ] = None,
    data_home: Annotated[
        Path | None, typer.Option("--data-home", help="Folder of all data sets.")
    ] = None,
) -> None:
    """Download DCASE Task 2 data, several GB a year, and unpack them."""
    from sklasd.datasets import fetch_dcase

    # "all" stands alone in fetch_dcase, where other subsets are a list.
    wanted: Any = subsets or "development"
    root = fetch_dcase(year, machines, "all" if subsets == ["all"] else wanted, data_home)
    typer.echo(f"The data are in {root}.")
