"""Download DCASE Challenge Task 2 data of 2020 to 2026 from Zenodo."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sklasd.datasets._download import Client, RemoteFile, bytes_there, check_space
from sklasd.datasets._unpack import is_unpacked, unpack
from sklasd.utils._data_home import data_folder
from sklasd.utils._output import replacing
from sklasd.utils._progress import progress_bar

_API = "https://zenodo.org/api/records"
_RECORDS = {
    2020: {"development": 3678171, "additional": 3727685, "evaluation": 3841772, "truth": 3951620},
    2021: {"development": 4562016, "additional": 4660992, "evaluation": 4884786},
    2022: {"development": 6355122, "additional": 6462969, "evaluation": 6586456},
    2023: {"development": 7882613, "additional": 7830345, "evaluation": 7860847},
    2024: {"development": 10902294, "additional": 11259435, "evaluation": 11363076},
    2025: {"development": 15097779, "additional": 15392814, "evaluation": 15519362},
    2026: {"development": 19336329, "additional": 20151556, "evaluation": 20437238},
}
# No two years agree: dev_data_fan, dev_fan, eval_data_train_fan, eval_data_fan_train, each
# perhaps revised, as eval_data_3DPrinter_train_r2.
_ARCHIVE = re.compile(
    r"(?:dev|eval)(?:_data)?(?:_train|_test)?_(\w[\w-]*?)(?:_train|_test)?(?:_r(\d+))?\.zip"
)
_NAME = re.compile(r"\w[^/\\:]*")
_CHECKSUM = re.compile(r"(?:md5|sha\d+):[0-9a-f]{32,}")
# Bytes of sound in a byte of a zip file, at most; noise is hard to compress.
_UNPACKED = 1.5


class Download(NamedTuple):
    """An archive, and the folder for its contents."""

    remote: RemoteFile
    folder: Path


def fetch_dcase(
    year: int,
    machines: str | Iterable[str] | None = None,
    subset: str | Iterable[str] = "development",
    data_home: str | os.PathLike[str] | None = None,
    *,
    keep_archives: bool = False,
    verbose: bool = True,
) -> Path:
    """Download DCASE Task 2 data from Zenodo, and unpack them.

    Only missing data are downloaded. If a call is interrupted, the next one resumes: a folder gets
    its final name only when it is complete. Once everything is there, no network is needed.

    Parameters
    ----------
    year : int
        2020 to 2026.
    machines : str, iterable of str or None
        Machine types. None fetches all. From 2023 on, development and evaluation have different
        machines; each is taken from the subsets that have it.
    subset : {"development", "additional", "evaluation", "truth"}, iterable of these, or "all"
        "additional" is the training data of the evaluation's machines, "evaluation" their test
        data. "truth", the labels of the latter, is on Zenodo for 2020 only.
    data_home : path or None
        The folder of all data sets. None takes the environment variable ``SKLASD_DATA``, or else
        ``~/sklasd_data``.
    keep_archives : bool, default=False
        Keep the zip files, in the folder ``archives``.
    verbose : bool, default=True
        Show a progress bar, where standard error is a terminal.

    Returns
    -------
    Path
        The folder ``dcase<year>``, for `load_dcase`, with a folder ``<subset>/<machine>`` for the
        contents of each archive. Labels of 2020 are in its folder ``truth``, for the parameter
        `ground_truth`.

    Raises
    ------
    ValueError
        If a year, subset or machine is not published.
    ConnectionError
        If Zenodo cannot be reached, refuses, or stays too busy.
    FileExistsError
        If a machine's folder exists, but was not fetched.
    ImportError
        If pooch is not installed.
    OSError
        If the disk is too small, a checksum is wrong, or a zip file cannot be unpacked.

    Warns
    -----
    UserWarning
        For zip files whose names contain no machine.

    See Also
    --------
    load_dcase : Make a clip table of the data.

    Notes
    -----
    A subset has several GB. The page of its record on Zenodo states the licence, which may exclude
    commercial use. Zenodo states sizes and checksums. If a zip file was revised (``_r2``), only the
    revised one is taken. To fetch a machine again, delete its folder.

    Examples
    --------
    >>> root = fetch_dcase(2023, ["fan", "valve"])  # doctest: +SKIP
    >>> table = load_dcase(root)  # doctest: +SKIP
    """
    records = _choose_records(year, subset)
    named = [machines] if isinstance(machines, str) else machines
    wanted = None if named is None else set(named)
    root = data_folder(data_home) / f"dcase{year}"
    if _is_complete(records, wanted, root):  # offline, and even without pooch
        return root
    with Client() as client:
        downloads = plan_downloads(_ask(client, records, root), wanted, root)
        _check_space(downloads, root, keep_archives)
        _download(client, downloads, root, keep_archives=keep_archives, verbose=verbose)
    return root


def _choose_records(year: int, subset: str | Iterable[str]) -> dict[str, int]:
    if year not in _RECORDS:
        raise ValueError(f"Got year={year!r}; expected one of {list(_RECORDS)}.")
    records = _RECORDS[year]
    if subset == "all":
        return records
    names = [subset] if isinstance(subset, str) else list(subset)
    if not names or not set(names) <= set(records):
        raise ValueError(
            f"Got subset={subset!r}; of {year} expected some of {list(records)}, or 'all'."
        )
    return {name: records[name] for name in names}


def plan_downloads(
    listings: Mapping[str, list[RemoteFile]], machines: Iterable[str] | None, root: Path
) -> list[Download]:
    """Return the missing archives, by subset and machine; the last revision of each.

    `listings` has the files of each subset's record; None takes all machines. ValueError if there
    is no such machine, or a record is not understood.

    Examples
    --------
    >>> names = ["dev_fan.zip", "dev_ToyCar.zip", "dev_ToyCar_r2.zip", "README.md"]
    >>> files = [RemoteFile(name, 10, "md5:...", f"https://.../{name}") for name in names]
    >>> for download in plan_downloads({"development": files}, None, Path("dcase2026")):
    ...     print(download.remote.name, "->", download.folder.as_posix())
    dev_ToyCar_r2.zip -> dcase2026/development/ToyCar
    dev_fan.zip -> dcase2026/development/fan
    """
    # The tables of labels are for all machines together.
    tables = {Path(file.name).stem: file for file in listings.get("truth", [])}
    sounds = {name: _newest(files) for name, files in listings.items() if name != "truth"}
    there = {machine for archives in sounds.values() for machine in archives}
    wanted = there if machines is None else set(machines)
    if sounds and (not wanted or not wanted <= there):
        raise ValueError(
            f"Got machines={sorted(wanted)}; expected some of "
            f"{ {name: sorted(archives) for name, archives in sounds.items()} }."
        )
    found = [
        Download(archives[machine], root / name / machine)
        for name, archives in sounds.items()
        for machine in sorted(wanted & set(archives))
    ]
    found += [Download(file, root / "truth" / stem) for stem, file in tables.items()]
    return [download for download in found if not is_unpacked(*download)]


def _newest(files: list[RemoteFile]) -> dict[str, RemoteFile]:
    """Return the archive of each machine, or its last revision."""
    newest: dict[str, tuple[int, RemoteFile]] = {}
    for file in files:
        match = _ARCHIVE.fullmatch(file.name)
        if match is None:
            continue
        machine, revision = match[1], int(match[2] or 1)
        rival = newest.get(machine, (0, file))
        if rival[0] == revision:
            raise ValueError(
                f"Zenodo has two archives of {machine}, {rival[1].name} and {file.name}, and "
                "sklasd does not know which to take; is there a newer sklasd?"
            )
        newest[machine] = max(rival, (revision, file))
    return {machine: file for machine, (_, file) in newest.items()}


def _is_complete(records: Mapping[str, int], machines: Iterable[str] | None, root: Path) -> bool:
    """Return whether everything is there, without network: a published record never changes."""
    saved = {name: _saved_record(root, record) for name, record in records.items()}
    if not all(path.is_file() for path in saved.values()):
        return False
    listings = {
        name: _read_record(json.loads(path.read_text(encoding="utf-8")), records[name])
        for name, path in saved.items()
    }
    return not plan_downloads(listings, machines, root)


def _saved_record(root: Path, record: int) -> Path:
    return root / ".zenodo" / f"{record}.json"


def _ask(client: Client, records: Mapping[str, int], root: Path) -> dict[str, list[RemoteFile]]:
    listings = {}
    for name, record in records.items():
        answer, listings[name] = ask_record(client, record)
        files = listings[name]
        zips = [file.name for file in files if file.name.endswith(".zip") and name != "truth"]
        others = [file for file in zips if not _ARCHIVE.fullmatch(file)]
        if others:
            warnings.warn(
                f"Zenodo's record {record} also has {others}, which are not fetched: their "
                "names contain no machine.",
                stacklevel=3,
            )
        # The next call compares what is on the disk with this, without network.
        path = _saved_record(root, record)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(answer), encoding="utf-8")
    return listings


def ask_record(client: Client, record: int) -> tuple[Any, list[RemoteFile]]:
    """Return Zenodo's answer about a record, and the files in it."""
    answer = client.read_json(f"{_API}/{record}")
    return answer, _read_record(answer, record)


