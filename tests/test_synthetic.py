"""Synthetic machines: faults are where the table says, seeds hold, loudness tells nothing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal
from sklearn.metrics import roc_auc_score

from sklasd.datasets._dcase import load_dcase
from sklasd.datasets.synthetic import _machine_sounds as sounds
from sklasd.datasets.synthetic._machine_clips import MACHINE_FAULTS, make_machine_clips
from sklasd.datasets.synthetic._machine_run import OperatingPoint
from sklasd.datasets.synthetic._studio import build_machine

RATE = 16000
PAIRS = [(machine, fault) for machine, faults in MACHINE_FAULTS.items() for fault in faults]
SMALL = {"n_train": 2, "n_test": 1, "n_anomalies": 2, "duration": 1.0, "random_state": 0}


def make_anomalies(machine, fault=None, n_anomalies=3, **options):
    """Make anomalous clips only."""
    options = {"duration": 2.0, "random_state": 3} | options
    faults = None if fault is None else [fault]
    return make_machine_clips(
        machine, n_train=0, n_test=0, n_anomalies=n_anomalies, faults=faults, **options
    )


def make_differences(machine, fault, **options):
    """Anomalous clips minus the same clips without the fault, and the clip table."""
    faulty = make_anomalies(machine, fault, **options)
    healthy = make_anomalies(machine, fault, **options | {"severity": 0.0})
    return faulty.waveforms - healthy.waveforms, faulty.table


def spectrogram(wave):
    """Energy over frequency and time, with windows of 64 ms, and the axes in Hz and s."""
    stft = signal.ShortTimeFFT(signal.windows.hann(1024, sym=False), 256, RATE)
    return stft.spectrogram(wave), stft.f, stft.t(wave.size)


def covered(regions, frequencies, times):
    """Which cells of a spectrogram lie in one of the boxes."""
    mask = np.zeros((frequencies.size, times.size), dtype=bool)
    for t0, t1, f0, f1 in regions:
        rows = (frequencies >= f0) & (frequencies <= f1)
        mask |= rows[:, None] & (times >= t0) & (times <= t1)
    return mask


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINE_FAULTS)
def test_waveforms_and_table_belong_together(machine):
    waveforms, table = make_machine_clips(machine, n_sections=2, **SMALL)
    assert waveforms.shape == (10, RATE)
    assert waveforms.dtype == np.float32
    assert np.isfinite(waveforms).all()
    assert list(table.columns) == [
        *("machine", "section", "domain", "split", "label", "attributes", "year"),
        *("fault", "severity", "regions"),
    ]
    assert table["section"].tolist() == ["00"] * 5 + ["01"] * 5
    assert table["split"].tolist() == (["train"] * 2 + ["test"] * 3) * 2
    assert table["label"].tolist() == [1, 1, 1, -1, -1] * 2
    assert table["attributes"].str.fullmatch(r"speed_\d+_load_[123]_noise_[AB]").all()


def test_faults_take_turns_and_only_anomalies_have_them():
    table = make_machine_clips("fan", **SMALL | {"n_anomalies": 5}).table
    names = MACHINE_FAULTS["fan"]
    assert table["fault"].tolist() == [None] * 3 + [*names, names[0]]
    assert [len(boxes) > 0 for boxes in table["regions"]] == [False] * 3 + [True] * 5
    assert table["severity"].tolist() == [0.0] * 3 + [1.0] * 5


@pytest.mark.parametrize("share", [0.0, 0.29, 1.0])
def test_target_share(share):
    table = make_anomalies("slider", n_anomalies=100, target_share=share, duration=1.0).table
    is_target = table["domain"] == "target"
    assert is_target.sum() == round(100 * share)
    # Neither domain may be without one of the faults.
    n_faults = table.groupby("domain")["fault"].nunique()
    assert (n_faults == 2).all()
    noise = table["attributes"].str[-1]
    assert (noise == np.where(is_target, "B", "A")).all()


def test_no_clips_at_all():
    waveforms, table = make_anomalies("fan", n_anomalies=0, duration=1.0)
    assert waveforms.shape == (0, RATE)
    assert len(table) == 0


# --- where the fault is --------------------------------------------------------------------------


@pytest.mark.parametrize(("machine", "fault"), PAIRS)
def test_boxes_hold_the_fault(machine, fault):
    differences, table = make_differences(machine, fault, n_sections=2)
    for difference, regions in zip(differences, table["regions"], strict=True):
        power, frequencies, times = spectrogram(difference)
        inside = covered(regions, frequencies, times)
        assert power[inside].sum() >= 0.8 * power.sum()
        in_clip = (times >= 0) & (times <= 2.0)
        assert inside[:, in_clip].mean() <= 0.4


@pytest.mark.parametrize(("machine", "fault"), PAIRS)
def test_boxes_lie_within_the_clip(machine, fault):
    for regions in make_anomalies(machine, fault, duration=1.0).table["regions"]:
        t0, t1, f0, f1 = np.transpose(regions)
        assert (t0 >= 0).all()
        assert (t0 < t1).all()
        assert (t1 <= 1.0).all()
        assert (f0 >= 0).all()
        assert (f0 < f1).all()
        assert (f1 <= RATE / 2).all()


@pytest.mark.parametrize(("machine", "fault"), PAIRS)
def test_fault_grows_with_severity(machine, fault):
    energies = [
        np.mean(make_differences(machine, fault, severity=severity, duration=4.0)[0] ** 2)
        for severity in (0.5, 2.0, 8.0)
    ]
    assert energies[0] < energies[1] < energies[2]
    if fault != "stuck_valve":  # of which more strokes stick, rather than any being louder
        assert energies[1] == pytest.approx(16 * energies[0], rel=0.15)


@pytest.mark.parametrize("machine", MACHINE_FAULTS)
def test_severity_0_is_healthy(machine):
    clips = make_anomalies(machine, severity=0.0, n_anomalies=2)
    assert (clips.table["label"] == -1).all()
    assert clips.table["regions"].tolist() == [[], []]
    for fault in MACHINE_FAULTS[machine]:
        assert_array_equal(
            make_anomalies(machine, fault, severity=0.0, n_anomalies=2).waveforms, clips.waveforms
        )


def test_imbalance_sounds_at_the_turning_frequency():
    differences, table = make_differences("fan", "imbalance", duration=4.0)
    peaks = np.abs(np.fft.rfft(differences)).argmax(axis=1) / 4.0
    per_minute = table["attributes"].str.extract(r"speed_(\d+)_", expand=False).astype(float)
    # Speeds are a little off (1 % on average) and drift.
    assert_allclose(peaks, per_minute / 60, rtol=0.04)


def test_bearing_defect_repeats_at_the_ball_pass_frequency():
    rotor = build_machine("bearing", np.random.default_rng(1))
    run = rotor.run(OperatingPoint(1.0, 1, "A"), 4 * RATE, RATE, np.random.default_rng(2))
    fault = run.bearing_defect(1.0, np.random.default_rng(3))
    envelope = np.abs(signal.hilbert(fault.sound))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    expected = run.speed * rotor.ball_passes
    assert spectrum[: round(1.5 * expected * 4)].argmax() / 4 == pytest.approx(expected, rel=0.02)


def test_missing_tooth_slams_once_per_turn_of_the_wheel():
    rotor = build_machine("gearbox", np.random.default_rng(1))
    run = rotor.run(OperatingPoint(1.0, 1, "A"), 4 * RATE, RATE, np.random.default_rng(2))
    slams = [
        box for box in run.missing_tooth(1.0, np.random.default_rng(3)).regions if box[2] > 2e3
    ]
    assert len(slams) == pytest.approx(4 * run.speed / rotor.ratio, abs=1)


def test_stuck_valve_takes_strokes_away():
    healthy = make_anomalies("valve", "stuck_valve", severity=0.0)
    stuck = make_anomalies("valve", "stuck_valve", severity=3.0)
    assert (np.square(stuck.waveforms).sum(1) < np.square(healthy.waveforms).sum(1)).all()


# --- how hard it is ------------------------------------------------------------------------------


def test_loudness_does_not_tell_most_faults():
    aucs = {}
    for machine in ("fan", "gearbox", "valve"):
        faults = MACHINE_FAULTS[machine]
        waveforms, table = make_machine_clips(
            machine,
            n_train=0,
            n_test=60,
            n_anomalies=60 * len(faults),
            duration=2.0,
            random_state=0,
        )
        loudness = np.square(waveforms).mean(axis=1)
        for fault in faults:
            rows = (table["label"] == 1) | (table["fault"] == fault)
            aucs[fault] = roc_auc_score(table["label"][rows] == -1, loudness[rows])
    assert len(aucs) == 7
    assert sum(abs(auc - 0.5) <= 0.12 for auc in aucs.values()) >= 4, aucs


def test_no_two_normal_clips_are_alike():
    waveforms, table = make_machine_clips(
        "pump", n_train=40, n_test=0, n_anomalies=0, duration=1.0, random_state=0
    )
    assert np.abs(np.corrcoef(waveforms) - np.eye(40)).max() < 0.9
    decibels = 10 * np.log10(np.square(waveforms).mean(axis=1))
    assert decibels.std() > 1.0
    assert table["attributes"].nunique() > 3


def test_sections_are_machines_of_their_own():
    table = make_machine_clips(
        "gearbox", n_train=10, n_test=0, n_anomalies=0, n_sections=3, duration=1.0, random_state=0
    ).table
    speeds = table.groupby("section")["attributes"].agg(
        lambda names: {n.split("_")[1] for n in names}
    )
    assert not set.intersection(*speeds)


def test_extreme_faults_do_not_clip():
    waveforms = make_anomalies("fan", severity=300.0).waveforms
    assert 0.9 < np.abs(waveforms).max() < 1.0


# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINE_FAULTS)
def test_same_seed_same_clips(machine):
    first, second = (make_machine_clips(machine, **SMALL) for _ in range(2))
    assert_array_equal(first.waveforms, second.waveforms)
    assert first.table.equals(second.table)
    other = make_machine_clips(machine, **SMALL | {"random_state": 1})
    assert not np.isclose(first.waveforms, other.waveforms).all(axis=1).any()


def test_random_state_and_none_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (
        make_machine_clips("fan", **SMALL | {"random_state": np.random.RandomState(7)})
        for _ in range(2)
    )
    assert_array_equal(first.waveforms, second.waveforms)
    unseeded = [make_machine_clips("fan", **SMALL | {"random_state": None}) for _ in range(2)]
    assert not np.array_equal(unseeded[0].waveforms, unseeded[1].waveforms)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_clip_does_not_depend_on_how_many_there_are():
    few = make_machine_clips("slider", target_share=0.5, **SMALL)
    many = make_machine_clips(
        "slider",
        target_share=0.5,
        n_sections=2,
        **SMALL | {"n_train": 5, "n_test": 4, "n_anomalies": 7},
    )
    assert_array_equal(many.waveforms[[0, 1, 5, 9, 10]], few.waveforms)
    assert many.table["attributes"][[0, 1, 5, 9, 10]].tolist() == few.table["attributes"].tolist()


def test_machines_sound_alike_at_other_sample_rates():
    low, high = (make_anomalies("fan", sample_rate=rate) for rate in (16000, 48000))
    assert high.waveforms.shape == (3, 96000)
    levels = [10 * np.log10(np.square(clips.waveforms).mean()) for clips in (low, high)]
    assert levels[0] == pytest.approx(levels[1], abs=1.5)


# --- files ---------------------------------------------------------------------------------------

NAMES = {
    2020: ("train/normal_id_00_0000000{}.wav", "test/anomaly_id_00_0000000{}.wav"),
    2021: (
        "train/section_00_source_train_normal_000{}_speed_*.wav",
        "source_test/section_00_source_test_anomaly_000{}.wav",
    ),
    2022: (
        "train/section_00_source_train_normal_000{}_speed_*.wav",
        "test/section_00_source_test_anomaly_000{}_speed_*.wav",
    ),
}


@pytest.mark.parametrize("year", range(2020, 2027))
def test_layout_of_each_year(tmp_path, year):
    waveforms, table = make_machine_clips("fan", root=tmp_path, year=year, **SMALL)
    for pattern in NAMES[min(year, 2022)]:
        for number in range(2):
            assert len(list(tmp_path.glob("fan/" + pattern.format(number)))) == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5 + (year >= 2022)
    for path, wave in zip(table["path"], waveforms, strict=True):
        info = soundfile.info(path)
        assert (info.subtype, info.samplerate) == ("PCM_16", RATE)
        assert info.channels == (2 if year == 2026 else 1)
        read = soundfile.read(path, always_2d=True)[0]
        assert_allclose(read[:, 0], wave, atol=0.51 / 2**15)


def test_target_clips_have_files_of_their_own(tmp_path):
    table = make_machine_clips("fan", root=tmp_path, year=2021, target_share=0.5, **SMALL).table
    folders = {Path(path).parent.name for path in table["path"]}
    assert folders == {"train", "source_test", "target_test"}
    told = ["target" if "_target_" in Path(path).name else "source" for path in table["path"]]
    assert told == table["domain"].tolist()


@pytest.mark.parametrize("year", range(2020, 2027))
def test_loader_reads_what_was_written(tmp_path, year):
    options = {} if year == 2020 else {"target_share": 0.5}
    options |= {"n_supplemental": 2} if year >= 2025 else {}
    made = make_machine_clips(
        "valve", root=tmp_path, year=year, n_sections=2, **options, **SMALL
    ).table.sort_values("path", ignore_index=True)
    read = load_dcase(tmp_path, year=year).sort_values("path", ignore_index=True)
    named = [column for column in ("path", "machine", "section", "split") if column in read]
    assert read[named].equals(made[named])
    assert read["label"].tolist() == made["label"].tolist()
    if year >= 2022:
        assert read["attributes"].tolist() == made["attributes"].tolist()


def test_attribute_file(tmp_path):
    table = make_machine_clips("pump", root=tmp_path, year=2023, **SMALL).table
    header, *lines = (tmp_path / "pump" / "attributes_00.csv").read_text().splitlines()
    assert header == "file_name,d1p,d1v,d2p,d2v,d3p,d3v"
    assert len(lines) == len(table)
    assert re.fullmatch(
        r"pump/train/section_00_source_train_normal_0000_speed_(\d+)_load_(\d)_noise_A.wav,"
        r"speed,\1,load,\2,noise,A",
        lines[0],
    )


def test_supplemental_clips_hold_noise_alone(tmp_path):
    waveforms, table = make_machine_clips(
        "fan", root=tmp_path, year=2025, n_supplemental=2, **SMALL
    )
    is_noise = table["split"] == "supplemental"
    assert is_noise.sum() == 2
    assert len(list(tmp_path.glob("fan/supplemental/*noise*.wav"))) == 2
    energy = np.square(waveforms).mean(axis=1)
    assert energy[is_noise].max() < energy[~is_noise].min()


def test_stereo_has_the_machine_in_front_of_the_near_microphone(tmp_path):
    table = make_machine_clips("fan", root=tmp_path, year=2026, **SMALL).table
    near, far = soundfile.read(table["path"][0])[0].T
    assert np.square(far).mean() < 0.6 * np.square(near).mean()
    lags = signal.correlation_lags(RATE, RATE)
    assert lags[signal.correlate(far, near).argmax()] == pytest.approx(96, abs=2)


def test_files_are_never_overwritten(tmp_path):
    table = make_machine_clips("fan", root=tmp_path, **SMALL).table
    before = Path(table["path"][3]).read_bytes()
    with pytest.raises(FileExistsError, match=r"5 of the files.*00000000\.wav'; remove them"):
        make_machine_clips("fan", root=tmp_path, **SMALL | {"random_state": 1})
    assert Path(table["path"][3]).read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"machine": "tuba"}, r"'machine' parameter .* among \{.*'valve'.*'tuba'"),
        ({"faults": ["leak"]}, r"machine='fan' cannot have \['leak'\]; choose among .*'rubbing'"),
        ({"faults": []}, r"faults=\[\], expected at least one of"),
        ({"severity": -1.0}, r"'severity' parameter .* \[0.0, inf\).* Got -1.0"),
        ({"severity": np.nan}, "'severity' parameter"),
        ({"n_train": -1}, "'n_train' parameter"),
        ({"target_share": 1.5}, "'target_share' parameter"),
        ({"duration": 0.5}, r"duration=0\.5 s, expected at least 1\.0 s.*longer"),
        ({"sample_rate": 8000}, r"sample_rate=8000 Hz, expected at least 16000 Hz.*resample"),
        ({"year": 2019}, "'year' parameter"),
        ({"root": "x", "target_share": 0.5}, r"year=2020.*no domains; pass year=2021"),
        ({"root": "x", "year": 2024, "n_supplemental": 1}, "pass year=2025 or later"),
        ({"random_state": "x"}, "'random_state' parameter"),
    ],
)
def test_errors_say_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        make_machine_clips(**options)


# --- parts ---------------------------------------------------------------------------------------


def test_turning_is_as_fast_as_told():
    turns = sounds.Sounds(10 * RATE, RATE).turning(25.0, np.random.default_rng(0))
    speed = np.diff(turns) * RATE
    assert_allclose(speed, 25.0, rtol=0.005)
    assert np.ptp(speed) > 0.01


def test_tone_has_the_orders_it_is_told():
    turns = 50.0 * np.arange(RATE) / RATE
    wave = sounds.tone(turns, np.array([0.0, 1.0, 0.0, 0.5]), np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(wave)) / (RATE / 2)
    assert_allclose(spectrum[[50, 100, 150]], [1.0, 0.0, 0.5], atol=1e-3)


def test_tone_does_not_fold_back():
    turns = 50.0 * np.arange(RATE) / RATE
    wave = sounds.tone(turns, np.eye(200)[170], np.random.default_rng(0))
    assert_array_equal(wave, 0.0)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_noise_has_its_band_and_colour(slope):
    clip = sounds.Sounds(10 * RATE, RATE)
    wave = clip.noise((500.0, 4000.0), np.random.default_rng(0), slope)
    assert np.mean(wave**2) == pytest.approx(1.0, rel=0.1)
    frequencies, power = signal.welch(wave, RATE, nperseg=1024)
    in_band = (frequencies > 450) & (frequencies < 4400)
    assert power[in_band].sum() > 0.95 * power.sum()
    octave = power[np.searchsorted(frequencies, [1000, 2000])]
    assert octave[0] / octave[1] == pytest.approx(2.0**slope, rel=0.25)


def test_ringing_stays_in_its_band():
    clip = sounds.Sounds(RATE, RATE)
    wave = clip.ringing(np.array([0.5, 9.0]), np.ones(2), (3000.0, 1e-3))
    assert np.abs(wave).max() == pytest.approx(0.9, abs=0.1)
    assert_array_equal(wave[: RATE // 2], 0.0)
    power = np.square(np.abs(np.fft.rfft(wave)))
    low, high = sounds.resonance_band((3000.0, 1e-3))
    assert power[int(low) : int(high) + 1].sum() > 0.85 * power.sum()
