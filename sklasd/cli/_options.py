"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_RECIPE = "statistics"  # the default of make_recipe, whose import would take a second

Recipe = Annotated[str, typer.Option("--recipe", help="Name of the pipeline to train.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="STEP__PARAM=VALUE", help="Change a parameter; may be given repeatedly."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")]
GroundTruth = Annotated[
    list[Path] | None,
    typer.Option(
        "--ground-truth", help="Labels of DCASE's evaluation data; may be given repeatedly."
    ),
]
Table = Annotated[Path | None, typer.Option("--csv", help="Write the table to this file, too.")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object a line, not a table.")]
Device = Annotated[
    str | None, typer.Option("--device", help="Where nets compute: auto, cpu, cuda, cuda:1.")
]
Machine = Annotated[
    str | None, typer.Option("--machine", help="The clips' machine, for a model of several.")
]
Model = Annotated[Path, typer.Argument(help="From `sklasd fit`.")]
Recordings = Annotated[list[Path], typer.Argument(help="Files, folders of files, or manifests.")]
