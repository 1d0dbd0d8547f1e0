"""`sklasd recipes`."""

from __future__ import annotations

import typer


def run_recipes() -> None:
    """List the names that --recipe takes, the default first."""
    from sklasd.recipes import list_recipes

    for name in list_recipes():
        typer.echo(name)
