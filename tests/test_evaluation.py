"""What is measured of references and estimates in memory: the figures of others, permutations, silence, intervals."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from avsep.errors import InputError, UsageError
from avsep.evaluation import (
    Row,
    Scoring,
    Trial,
    bootstrap,
    bss,
    evaluate,
    make_trial,
    masks,
    perceptual,
    score,
    summarise,
)
from avsep.evaluation import figures as names
from avsep.evaluation.metrics import BOUND_DB

RATE = 8000
CHEAP = Scoring(groups=("si_sdr", "snr"))


def voices(count: int, seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    """Noise of different colours that comes and goes: (count, time)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    white = rng.standard_normal((count, len(time)))
    for n in range(count):
        white[n] = np.convolve(white[n], np.cos(np.arange(8) * (n + 1) * 0.9), "same")
        white[n] *= 0.6 + 0.4 * np.sin(2 * np.pi * ((n + 2) * time + rng.random()))
    return 0.05 * white


def leaky(sources: np.ndarray, leak: float = 0.2) -> np.ndarray:
    """Estimates with a share of the other voices and some noise."""
    noise = np.random.default_rng(9).standard_normal(sources.shape) * 0.002
    return sources + leak * (sources.sum(axis=0) - sources) + noise


def column(rows: list[Row], key: str, system: str = "estimate") -> list[float]:
    return [row.figures.get(key, math.nan) for row in rows if row.system == system]


# The figures


@pytest.mark.filterwarnings("ignore:mir_eval")
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.slow
def test_sdr_sir_sar_are_those_of_mir_eval(count: int) -> None:
    pytest.importorskip("fast_bss_eval")
    separation = pytest.importorskip("mir_eval.separation")  # the reference implementation, until it goes in 0.9
    sources = voices(count)
    estimates = leaky(sources)
    rows = score(make_trial(sources, estimates, sample_rate=RATE), Scoring(groups=("si_sdr", "sdr")))
    theirs = separation.bss_eval_sources(sources, estimates, compute_permutation=False)
    for key, expected in zip(("sdr", "sir", "sar"), theirs, strict=False):
        assert column(rows, key) == pytest.approx(expected, abs=1e-3)
    mixture = np.repeat(sources.sum(axis=0)[None], count, axis=0)
    before, *_ = separation.bss_eval_sources(sources, mixture, compute_permutation=False)
    assert column(rows, "sdri") == pytest.approx(theirs[0] - before, abs=1e-3)


@pytest.mark.slow
def test_more_threads_than_at_first_are_no_harm() -> None:
    """In a process of its own, where nothing has been solved yet."""
    pytest.importorskip("fast_bss_eval")
    code = (
        "import numpy as np, torch; from avsep.evaluation.bss import input_sdr, sdr_sir_sar\n"
        "torch.set_num_threads(1); torch.set_num_threads(4)\n"
        "x = np.random.default_rng(0).standard_normal((2, 4000)); print(sdr_sir_sar(x, x)[0].min() > 50)\n"
        "print(np.isfinite(input_sdr(x, x.sum(0))).all(), torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "4"], done.stderr


def test_isr_of_stereo_images_is_that_of_museval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bss, "FILTER", 64)  # the cost grows with its cube
    if importlib.util.find_spec("museval") is None:
        pytest.skip("museval is not installed")
    left, right = voices(2), voices(2, seed=1)
    sources = np.stack([left, 0.5 * left + 0.5 * right], axis=1)
    estimates = leaky(sources)
    rows = score(make_trial(sources, estimates, sample_rate=RATE), Scoring(groups=("si_sdr", "isr")))
    _, isr, *_ = bss.museval_metrics()["bss_eval"](
        sources.swapaxes(1, 2), estimates.swapaxes(1, 2), window=np.inf, filters_len=64
    )
    assert column(rows, "isr") == pytest.approx(isr[:, 0], abs=1e-3)
    with pytest.raises(InputError, match="the references have 2 and the estimates 1"):
        score(make_trial(sources, estimates[:, :1], sample_rate=RATE), Scoring(groups=("si_sdr", "isr")))


