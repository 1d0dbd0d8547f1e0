"""Damage sound files at random, and see that each is scored or refused by name.

Files in four formats are mutated by bits, cuts and fields of their headers. Of each it is asked:
no crash, no error but a ClipError that names the file, finite scores, at most 2 s, and no more
memory than four times what its header declares plus 200 MB. A crash of a library ends the process;
the file that did it is left in the folder.

    python benchmarks/fuzz.py --n 10000
"""

import argparse
import shutil
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

from sklasd import ClipError, LogMel, StatisticsDetector, make_pipeline

MOST_SECONDS, MOST_TIMES, MOST_MB = 2.0, 4, 200
KINDS = {  # name: sample rate, channels, subtype
    "a.wav": (16000, 1, "PCM_16"),
    "float.wav": (44100, 2, "FLOAT"),
    "a.flac": (16000, 1, "PCM_16"),
    "stereo.flac": (48000, 2, "PCM_24"),
    "a.ogg": (16000, 1, "VORBIS"),
    "a.mp3": (44100, 2, "MPEG_LAYER_III"),
}


def write_originals(folder, rng):
    """Return the bytes of a clip of half a second in each format."""
    originals = {}
    for name, (rate, n_channels, subtype) in KINDS.items():
        wave = 0.1 * rng.standard_normal((rate // 2, n_channels))
        soundfile.write(folder / name, wave, rate, subtype=subtype)
        originals[name] = (folder / name).read_bytes()
    return originals


def flip_bits(data, rng):
    for at in rng.integers(0, len(data), size=rng.integers(1, 20)):
        data[at] ^= 1 << rng.integers(0, 8)
    return data


def damage_header(data, rng):
    for at in rng.integers(0, min(100, len(data)), size=rng.integers(1, 4)):
        data[at] = rng.integers(0, 256)
    return data


def set_field(data, rng):
    """Write a number that programs stumble over where headers have fields."""
    value = int(rng.choice([0, 1, 2, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]))
    at = int(rng.integers(4, 60))
    data[at : at + 4] = struct.pack(rng.choice(["<I", ">I"]), value)
    return data


def cut(data, rng):
    return data[: rng.integers(0, len(data))]


def cut_out(data, rng):
    first, last = np.sort(rng.integers(0, len(data), size=2))
    del data[first:last]
    return data


def append(data, rng):
    return data + rng.bytes(rng.integers(1, 5000))


MUTATIONS = (flip_bits, damage_header, set_field, cut, cut_out, append)


def peak_mb(reset=False):
    """Return the most memory that the process held since it was reset (Linux), in MB."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    names = ("VmRSS", "VmHWM")
    found = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines()
             if line.startswith(names)}  # fmt: skip
    return found["VmRSS" if reset else "VmHWM"] / 1024


def declared_mb(path):
    """Return what a header promises, in MB; 0 where it cannot be read."""
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, TypeError):
        return 0.0
    return max(info.frames, 0) * info.channels * 4 / 2**20


def complaint_of(model, path):
    """Score a file, and return "scored", "refused" or what is wrong with how it was dealt with."""
    try:
        scores = model.score_samples([str(path)])
    except ClipError as error:
        return "refused" if path.name in str(error) else f"a refusal without a name: {error}"
    except Exception as error:  # whatever it is, it should have been a ClipError
        return f"{type(error).__name__}: {error}"
    return "scored" if np.isfinite(scores).all() else f"the score {scores[0]}"


def mutate(data, rng):
    data = bytearray(data)
    for mutation in rng.choice(MUTATIONS, rng.integers(1, 3)):
        data = mutation(data, rng) if len(data) else data
    return data


def try_file(model, path):
    """Return what became of a file, and the seconds and MB that it took."""
    allowed = MOST_TIMES * declared_mb(path) + MOST_MB
    before, start = peak_mb(reset=True), time.process_time()
    result = complaint_of(model, path)
    seconds, taken = time.process_time() - start, peak_mb() - before
    if seconds > MOST_SECONDS or taken > allowed:
        result = f"{seconds:.1f} s, {taken:.0f} MB of {allowed:.0f} allowed, {result}"
    return result, seconds, taken


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="sklasd-fuzz-"))
    model = make_pipeline(LogMel(n_mels=16), StatisticsDetector("mean"))
    model.fit(0.1 * rng.standard_normal((40, 8000)))
    originals = write_originals(folder, rng)
    for name in originals:  # what is imported late counts for no file
        assert complaint_of(model, folder / name) == "scored", name
    results, slowest, most = Counter(), 0.0, 0.0
    for i in range(args.n):
        name = rng.choice(list(originals))
        path = folder / f"{i}-{name}"
        path.write_bytes(mutate(originals[name], rng))
        result, seconds, taken = try_file(model, path)
        slowest, most = max(slowest, seconds), max(most, taken)
        if result in {"scored", "refused"}:
            results[result] += 1
            path.unlink()
        else:
            results["bad"] += 1
            print(f"{path}: {result}")
    print(
        f"{args.n} files, seed {args.seed}: {results['scored']} scored, {results['refused']} "
        f"refused by name, {results['bad']} bad; at most {slowest:.2f} s and {most:.0f} MB"
    )
    if results["bad"]:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
