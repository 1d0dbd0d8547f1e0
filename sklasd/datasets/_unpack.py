"""Unpack archives whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from sklasd.datasets._download import RemoteFile, check_space
from sklasd.datasets._files import SPLITS

_NOTE = ".fetched.json"


def is_unpacked(remote: RemoteFile, folder: Path) -> bool:
    """Return whether a folder has the contents of an archive.

    FileExistsError if the user made the folder: it must not be overwritten.
    """
    if not folder.exists():
        return False
    if not (folder / _NOTE).is_file():
        raise FileExistsError(
            f"{folder} is there, but was not fetched; move it away, or pass another data_home."
        )
    source = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    return bool(source["checksum"] == remote.checksum)


def unpack(archive: Path, remote: RemoteFile, folder: Path) -> None:
    """Unpack a zip file, or copy any other file, into a folder.

    The folder appears only when it is complete, and replaces what was unpacked from an earlier
    revision. It stands for the one folder that most archives contain. OSError if the archive is
    broken, encrypted, unsafe, or too large for the disk.
    """
    # A call that was killed may have left this folder; nobody else uses the name.
    work = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    fresh = work / "new"
    fresh.mkdir(parents=True)
    try:
        if archive.suffix.lower() == ".zip":
            _extract(archive, fresh)
        else:
            shutil.copy(archive, fresh)
        content = _innermost(fresh)
        # The note moves with the folder, so that neither exists without the other.
        (content / _NOTE).write_text(json.dumps(remote._asdict()), encoding="utf-8")
        if folder.exists():
            folder.rename(work / "old")
        content.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            members = [m for m in file.infolist() if not m.filename.startswith("__MACOSX/")]
            # zipfile would silently write these elsewhere in the folder.
            unsafe = [m.filename for m in members if _leads_outside(m.filename)]
            if unsafe:
                raise OSError(f"{archive} is not safe: it would write to {unsafe[0]!r}; report it.")
            check_space(folder, sum(m.file_size for m in members))
            for member in members:
                file.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError means encrypted; its subclass NotImplementedError a rare compression.
        raise OSError(
            f"{archive} has the right checksum, but cannot be unpacked: {error}. Unpack it by "
            "other means, and pass that folder to load_dcase."
        ) from error


def _leads_outside(name: str) -> bool:
    # Windows' rules cover both kinds of slashes, and drives.
    path = PureWindowsPath(name)
    return bool(path.anchor) or os.pardir in path.parts


def _innermost(folder: Path) -> Path:
    """Return the machine's folder: the first on the way down that is not alone."""
    entries = list(folder.iterdir())
    while len(entries) == 1 and entries[0].is_dir() and entries[0].name.lower() not in SPLITS:
        folder = entries[0]
        entries = list(folder.iterdir())
    return folder