def test_one_source_has_no_sir() -> None:
    pytest.importorskip("fast_bss_eval")
    source = voices(1)
    noisy = source[0] + voices(1, seed=3)[0]
    rows = score(make_trial(source, leaky(source), noisy, sample_rate=RATE), Scoring(groups=("si_sdr", "sdr")))
    assert math.isnan(rows[0].figures["sir"])
    assert rows[0].figures["sdr"] > 15
    assert rows[0].own is None


def test_perfect_estimates_reach_the_bound() -> None:
    sources = voices(2)
    rows = score(make_trial(sources, 3 * sources, sample_rate=RATE), Scoring(groups=("si_sdr", "mask")))
    assert column(rows, "si_sdr") == [BOUND_DB, BOUND_DB]
    # The level is fitted to the mixture, which the other voice moves a little.
    assert column(rows, "mask_precision") == pytest.approx([1, 1], abs=0.01)
    assert column(rows, "mask_recall") == pytest.approx([1, 1], abs=0.01)


def test_improvement_counts_from_the_mixture() -> None:
    trial = make_trial(voices(2), leaky(voices(2)), sample_rate=RATE)
    for row in score(trial, Scoring(groups=("si_sdr", "snr"), oracles=("mixture",))):
        for key in ("si_sdr", "snr"):
            gained = row.figures[key] - row.figures[f"input_{key}"]
            assert row.figures[f"{key}i"] == pytest.approx(gained)
            assert row.system == "estimate" or gained == pytest.approx(0)


def test_masks_of_the_mixture_find_all_and_of_a_threshold_less() -> None:
    sources = voices(2)
    mixture = sources.sum(axis=0)
    precision, recall = masks.mask_precision_recall(mixture, sources[0], mixture, RATE)
    assert recall == 1
    assert 0.2 < precision < 0.8
    loose = masks.mask_precision_recall(leaky(sources)[0], sources[0], mixture, RATE)
    assert masks.mask_precision_recall(0.01 * leaky(sources)[0], sources[0], mixture, RATE) == pytest.approx(loose)
    assert masks.mask_precision_recall(leaky(sources)[0], sources[0], mixture, RATE, 6.0) != loose


def test_pesq_and_stoi() -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    source, other = voices(2, seconds=2.0)
    for rate in (RATE, 16000, 22050):
        assert perceptual.pesq(source, source, rate) > 4.4
        assert perceptual.pesq(source + other, source, rate) < 4
    assert perceptual.stoi(source, source, RATE, extended=False) == pytest.approx(1, abs=1e-6)
    assert perceptual.stoi(source + other, source, RATE, extended=True) < 0.9
    assert math.isnan(perceptual.stoi(source[:800], source[:800], RATE, extended=False))
    assert math.isnan(perceptual.pesq(source[:800], source[:800], RATE))


def test_oracles_stand_beside_the_estimates() -> None:
    trial = make_trial(voices(2), leaky(voices(2), 0.6), sample_rate=RATE)
    rows = score(trial, dataclasses.replace(CHEAP, oracles=masks.parse_oracles("all")))
    assert [row.system for row in rows[::2]] == ["estimate", "mixture", "IBM", "IRM", "WFM", "PSM", "binary"]
    mean = {row.system: np.mean(column(rows, "si_sdri", row.system)) for row in rows}
    assert mean["PSM"] > mean["IRM"] > 1
    assert mean["IBM"] == pytest.approx(mean["binary"])  # the same for two sources without noise


def test_names_of_figures_and_oracles_are_checked() -> None:
    assert names.parse_groups("stoi, snr") == ("si_sdr", "snr", "stoi")
    assert names.parse_groups("all") == names.GROUPS
    assert masks.parse_oracles("psm,irm") == ("IRM", "PSM")
    with pytest.raises(UsageError, match="metric is 'sisdr'; allowed are si_sdr, snr"):
        names.parse_groups("sisdr")
    with pytest.raises(UsageError, match="oracle is 'wiener'; allowed are mixture, IBM"):
        masks.parse_oracles("IRM,wiener")