def _read_record(answer: Any, record: int) -> list[RemoteFile]:
    try:
        files = [
            RemoteFile(item["key"], int(item["size"]), item["checksum"], item["links"]["self"])
            for item in answer["files"]
        ]
        # Names become paths here, and pooch ignores a checksum that it cannot read.
        understood = all(
            _NAME.fullmatch(file.name) and _CHECKSUM.fullmatch(file.checksum) for file in files
        )
    except (KeyError, TypeError, ValueError):
        understood = False
    if not understood:
        raise ValueError(
            f"Zenodo's answer on record {record} is not understood; is there a newer sklasd?"
        )
    return files


def _check_space(downloads: list[Download], root: Path, keep_archives: bool) -> None:
    """Check the disk before the first byte: for all contents, and one archive or all."""
    archives = root / "archives"
    sizes = [remote.size for remote, _ in downloads]
    packed = sum(sizes) if keep_archives else max(sizes, default=0)
    there = sum(bytes_there(remote, archives) for remote, _ in downloads)
    check_space(root, _UNPACKED * sum(sizes) + packed - min(there, packed))


def _download(
    client: Client, downloads: list[Download], root: Path, *, keep_archives: bool, verbose: bool
) -> None:
    archives = root / "archives"
    total = sum(remote.size for remote, _ in downloads)
    with progress_bar(total, desc="downloading", unit="B", verbose=verbose) as bar:
        bar.unit_scale = True  # shows GB rather than ten digits
        for remote, folder in downloads:
            bar.set_description(remote.name, refresh=False)
            archive = client.fetch(remote, archives, bar)
            unpack(archive, remote, folder)
            if not keep_archives:  # at once: all archives together need as much room again
                archive.unlink()
    with suppress(OSError):  # other downloads may be unfinished
        archives.rmdir()
