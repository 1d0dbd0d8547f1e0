"""Downloads that resume where they broke off, and spare the server."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from requests import Response
    from tqdm import tqdm

_CHUNK = 2**16  # bytes; a transfer that breaks off loses less than this
_TIMEOUT = (10, 60)  # seconds to connect, and between two parts of an answer
_BUSY = frozenset({429, 500, 502, 503, 504})
_BEYOND_THE_END = 416
_MAX_FAILURES = 5
_LONGEST_WAIT = 600  # seconds; if the server asks for more, the user should know
_CONSIDERABLE = 2**20  # bytes; after so much progress, failures are counted anew
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

_T = TypeVar("_T")


class RemoteFile(NamedTuple):
    """A file on a server, with the checksum ("md5:...") that the server states."""

    name: str
    size: int
    checksum: str
    url: str


class _TryAgainError(Exception):
    """A failure that may pass, with the seconds that the server asks to wait."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Client:
    """Client that identifies itself, waits if asked to, tries again, and resumes downloads."""

    def __init__(self) -> None:
        try:
            import pooch
            import requests
        except ImportError as error:
            raise ImportError(
                "Downloads need pooch, which is not installed; run `pip install 'sklasd[fetch]'`."
            ) from error
        self._pooch, self._failure = pooch, requests.RequestException
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"sklasd/{version('sklasd')} (+dataset download)"
        # Byte ranges count the bytes on the wire, so a compressed answer could not be resumed.
        self._session.headers["Accept-Encoding"] = "identity"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def read_json(self, url: str) -> Any:
        """Return the JSON at a URL; ConnectionError if the server cannot be reached, or refuses."""

        def ask() -> Any:
            with self._get(url) as response:
                return response.json()

        return _insist(ask, url)

    def fetch(self, remote: RemoteFile, folder: Path, bar: tqdm) -> Path:
        """Download a file unless it exists, verify its checksum, and move a bar forward.

        Raises
        ------
        ConnectionError
            If the server refuses or fails again and again.
        OSError
            If the checksum is wrong, or the disk is full.
        """
        part, before = _part(remote, folder), bar.n

        def show(arrived: int) -> None:
            bar.update(before + arrived - bar.n)

        # pooch verifies the checksum and renames the file; its own downloaders cannot resume.
        def download(url: str, unverified: str, _: object) -> None:
            _insist(lambda: self._resume(remote, part, show), url, lambda: _size(part))
            part.replace(unverified)

        try:
            with _silenced(self._pooch.get_logger()):
                path = self._pooch.retrieve(
                    remote.url, remote.checksum, remote.name, folder, downloader=download
                )
        except ValueError as error:
            raise OSError(
                f"{remote.name} does not have the checksum that its record states, and was "
                f"removed; fetch it again. If that does not help, report it. ({error})"
            ) from error
        show(remote.size)
        return Path(path)

    def _resume(self, remote: RemoteFile, part: Path, show: Callable[[int], None]) -> None:
        start = _size(part)
        if start > remote.size:
            part.unlink()
            start = 0
        if start == remote.size:  # complete, but not verified yet
            return
        with self._get(remote.url, start) as response:
            begin = _first_byte(response, remote)
            if begin not in (0, start):
                part.unlink(missing_ok=True)
                raise _TryAgainError(f"the server does not continue at byte {start}")
            with part.open("ab") as file:
                file.truncate(begin)  # to nothing, if the server sends all from the start
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    show(file.tell())
        if _size(part) != remote.size:
            raise _TryAgainError("the connection ended early")

    @contextmanager
    def _get(self, url: str, start: int = 0) -> Iterator[Response]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                _check_status(response)
                yield response
        except self._failure as error:
            raise _TryAgainError(str(error)) from error


def _insist(action: Callable[[], _T], url: str, reached: Callable[[], int] = lambda: 0) -> _T:
    """Repeat an action that may fail, with growing pauses, at most so often without progress.

    urllib3's `Retry` would do for single answers, but does not resume a transfer that breaks off
    in the middle, and does not count anew after progress.
    """
    failures, best = 0, reached()
    while True:
        try:
            return action()
        except _TryAgainError as error:
            trouble = error
        failures = 1 if reached() - best >= _CONSIDERABLE else failures + 1
        best = max(best, reached())
        wait = max(trouble.wait, 2.0 ** (failures - 1))
        if failures == _MAX_FAILURES or wait > _LONGEST_WAIT:
            asked = f" The server asks to wait {wait:.0f} s." if wait == trouble.wait else ""
            raise ConnectionError(
                f"Gave up on {url} after {failures} failures, the last: {trouble}.{asked} "
                "What has arrived is kept: call again later to resume."
            ) from trouble
        sleep(wait)


def _check_status(response: Response) -> None:
    status = f"{response.status_code} {response.reason}"
    if response.status_code in _BUSY:
        raise _TryAgainError(status, _retry_after(response.headers.get("Retry-After", "")))
    if not response.ok and response.status_code != _BEYOND_THE_END:
        raise ConnectionError(f"{response.url} answers {status}; is there a newer sklasd?")


def _retry_after(header: str) -> float:
    """Return the seconds to wait, which are written as a number or as a date."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(header)
    except InvalidHeader:
        return 0.0


def _first_byte(response: Response, remote: RemoteFile) -> int:
    """Return the byte at which an answer begins, whatever was asked for; -1 if it is no part."""
    begin, size = 0, int(response.headers.get("Content-Length", remote.size))
    if response.status_code != 200:
        stated = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        begin, size = (int(stated[1]), int(stated[2])) if stated else (-1, remote.size)
    if size != remote.size:
        # For example the page on which a hotel's network asks to log in.
        raise ConnectionError(
            f"{remote.url} offers {size} bytes, but its record states {remote.size}; "
            "open it in a browser."
        )
    return begin


@contextmanager
def _silenced(logger: Any) -> Iterator[None]:
    """Keep pooch from writing lines into the progress bar."""
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _part(remote: RemoteFile, folder: Path) -> Path:
    # With the checksum in its name, no file is pieced together from two versions.
    return folder / f"{remote.name}.{remote.checksum[-8:]}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def bytes_there(remote: RemoteFile, folder: Path) -> int:
    """Count the bytes that earlier calls have downloaded of a file."""
    return min(remote.size, _size(_part(remote, folder)) + _size(folder / remote.name))


def check_space(folder: Path, needed: float) -> None:
    """Raise OSError if the disk of a folder has too few bytes left."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{folder} needs {needed / 1e9:.3g} GB, but its disk has only {free / 1e9:.3g} GB "
            "free; make room, choose fewer machines, or pass another data_home",
        )
