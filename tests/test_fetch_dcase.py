"""DCASE data come from Zenodo whole or not at all, whatever happens on the way.

Zenodo is a server on this machine, which can be told to misbehave.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import shutil
import sys
import threading
import zipfile
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from sklasd.datasets import _download, _fetch, fetch_panns
from sklasd.datasets._dcase import load_dcase
from sklasd.datasets._download import RemoteFile
from sklasd.datasets._fetch import _newest, fetch_dcase, plan_downloads
from sklasd.datasets._unpack import is_unpacked

pytest.importorskip("pooch")

TRAIN = "section_00_source_train_normal_{:04d}_m-n_W.wav"
TEST = "section_00_target_test_anomaly_{:04d}_m-n_X.wav"
EVAL = "section_00_{:04d}.wav"


# --- a Zenodo of our own -------------------------------------------------------------------------


class Zenodo(ThreadingHTTPServer):
    """Answer as Zenodo's record API does, except for what is in `mishaps`.

    Mishaps are functions of a request handler and of the file asked for, in a list for each file
    name or record number; every request takes one from its list.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.records, self.mishaps = {}, {}
        self.asked, self.sent = [], 0

    def offer(self, record, **files):
        """Publish files by their names without dots, as in ``dev_fan_zip=b"..."``."""
        named = {".".join(name.rsplit("_", 1)): content for name, content in files.items()}
        self.records[str(record)] = self.records.get(str(record), {}) | named

    def ranges(self):
        return [headers["Range"] for _, headers in self.asked]

    def names(self):
        """Return what was asked for: record numbers and file names."""
        return [path.split("/")[-2 if path.endswith("content") else -1] for path, _ in self.asked]

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up: here they mean to."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, (_, _, _, record, *rest) = self.server, self.path.split("/")
        server.asked.append((self.path, self.headers))
        files = server.records.get(record)
        content = files[rest[1]] if files and rest else files and listing(server.url, record, files)
        mishaps = server.mishaps.get(rest[1] if rest else record, [])
        if mishaps:
            mishaps.pop(0)(self, content)
        elif files is None:
            self.answer(404)
        else:
            in_parts(self, content)

    def answer(self, status, content=b"", cut=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.server.sent += len(content[:cut])
        self.wfile.write(content[:cut])

    def log_message(self, *args):
        pass


def listing(url, record, files):
    entries = [
        {
            "id": "00000000-0000-0000-0000-000000000000",
            "key": name,
            "size": len(content),
            "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
            "links": {"self": f"{url}/api/records/{record}/files/{name}/content"},
        }
        for name, content in files.items()
    ]
    return json.dumps({"id": int(record), "title": "DCASE", "files": entries}).encode()


def in_parts(request, content, shift=0):
    asked = request.headers["Range"]
    if asked is None:
        request.answer(200, content)
        return
    start = int(asked.removeprefix("bytes=").removesuffix("-")) + shift
    stated = f"bytes {start}-{len(content) - 1}/{len(content)}"
    request.answer(206, content[start:], Content_Range=stated)


def broken_off(request, content):
    request.answer(200, content, cut=len(content) // 2)


def broken_off_in_parts(request, content):
    start = int((request.headers["Range"] or "0").strip("bytes=-"))
    rest = content[start:]
    stated = f"bytes {start}-{len(content) - 1}/{len(content)}"
    request.answer(206, rest, cut=len(rest) // 2, Content_Range=stated)


def whole(request, content):
    request.answer(200, content)


def damaged(request, content):
    request.answer(200, b"?" + content[1:])


def refused(status, **headers):
    return lambda request, content: request.answer(status, b"<html></html>", **headers)


@pytest.fixture
def zenodo(monkeypatch):
    server = Zenodo()
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    monkeypatch.setattr(_fetch, "_API", f"{server.url}/api/records")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Return a list of the pauses that were made, without making them."""
    pauses = []
    monkeypatch.setattr(_download, "sleep", pauses.append)
    return pauses


# --- archives ------------------------------------------------------------------------------------


def make_zip(*names, content=b"", compression=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        for name in names:
            file.writestr(name, content or name.encode())
    return packed.getvalue()


def machine_zip(machine, train=2, test=0, evaluation=0):
    names = [f"{machine}/train/{TRAIN.format(i)}" for i in range(train)]
    names += [f"{machine}/test/{TEST.format(i)}" for i in range(test)]
    names += [f"{machine}/test/{EVAL.format(i)}" for i in range(evaluation)]
    return make_zip(*names, content=noise_clip())


def noise_clip():
    clip = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 40000)
    soundfile.write(clip, noise, 16000, format="WAV")
    return clip.getvalue()


@pytest.fixture
def fans(zenodo):
    """Offer a single machine, in an archive of some 200 kB, and return the archive."""
    archive = machine_zip("fan", train=3)
    zenodo.offer(7882613, dev_fan_zip=archive)
    return archive


@pytest.fixture
def fetch_fans(tmp_path):
    return partial(fetch_dcase, 2023, "fan", data_home=tmp_path)


def files_in(folder):
    """List a data set's files, except for what Zenodo said of it and notes."""
    paths = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    hidden = {".zenodo", ".fetched.json"}
    return sorted(path.as_posix() for path in paths if not hidden & set(path.parts))


# --- all goes well -------------------------------------------------------------------------------


def test_what_is_fetched_can_be_loaded(zenodo, tmp_path, capfd):
    zenodo.offer(
        7882613,
        dev_fan_zip=machine_zip("fan", train=3, test=2),
        dev_valve_zip=machine_zip("valve", train=1, test=1),
        dev_gearbox_zip=machine_zip("gearbox"),
        README_md=b"# DCASE 2023",
    )
    root = fetch_dcase(2023, ["fan", "valve"], data_home=tmp_path)
    table = load_dcase(root)
    assert root == tmp_path / "dcase2023"
    assert table.groupby(["machine", "split"]).size().to_dict() == {
        ("fan", "train"): 3,
        ("fan", "test"): 2,
        ("valve", "train"): 1,
        ("valve", "test"): 1,
    }
    assert set(table["year"]) == {2023}
    assert soundfile.info(table["path"][0]).samplerate == 16000
    assert zenodo.names() == ["7882613", "dev_fan.zip", "dev_valve.zip"]
    assert {headers["User-Agent"].split("/")[0] for _, headers in zenodo.asked} == {"sklasd"}
    assert sorted(path.name for path in root.iterdir()) == [".zenodo", "development"]
    assert sorted(path.name for path in (root / "development").iterdir()) == ["fan", "valve"]
    assert capfd.readouterr() == ("", "")


def test_each_machine_comes_from_the_subsets_that_have_it(zenodo, tmp_path):
    zenodo.offer(7882613, dev_fan_zip=machine_zip("fan", test=1))
    zenodo.offer(7830345, eval_data_Vacuum_train_zip=machine_zip("Vacuum"))
    zenodo.offer(
        7860847,
        eval_data_Vacuum_test_zip=machine_zip("Vacuum", train=0, evaluation=4),
        eval_data_shaker_test_zip=machine_zip("shaker", train=0, evaluation=1),
    )
    root = fetch_dcase(2023, ["fan", "Vacuum"], "all", tmp_path)
    table = load_dcase(root)
    assert table.groupby(["machine", "split"]).size().to_dict() == {
        ("Vacuum", "train"): 2,
        ("Vacuum", "test"): 4,
        ("fan", "train"): 2,
        ("fan", "test"): 1,
    }
    fetch_dcase(2023, subset=("evaluation", "additional"), data_home=tmp_path)
    assert zenodo.names()[-1] == "eval_data_shaker_test.zip"
    assert zenodo.names().count("eval_data_Vacuum_test.zip") == 1


def test_a_complete_fetch_needs_neither_network_nor_pooch(zenodo, fans, fetch_fans, monkeypatch):
    root = fetch_fans()
    zenodo.asked.clear()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pooch", None)
        assert fetch_fans() == root
    assert fetch_dcase(2023, data_home=root.parent) == root
    with pytest.raises(ValueError, match=r"Got machines=\['pump'\].*'development': \['fan'\]"):
        fetch_dcase(2023, "pump", data_home=root.parent)
    assert zenodo.asked == []


def test_truth_of_2020(zenodo, tmp_path):
    table = io.StringIO()
    csv.writer(table).writerows([["fan"], ["id_01_00000000.wav", "normal_id_01_00000017.wav", "0"]])
    zenodo.offer(3841772, eval_data_test_fan_zip=make_zip("fan/test/id_01_00000000.wav"))
    zenodo.offer(3951620, eval_data_list_csv=table.getvalue().encode())
    root = fetch_dcase(2020, "fan", ["evaluation", "truth"], tmp_path)
    assert fetch_dcase(2020, subset="truth", data_home=tmp_path) == root
    clips = load_dcase(root, ground_truth=root / "truth")
    assert clips[["machine", "section", "label"]].to_numpy().tolist() == [["fan", "01", 1]]
    assert len(zenodo.asked) == 4


def test_archives_can_be_kept(zenodo, fans, fetch_fans):
    root = fetch_fans(keep_archives=True)
    assert (root / "archives" / "dev_fan.zip").read_bytes() == fans
    shutil.rmtree(root / "development")
    fetch_fans()
    assert zenodo.names() == ["7882613", "dev_fan.zip", "7882613"]
    assert not (root / "archives").exists()


def test_where_data_go(zenodo, fans, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLASD_DATA", str(tmp_path / "here"))
    assert fetch_dcase(2023) == tmp_path / "here" / "dcase2023"
    monkeypatch.delenv("SKLASD_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_dcase(2023) == tmp_path / "sklasd_data" / "dcase2023"


# --- transfers -----------------------------------------------------------------------------------


def test_an_interrupted_transfer_is_resumed(zenodo, fans, fetch_fans, waits):
    zenodo.mishaps["dev_fan.zip"] = [broken_off, broken_off_in_parts]
    zenodo.mishaps["7882613"] = [broken_off]
    root = fetch_fans()
    assert len(load_dcase(root)) == 3
    *first, second, third = zenodo.ranges()
    assert first == [None] * 3
    assert 0 < int(second[6:-1]) <= int(third[6:-1]) < len(fans)
    assert zenodo.sent < 2 * len(fans)
    assert waits == [1, 1, 2]


def test_a_call_that_was_stopped_is_resumed(zenodo, fans, fetch_fans, monkeypatch):
    with monkeypatch.context() as stopped:
        stopped.setattr(_fetch, "progress_bar", StoppingBar)
        with pytest.raises(KeyboardInterrupt):
            fetch_fans()
    (part,) = files_in(fetch_fans.keywords["data_home"] / "dcase2023")
    assert part.endswith(".part")
    root = fetch_fans()
    assert zenodo.ranges()[-1] == f"bytes={_download._CHUNK}-"
    assert len(load_dcase(root)) == 3
    assert not (root / "archives").exists()


def test_what_a_killed_call_leaves_is_cleared_away(zenodo, fans, fetch_fans, tmp_path):
    left = tmp_path / "dcase2023" / "development" / ".fan.unfinished" / "new" / "fan" / "train"
    left.mkdir(parents=True)
    (left / TRAIN.format(7)).touch()
    with pytest.raises(ValueError, match="Found no sound file"):
        load_dcase(tmp_path)
    root = fetch_fans()
    assert len(load_dcase(root)) == 3
    assert [path.name for path in (root / "development").iterdir()] == ["fan"]


class StoppingBar:
    """Stop as the user does, at the first sign of progress."""

    n = 0

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def set_description(self, *args, **kwargs):
        pass

    def update(self, n):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "answer",
    [whole, partial(in_parts, shift=1), partial(in_parts, shift=-1), refused(416), refused(206)],
    ids=["ignored", "too late", "too early", "beyond the end", "without a range"],
)
def test_servers_that_do_not_resume(zenodo, fans, fetch_fans, answer):
    zenodo.mishaps["dev_fan.zip"] = [broken_off, answer]
    assert len(load_dcase(fetch_fans())) == 3
    assert zenodo.ranges()[2] is not None


def test_an_unfinished_file_that_is_too_long(zenodo, fans, fetch_fans, tmp_path):
    checksum = hashlib.md5(fans).hexdigest()
    part = tmp_path / "dcase2023" / "archives" / f"dev_fan.zip.{checksum[-8:]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * (len(fans) + 1))
    assert len(load_dcase(fetch_fans())) == 3
    assert zenodo.ranges() == [None, None]


def test_a_transfer_may_fail_often_if_it_gets_on(zenodo, fans, fetch_fans, waits, monkeypatch):
    monkeypatch.setattr(_download, "_CHUNK", 1000)
    monkeypatch.setattr(_download, "_CONSIDERABLE", 1000)
    zenodo.mishaps["dev_fan.zip"] = [broken_off, *[broken_off_in_parts] * 5]
    fetch_fans()
    assert waits == [1] * 6


def test_a_transfer_that_breaks_off_for_good(zenodo, fans, fetch_fans, waits, tmp_path):
    zenodo.mishaps["dev_fan.zip"] = [broken_off] * 5
    with pytest.raises(ConnectionError, match=r"dev_fan.zip/content after 5 failures.*call again"):
        fetch_fans()
    assert waits == [1, 2, 4, 8]
    assert all(name.endswith(".part") for name in files_in(tmp_path / "dcase2023"))
    assert len(load_dcase(fetch_fans())) == 3


def test_a_wrong_checksum(zenodo, fans, fetch_fans, tmp_path):
    zenodo.mishaps["dev_fan.zip"] = [damaged]
    with pytest.raises(OSError, match=r"dev_fan.zip does not have the checksum.*fetch it again"):
        fetch_fans()
    assert files_in(tmp_path / "dcase2023") == []
    assert len(load_dcase(fetch_fans())) == 3


@pytest.mark.parametrize("busy", ["7882613", "dev_fan.zip"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_how_long_to_wait(zenodo, fans, fetch_fans, waits, busy, status):
    zenodo.mishaps[busy] = [refused(status, Retry_After="7")]
    assert len(load_dcase(fetch_fans())) == 3
    assert waits == [7]


def test_the_time_to_wait_may_be_a_date(zenodo, fans, fetch_fans, waits):
    soon = datetime.now(UTC) + timedelta(seconds=30)
    dates = [format_datetime(soon, usegmt=True), "Thu, 01 Jan 1970 00:00:00 GMT", "soon"]
    zenodo.mishaps["dev_fan.zip"] = [refused(429, Retry_After=date) for date in dates]
    fetch_fans()
    assert 20 < waits[0] <= 30
    assert waits[1:] == [2, 4]


@pytest.mark.parametrize("busy", ["7882613", "dev_fan.zip"])
def test_a_server_that_stays_busy(zenodo, fans, fetch_fans, waits, busy):
    zenodo.mishaps[busy] = [refused(429, Retry_After="7")] * 9
    with pytest.raises(ConnectionError, match=r"after 5 failures, the last: 429 Too Many Requests"):
        fetch_fans()
    assert zenodo.names().count(busy) == 5
    assert waits == [7, 7, 7, 8]


def test_a_server_that_asks_for_too_much_patience(zenodo, fans, fetch_fans, waits):
    zenodo.mishaps["dev_fan.zip"] = [refused(429, Retry_After="3600")]
    with pytest.raises(ConnectionError, match="asks to wait 3600 s"):
        fetch_fans()
    assert waits == []


def test_no_server(fetch_fans, zenodo, waits, monkeypatch):
    monkeypatch.setattr(_fetch, "_API", "http://127.0.0.1:1/api/records")
    with pytest.raises(
        ConnectionError, match=r"Gave up on http://127\.0\.0\.1:1/api/records/7882613"
    ):
        fetch_fans()
    assert waits == [1, 2, 4, 8]


def test_a_refusal_is_final(zenodo, fetch_fans, waits):
    with pytest.raises(ConnectionError, match="7882613 answers 404 Not Found"):
        fetch_fans()
    assert waits == []


def test_a_login_page_is_no_archive(zenodo, fans, fetch_fans, tmp_path):
    zenodo.mishaps["dev_fan.zip"] = [refused(200)]
    with pytest.raises(ConnectionError, match=rf"offers 13 bytes, but.*states {len(fans)}"):
        fetch_fans()
    assert files_in(tmp_path / "dcase2023") == []


@pytest.mark.parametrize(
    "change",
    [
        {"checksum": "d41d8cd98f00b204e9800998ecf8427e"},
        {"key": "../dev_fan.zip"},
        {"key": ".."},
        {"size": "large"},
        {"links": {}},
    ],
)
def test_answers_that_are_not_understood(zenodo, fetch_fans, change):
    (entry,) = json.loads(listing(zenodo.url, 1, {"dev_fan.zip": b""}))["files"]
    answer = json.dumps({"files": [entry | change]}).encode()
    zenodo.mishaps["7882613"] = [lambda request, _: request.answer(200, answer)]
    with pytest.raises(ValueError, match="answer on record 7882613 is not understood"):
        fetch_fans()


# --- the disk ------------------------------------------------------------------------------------


def free_space(monkeypatch, *amounts):
    left = list(amounts)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=left.pop(0) if left[1:] else left[0])
    )


def test_a_disk_that_is_too_small(zenodo, fans, fetch_fans, monkeypatch):
    free_space(monkeypatch, 2.4 * len(fans))
    with pytest.raises(OSError, match=r"needs 0.000\d+ GB, but .* only 0.000\d+ GB") as error:
        fetch_fans()
    assert error.value.errno == errno.ENOSPC
    assert zenodo.names() == ["7882613"]
    free_space(monkeypatch, 2.6 * len(fans))
    assert len(load_dcase(fetch_fans())) == 3


def test_kept_archives_need_room_too(zenodo, fetch_fans, tmp_path, monkeypatch):
    archives = machine_zip("fan"), machine_zip("valve")
    zenodo.offer(7882613, dev_fan_zip=archives[0], dev_valve_zip=archives[1])
    free_space(monkeypatch, 4.5 * len(archives[0]))
    with pytest.raises(OSError, match="make room"):
        fetch_dcase(2023, data_home=tmp_path, keep_archives=True)
    fetch_dcase(2023, data_home=tmp_path)


def test_a_disk_that_fills_up_before_unpacking(zenodo, fans, fetch_fans, tmp_path, monkeypatch):
    with monkeypatch.context() as full:
        free_space(full, 1e9, 10)
        with pytest.raises(OSError, match="make room"):
            fetch_fans()
    assert files_in(tmp_path / "dcase2023") == ["archives/dev_fan.zip"]
    assert len(load_dcase(fetch_fans())) == 3
    assert zenodo.names() == ["7882613", "dev_fan.zip", "7882613"]


def test_a_disk_that_fills_up_while_unpacking(zenodo, fans, fetch_fans, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(zipfile.ZipFile, "extract", fail)
        with pytest.raises(OSError, match="No space left"):
            fetch_fans()
    assert files_in(tmp_path / "dcase2023") == ["archives/dev_fan.zip"]
    assert len(load_dcase(fetch_fans())) == 3


def test_folders_of_the_user_are_left_alone(zenodo, fans, fetch_fans, tmp_path):
    own = tmp_path / "dcase2023" / "development" / "fan" / "train"
    own.mkdir(parents=True)
    with pytest.raises(FileExistsError, match="was not fetched; move it away"):
        fetch_fans()
    assert own.exists()
    assert "dev_fan.zip" not in zenodo.names()


# --- archives ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["fan/train/{}", "fan/test/{}"],
        ["fan/train/{}"],
        ["train/{}"],
        ["train/{}", "test/{}", "attributes_00.csv"],
        ["dev_data/fan/train/{}"],
        ["fan_r2/train/{}"],
        ["fan/train/{}", "__MACOSX/fan/train/{}"],
        ["fan/train/{}", "README.md"],
        ["fan/", "fan/train/", "fan/train/{}"],
    ],
)
def test_whatever_folders_an_archive_has(zenodo, fetch_fans, names):
    clips = {True: TRAIN.format(0), False: TEST.format(0)}
    zenodo.offer(7882613, dev_fan_zip=make_zip(*[n.format(clips["train" in n]) for n in names]))
    table = load_dcase(fetch_fans())
    assert set(table["machine"]) == {"fan"}
    assert set(table["split"]) == {name.split("/")[-2] for name in names if name[-2:] == "{}"}


@pytest.mark.parametrize("name", ["../escaped.wav", "/escaped.wav", "a/../../b.wav", "C:\\b.wav"])
def test_archives_that_lead_outside(zenodo, fetch_fans, tmp_path, name):
    zenodo.offer(7882613, dev_fan_zip=make_zip("fan/train/a.wav", name))
    with pytest.raises(OSError, match=r"dev_fan.zip is not safe: it would write to '"):
        fetch_fans()
    assert files_in(tmp_path) == ["dcase2023/archives/dev_fan.zip"]


def encrypted(archive):
    # The first bit of the flags, once in front of the contents and once in the directory.
    local, central = archive.index(b"PK\x03\x04") + 6, archive.index(b"PK\x01\x02") + 8
    changed = bytearray(archive)
    changed[local] |= 1
    changed[central] |= 1
    return bytes(changed)


def rarely_compressed(archive):
    changed = bytearray(archive)
    changed[archive.index(b"PK\x01\x02") + 10] = changed[8] = 9
    return bytes(changed)


def corrupted(archive):
    changed = bytearray(archive)
    changed[60:70] = b"??????????"
    return bytes(changed)


@pytest.mark.parametrize(
    "spoil", [encrypted, rarely_compressed, corrupted, lambda a: a[:50], lambda a: b"no zip file"]
)
def test_archives_that_cannot_be_unpacked(zenodo, fetch_fans, tmp_path, spoil):
    archive = make_zip(f"fan/train/{TRAIN.format(0)}", content=noise_clip()[:2000])
    zenodo.offer(7882613, dev_fan_zip=spoil(archive))
    with pytest.raises(OSError, match=r"dev_fan.zip has the right checksum, but cannot be unpac"):
        fetch_fans()
    assert files_in(tmp_path / "dcase2023") == ["archives/dev_fan.zip"]


# --- which files ---------------------------------------------------------------------------------


def remote(name, checksum="md5:00000000000000000000000000000000"):
    return RemoteFile(name, 10, checksum, f"https://zenodo.org/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "dev_data_ToyCar.zip",
        "dev_ToyCar.zip",
        "dev_ToyCar_r2.zip",
        "eval_data_train_ToyCar.zip",
        "eval_data_test_ToyCar.zip",
        "eval_data_ToyCar_train.zip",
        "eval_data_ToyCar_test.zip",
        "eval_data_ToyCar_train_r2.zip",
        "eval_data_ToyCar.zip",
    ],
)
def test_machines_in_names(name):
    assert _newest([remote(name)]) == {"ToyCar": remote(name)}


def test_revised_archives_are_preferred(zenodo, tmp_path):
    zenodo.offer(
        19336329,
        dev_ToyCar_r2_zip=make_zip(f"ToyCar/train/{TRAIN.format(0)}"),
        dev_ToyCar_zip=make_zip(f"ToyCar/train/{TRAIN.format(1)}"),
        dev_ToyCarEmu_zip=make_zip(f"ToyCarEmu/train/{TRAIN.format(2)}"),
    )
    zenodo.offer(20151556, eval_data_Sander_train_zip=machine_zip("Sander"))
    root = fetch_dcase(2026, data_home=tmp_path)
    assert zenodo.names() == ["19336329", "dev_ToyCar_r2.zip", "dev_ToyCarEmu.zip"]
    paths = load_dcase(root, year=2026, machines="ToyCar")["path"]
    assert [Path(path).name for path in paths] == [TRAIN.format(0)]


def test_a_folder_is_replaced_when_its_archive_was(zenodo, fans, fetch_fans, monkeypatch):
    root = fetch_fans()
    zenodo.offer(8, dev_fan_r2_zip=machine_zip("fan", train=5))
    monkeypatch.setitem(_fetch._RECORDS[2023], "development", 8)
    assert fetch_fans() == root
    assert len(load_dcase(root)) == 5
    assert sorted(path.name for path in (root / "development").iterdir()) == ["fan"]


def test_what_is_there_is_not_planned(tmp_path):
    folder = tmp_path / "development" / "fan"
    (download,) = plan_downloads({"development": [remote("dev_fan.zip")]}, ["fan"], tmp_path)
    assert download == (remote("dev_fan.zip"), folder)
    assert not is_unpacked(*download)
    folder.mkdir(parents=True)
    (folder / ".fetched.json").write_text(json.dumps(remote("dev_fan.zip")._asdict()))
    assert is_unpacked(*download)
    assert plan_downloads({"development": [remote("dev_fan.zip")]}, None, tmp_path) == []


def test_names_that_tell_no_machine(zenodo, fans, fetch_fans):
    zenodo.offer(7882613, sounds_zip=make_zip("a.wav"))
    with pytest.warns(UserWarning, match=r"also has \['sounds.zip'\], which are not") as caught:
        fetch_fans()
    assert caught[0].filename == __file__


def test_two_archives_of_one_machine():
    with pytest.raises(ValueError, match=r"two archives of fan, dev_fan.zip and dev_data_fan.zip"):
        _newest([remote("dev_fan.zip"), remote("dev_data_fan.zip")])


@pytest.mark.parametrize("machines", [["pump", "fan"], [], "", "Fan"])
def test_unknown_machines(zenodo, fans, tmp_path, machines):
    with pytest.raises(ValueError, match=r"expected some of {'development': \['fan'\]}"):
        fetch_dcase(2023, machines, data_home=tmp_path)


@pytest.mark.parametrize("year", [2019, 2027, "2023", None])
def test_unknown_years(year):
    with pytest.raises(ValueError, match=r"expected one of \[2020, .*2026\]"):
        fetch_dcase(year)


@pytest.mark.parametrize("subset", ["test", [], ["development", "all"], "truth", ""])
def test_unknown_subsets(subset):
    with pytest.raises(ValueError, match=r"of 2023 expected some of \['development', .*'all'"):
        fetch_dcase(2023, subset=subset)


def test_without_pooch(fetch_fans, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install 'sklasd\[fetch\]'"):
        fetch_fans()


class TestPANNs:
    """Weights come by the same way."""

    NAME = "Cnn6_mAP=0.343.pth"

    def test_a_checkpoint(self, zenodo, tmp_path):
        zenodo.offer(3987831, **{"Cnn6_mAP=0.343_pth": b"weights", "Cnn10_mAP=0.380_pth": b"other"})
        path = fetch_panns("cnn6", tmp_path, verbose=False)
        assert path == tmp_path / "panns" / self.NAME
        assert path.read_bytes() == b"weights"
        n_asked = len(zenodo.asked)
        assert fetch_panns("cnn6", tmp_path) == path
        assert len(zenodo.asked) == n_asked

    def test_without_network_the_message_says_how(self, monkeypatch, tmp_path):
        monkeypatch.setattr(_fetch, "_API", "http://127.0.0.1:1/api/records")
        words = r"Or download 'ResNet38_mAP=0\.434\.pth' of .*3987831 \(CC BY 4\.0\) .*weights=PATH"
        with pytest.raises(ConnectionError, match=words):
            fetch_panns(data_home=tmp_path)
        assert not list(tmp_path.rglob("*.pth"))

    def test_what_there_is_not(self, zenodo, tmp_path):
        zenodo.offer(3987831, **{"Cnn10_mAP=0.380_pth": b"other"})
        with pytest.raises(ValueError, match=r"no 'Cnn6_mAP=0.343.pth', but \['Cnn10_mAP=0.380"):
            fetch_panns("cnn6", tmp_path)
        with pytest.raises(ValueError, match=r"model='cnn7'; expected one of \['resnet38'"):
            fetch_panns("cnn7", tmp_path)