def test_a_package_that_is_not_there_leaves_its_columns_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("pesq", "museval") else find(name))
    groups, notes = names.usable(("si_sdr", "isr", "pesq"))
    assert groups == ("si_sdr",)
    assert "ISR" in notes[0]
    assert "avsep[evaluate]" in notes[0]
    assert "avsep[pesq]" in notes[1]
    assert "C compiler" in notes[1]


# Whose is it


def test_any_permutation_of_the_estimates_scores_the_same() -> None:
    sources = voices(3)
    expected = column(score(make_trial(sources, leaky(sources), sample_rate=RATE), CHEAP), "si_sdri")
    for order in itertools.permutations(range(3)):
        rows = score(make_trial(sources, leaky(sources)[list(order)], sample_rate=RATE), CHEAP)
        assert column(rows, "si_sdri") == expected
        assert [row.estimate for row in rows] == [f"s{order.index(n) + 1}" for n in range(3)]
        assert all(row.own for row in rows)


def test_too_many_estimates_do_no_harm_and_too_few_count_as_the_mixture() -> None:
    sources = voices(2)
    more = np.concatenate([voices(1, seed=5), leaky(sources)])
    rows = score(make_trial(sources, more, sample_rate=RATE), CHEAP)
    assert [row.estimate for row in rows] == ["s2", "s3"]
    rows = score(make_trial(sources, leaky(sources)[1:], sample_rate=RATE), CHEAP)
    assert [row.status for row in rows] == ["missing", "separated"]
    assert summarise(rows)["own"] == 0.5
    assert rows[0].figures["si_sdri"] == 0
    none = np.zeros((0, sources.shape[1]))
    assert column(score(make_trial(sources, none, sample_rate=RATE), CHEAP), "si_sdri") == [0, 0]


def test_a_silent_estimate_counts_as_none() -> None:
    sources = voices(2)
    estimates = leaky(sources)
    estimates[1] = 0
    rows = score(make_trial(sources, estimates, sample_rate=RATE), CHEAP)
    assert [row.status for row in rows] == ["separated", "missing"]
    assert rows[1].figures["si_sdri"] == 0


def test_by_name_takes_the_name_and_tells_of_another_owner() -> None:
    sources = voices(2)
    swapped = make_trial(
        sources, leaky(sources), sample_rate=RATE, reference_names=("a", "b"), estimate_names=("b", "a")
    )
    rows = score(swapped, dataclasses.replace(CHEAP, match="name"))
    assert [row.estimate for row in rows] == ["a", "b"]
    assert [row.own for row in rows] == [False, False]
    assert max(column(rows, "si_sdri")) < -5
    assert summarise(rows)["own"] == 0
    strangers = dataclasses.replace(swapped, estimate_names=("x", "y"))
    with pytest.raises(UsageError, match="no estimate is named like a reference: estimates x, y; references a, b"):
        score(strangers, dataclasses.replace(CHEAP, match="name"))


def test_by_face_takes_the_nearest_and_none_from_the_other_side() -> None:
    sources = voices(2)
    trial = dataclasses.replace(
        make_trial(sources, leaky(sources), sample_rate=RATE),
        reference_places=(0.25, 0.75),
        estimate_places=(0.7, 0.2),
    )
    by_face = dataclasses.replace(CHEAP, match="face")
    assert [row.estimate for row in score(trial, by_face)] == ["s2", "s1"]
    one_side = dataclasses.replace(trial, estimate_places=(0.2, 0.3))
    rows = score(one_side, by_face)
    assert sorted(row.status for row in rows) == ["missing", "separated"]
    with pytest.raises(UsageError, match="where the references' faces are is not known"):
        score(dataclasses.replace(trial, reference_places=()), by_face)


# Silence


