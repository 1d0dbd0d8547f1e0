"""Download checkpoints of PANNs from Zenodo."""

from __future__ import annotations

import os
from pathlib import Path

from sklasd.datasets._download import Client, bytes_there, check_space
from sklasd.datasets._fetch import ask_record
from sklasd.features._panns_weights import LICENCE, MODELS, RECORD, checkpoint_path
from sklasd.utils._progress import progress_bar


def fetch_panns(
    model: str = "resnet38",
    data_home: str | os.PathLike[str] | None = None,
    *,
    verbose: bool = True,
) -> Path:
    """Download the weights of a net for `PANNsEmbedding` from Zenodo, unless the file exists.

    Parameters
    ----------
    model : {"resnet38", "cnn14", "cnn14_16k", "cnn10", "cnn6"}, default="resnet38"
        Name of the net.
    data_home : path or None
        The folder of all data sets. None takes the environment variable ``SKLASD_DATA``, or else
        ``~/sklasd_data``.
    verbose : bool, default=True
        Show a progress bar, where standard error is a terminal.

    Returns
    -------
    Path
        The file, in the folder ``panns``. `PANNsEmbedding` finds it in the default `data_home`.

    Raises
    ------
    ValueError
        If there is no such model.
    ConnectionError
        If Zenodo cannot be reached, refuses, or stays too busy. The message says what to download
        by hand, and where to put it.
    ImportError
        If pooch is not installed.
    OSError
        If the disk is too small, or a checksum is wrong.

    See Also
    --------
    sklasd.PANNsEmbedding : Embed clips with these weights.

    Notes
    -----
    The record is https://zenodo.org/records/3987831, by the authors of PANNs, under the licence CC
    BY 4.0: name them if you pass the weights on. A file has 20 to 400 MB. Zenodo states size and
    checksum. Once the file is there, no network is needed.

    Examples
    --------
    >>> fetch_panns("resnet38")  # doctest: +SKIP
    PosixPath('.../panns/ResNet38_mAP=0.434.pth')
    """
    if model not in MODELS:
        raise ValueError(f"Got model={model!r}; expected one of {list(MODELS)}.")
    path = checkpoint_path(model, data_home)
    if path.is_file():
        return path
    try:
        with Client() as client:
            _download(client, path, verbose=verbose)
    except ConnectionError as error:  # a machine in a factory may have no network
        raise ConnectionError(
            f"{error} Or download {path.name!r} of https://zenodo.org/records/{RECORD} ({LICENCE}) "
            f"elsewhere and put it into {path.parent}, or pass weights=PATH to PANNsEmbedding."
        ) from error
    return path


def _download(client: Client, path: Path, *, verbose: bool) -> None:
    _, files = ask_record(client, RECORD)
    found = {file.name: file for file in files}
    if path.name not in found:
        raise ValueError(
            f"Zenodo's record {RECORD} has no {path.name!r}, but {sorted(found)}; is there a newer "
            "sklasd?"
        )
    remote = found[path.name]
    path.parent.mkdir(parents=True, exist_ok=True)
    # Part of the file may be there from an earlier call.
    check_space(path.parent, remote.size - bytes_there(remote, path.parent))
    with progress_bar(remote.size, desc=remote.name, unit="B", verbose=verbose) as bar:
        bar.unit_scale = True
        client.fetch(remote, path.parent, bar)