def test_a_silent_reference_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bss, "FILTER", 64)
    sources = voices(3)
    sources[1] = 0
    estimates = leaky(sources)
    estimates[1] = 0.01 * sources.sum(axis=0)
    scoring = Scoring(groups=tuple(g for g in names.usable(names.GROUPS)[0] if g != "pesq"), oracles=("IRM",))
    for order in itertools.permutations(range(3)):
        rows = score(make_trial(sources, estimates[list(order)], sample_rate=RATE), scoring)
        silent = rows[1]
        assert silent.status == "silent"
        assert silent.figures == {"attenuation": pytest.approx(40)}
    summary = summarise(rows)
    assert summary["silent_references"] == 1
    estimate = summary["systems"]["estimate"]
    assert estimate["attenuation"]["n"] == 1
    assert estimate["si_sdr"]["n"] == 2
    assert all(math.isfinite(found["mean"]) for found in estimate.values())
    alone = score(make_trial(sources[[0, 2]], leaky(sources)[[0, 2]], sample_rate=RATE), CHEAP)
    assert estimate["si_sdr"]["mean"] == pytest.approx(summarise(alone)["systems"]["estimate"]["si_sdr"]["mean"])


def test_silence_everywhere_gives_no_figure_and_no_error() -> None:
    nothing = np.zeros((2, 4000))
    rows = score(make_trial(nothing, nothing, sample_rate=RATE), Scoring(oracles=("IRM", "IBM")))
    assert all(row.status == "silent" for row in rows)
    assert summarise(rows)["systems"]["estimate"] == {}


# Summary


def rows_of(table: dict[str, list[float]]) -> list[Row]:
    return [
        Row(mixture, f"s{n}", "estimate", "", "separated", 1.0, RATE, figures={"si_sdri": value})
        for mixture, values in table.items()
        for n, value in enumerate(values)
    ]


def test_statistics_by_hand() -> None:
    summary = summarise(rows_of({"a": [1.0, 2.0], "b": [3.0, 10.0], "c": [math.nan]}))
    found = summary["systems"]["estimate"]["si_sdri"]
    assert (found["mean"], found["median"], found["n"]) == (4.0, 2.5, 4)
    assert found["standard_deviation"] == pytest.approx(np.std([1, 2, 3, 10], ddof=1))
    low, high = found["ci95"]
    assert 1.5 <= low < 4 < high <= 6.5  # the means of mixtures a and b


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        shared = np.repeat(rng.normal(5, 2, 40), 2)  # two sources of a mixture go together
        low, high = bootstrap(shared + rng.normal(0, 0.5, 80), [str(n // 2) for n in range(80)], trial)
        covered += low < 5 < high
    assert 0.90 <= covered / 200 <= 0.985


def test_the_interval_is_seeded_and_counts_mixtures() -> None:
    values = list(np.random.default_rng(1).normal(0, 1, 40))
    pairs = [str(n // 2) for n in range(40)]
    assert bootstrap(values, pairs, 3) == bootstrap(values, pairs, 3)
    assert bootstrap(values, pairs, 3) != bootstrap(values, pairs, 4)
    assert bootstrap(values, ["one"] * 40) is None


# All trials


@dataclasses.dataclass(frozen=True)
class Ready:
    """A trial that is in memory already."""

    trial: Trial
    portable: bool = True

    @property
    def id(self) -> str:
        return self.trial.id

    @property
    def seconds(self) -> float:
        return self.trial.seconds

    def load(self) -> Trial:
        return self.trial


def ready(count: int) -> list[Ready]:
    sources = [voices(2, seed=n) for n in range(count)]
    return [Ready(make_trial(s, leaky(s), sample_rate=RATE, id=f"{n:03d}")) for n, s in enumerate(sources)]


def test_progress_counts_seconds() -> None:
    seen = []
    outcome = evaluate(ready(3), CHEAP, progress=lambda *state: seen.append(state))
    assert seen == [("evaluation", 0.5, 1.5), ("evaluation", 1.0, 1.5), ("evaluation", 1.5, 1.5)]
    assert [row.mixture for row in outcome.rows] == ["000", "000", "001", "001", "002", "002"]


@pytest.mark.slow
def test_several_processes_give_the_same_rows() -> None:
    scoring = Scoring(groups=("si_sdr", "mask"), oracles=("IRM",))
    alone = evaluate(ready(5), scoring).rows
    together = evaluate(ready(5), scoring, jobs=2).rows
    assert [dataclasses.replace(row, figures={}) for row in together] == [
        dataclasses.replace(row, figures={}) for row in alone
    ]
    for mine, theirs in zip(alone, together, strict=True):
        assert mine.figures == pytest.approx(theirs.figures, rel=1e-6)
