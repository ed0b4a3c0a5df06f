"""Invariants of the losses of waveforms."""

import itertools

import pytest
import torch

from avsep.errors import UsageError
from avsep.losses import (
    FixedOrder,
    MixIT,
    NegativeSiSnr,
    NegativeSnr,
    OnWaveforms,
    PermutationInvariant,
    TargetSpeaker,
    best_assignment,
    si_snr_loss,
    snr_loss,
)

PAIRWISE = [NegativeSnr(), NegativeSiSnr(), NegativeSiSnr(floor_db=30), TargetSpeaker(frame=100)]
IN_ANY_ORDER = [PermutationInvariant(pairwise) for pairwise in PAIRWISE] + [MixIT(), OnWaveforms()]
WAVEFORM = [*IN_ANY_ORDER, *(FixedOrder(pairwise) for pairwise in PAIRWISE)]


def name(loss):
    return type(loss).__name__ + type(getattr(loss, "pairwise", None)).__name__


@pytest.fixture
def speech():
    """(batch, sources, time); noise in place of voices."""
    torch.manual_seed(0)
    return torch.randn(3, 2, 800)


@pytest.fixture
def estimates(speech):
    return speech + 0.3 * torch.randn_like(speech)


@pytest.mark.parametrize("loss", IN_ANY_ORDER, ids=name)
def test_any_permutation_gives_the_same_loss(speech, estimates, loss):
    mixture = speech.sum(1)
    torch.testing.assert_close(loss(estimates, speech, mixture), loss(estimates.flip(1), speech, mixture))


@pytest.mark.parametrize("loss", WAVEFORM, ids=name)
def test_better_estimates_have_less_loss(speech, estimates, loss):
    mixture = speech.sum(1)
    worse = 3 * (estimates - speech) + speech
    assert (loss(estimates, speech, mixture) < loss(worse, speech, mixture)).all()
    assert (loss(speech, speech, mixture) < loss(estimates, speech, mixture)).all()


@pytest.mark.parametrize(
    ("pairwise", "bound"),
    [(NegativeSnr(), -30), (NegativeSnr(floor_db=20), -20), (NegativeSiSnr(), -80), (NegativeSiSnr(floor_db=30), -30)],
)
def test_a_perfect_estimate_gives_the_bound(speech, pairwise, bound):
    for loss in (PermutationInvariant(pairwise), FixedOrder(pairwise)):
        torch.testing.assert_close(
            loss(speech, speech, speech.sum(1)), torch.full((3,), float(bound)), atol=0.05, rtol=0
        )
    assert PermutationInvariant()(speech, speech, speech.sum(1)) == pytest.approx([-30] * 3, abs=1e-3)


def test_the_worst_estimate_gives_the_upper_bound_of_si_snr():
    source = torch.tensor([1.0, -1, 1, -1])
    assert si_snr_loss(torch.tensor([1.0, 1, -1, -1]), source, source) == pytest.approx(80, abs=1e-3)


def test_the_mixture_as_estimate_gives_the_ratio_of_the_powers():
    torch.manual_seed(0)
    source, other = torch.randn(8000), torch.randn(8000)
    loss = snr_loss(source + other, source, source + other)
    assert loss == pytest.approx(10 * torch.log10((other**2).sum() / (source**2).sum() + 1e-3).item(), abs=1e-3)


@pytest.mark.parametrize("loss", WAVEFORM, ids=name)
def test_level_of_everything_changes_nothing(speech, estimates, loss):
    mixture = speech.sum(1)
    scaled = loss(0.01 * estimates, 0.01 * speech, 0.01 * mixture)
    torch.testing.assert_close(loss(estimates, speech, mixture), scaled, atol=1e-3, rtol=0)


def test_level_and_offset_of_an_estimate_change_nothing_for_si_snr(speech, estimates):
    mixture = speech.sum(1, keepdim=True)
    loss = si_snr_loss(estimates, speech, mixture)
    for changed in (1e-4 * estimates, 50 * estimates, -estimates, estimates + 3):
        torch.testing.assert_close(si_snr_loss(changed, speech, mixture), loss, atol=1e-3, rtol=0)
    assert (snr_loss(0.1 * estimates, speech, mixture) > snr_loss(estimates, speech, mixture)).all()


@pytest.mark.parametrize("loss", WAVEFORM, ids=name)
@pytest.mark.parametrize("silent", ["source", "item", "estimates", "mixture"])
def test_silence_gives_no_nan(speech, estimates, loss, silent):
    sources, estimates = speech.clone(), estimates.clone()
    if silent == "source":
        sources[:, 1] = 0
    if silent in ("item", "mixture"):
        sources[0] = 0
    if silent in ("item", "estimates"):
        estimates[0] = 0
    estimates.requires_grad_()
    values = loss(estimates, sources, sources.sum(1))
    values.sum().backward()
    assert values.isfinite().all()
    assert estimates.grad.isfinite().all()


@pytest.mark.parametrize("pairwise", PAIRWISE, ids=name)
def test_a_silent_source_asks_for_silence(speech, estimates, pairwise):
    sources, quiet = speech.clone(), estimates.clone()
    sources[:, 1] = 0
    quiet[:, 1] *= 0.1
    for loss in (PermutationInvariant(pairwise), FixedOrder(pairwise)):
        assert (loss(quiet, sources, sources.sum(1)) < loss(estimates, sources, sources.sum(1)) - 3).all()


def test_an_inactive_source_is_held_against_the_mixture(speech):
    mixture, silence = speech.sum(1), torch.zeros(3, 800)
    for loss in (snr_loss, si_snr_loss):
        assert loss(0.5 * mixture, silence, mixture) == pytest.approx([-5.85] * 3, abs=0.01)  # 10 log10(1/4 + 1/100)
        assert loss(silence, silence, mixture) == pytest.approx([-20] * 3, abs=1e-3)


@pytest.mark.parametrize(("estimates", "count"), [(2, 2), (3, 3), (4, 4), (5, 5), (3, 2), (5, 3), (5, 1)])
def test_hungarian_equals_exhaustive(estimates, count):
    losses = torch.randn(20, estimates, count, generator=torch.Generator().manual_seed(count))
    hungarian, exhaustive = best_assignment(losses, exhaustive_to=1), best_assignment(losses, exhaustive_to=5)
    assert torch.equal(hungarian, exhaustive)
    index = torch.arange(count)
    sums = [losses[:, list(order), index].sum(1) for order in itertools.permutations(range(estimates), count)]
    torch.testing.assert_close(losses.gather(1, hungarian.unsqueeze(1)).sum((1, 2)), torch.stack(sums).amin(0))


def test_six_sources_are_found_again():
    torch.manual_seed(0)
    sources = torch.randn(2, 6, 400)
    order = torch.randperm(6)
    losses = PermutationInvariant(NegativeSiSnr())(sources[:, order], sources, sources.sum(1))
    assert losses == pytest.approx([-80] * 2, abs=0.05)
    pairs = snr_loss(sources[:, order].unsqueeze(2), sources.unsqueeze(1), sources.sum(1)[:, None, None])
    assert torch.equal(order[best_assignment(pairs)], torch.arange(6).expand(2, -1))


@pytest.mark.parametrize("exhaustive_to", [1, 3])
def test_a_loss_that_is_no_number_stays_none(speech, estimates, exhaustive_to):
    estimates[1, 0, 5] = float("nan")
    losses = PermutationInvariant(exhaustive_to=exhaustive_to)(estimates, speech, speech.sum(1))
    assert losses.isnan().tolist() == [False, True, False]


def test_estimates_left_over_are_held_against_silence(speech, estimates):
    mixture, loss = speech.sum(1), PermutationInvariant()
    more = torch.cat([0.1 * mixture.unsqueeze(1), estimates], 1)
    leftover = snr_loss(0.1 * mixture, torch.zeros_like(mixture), mixture)
    torch.testing.assert_close(loss(more, speech, mixture), (2 * loss(estimates, speech, mixture) + leftover) / 3)


def test_sources_left_over_are_held_against_silent_estimates(speech):
    loss = PermutationInvariant()(speech[:, 1:], speech, speech.sum(1))
    assert loss == pytest.approx([(-30 + 0.004) / 2] * 3, abs=0.01)


def test_the_fixed_order_is_kept(speech):
    loss, mixture = FixedOrder(), speech.sum(1)
    torch.testing.assert_close(loss(speech, speech, mixture), torch.full((3,), -30.0), atol=1e-3, rtol=0)
    assert (loss(speech.flip(1), speech, mixture) > 0).all()
    torch.testing.assert_close(
        loss(speech.flip(1), speech, mixture), snr_loss(speech.flip(1), speech, mixture.unsqueeze(1)).mean(1)
    )


def test_si_snr_agrees_with_torchmetrics_and_fast_bss_eval(speech, estimates):
    ours = -si_snr_loss(estimates, speech, speech.sum(1, keepdim=True))
    metrics = pytest.importorskip("torchmetrics.functional.audio")
    torch.testing.assert_close(ours, metrics.scale_invariant_signal_noise_ratio(estimates, speech), atol=1e-3, rtol=0)
    bss = pytest.importorskip("fast_bss_eval")
    theirs = bss.si_sdr_loss(estimates, speech, zero_mean=True)
    torch.testing.assert_close(-ours, theirs, atol=1e-3, rtol=0)
    best = bss.si_sdr_pit_loss(estimates.flip(1), speech, zero_mean=True).mean(1)
    pit = PermutationInvariant(NegativeSiSnr())(estimates.flip(1), speech, speech.sum(1))
    torch.testing.assert_close(pit, best, atol=1e-3, rtol=0)


def test_snr_agrees_with_torchmetrics_below_the_floor(speech, estimates):
    metrics = pytest.importorskip("torchmetrics.functional.audio")
    ours = snr_loss(estimates, speech, speech.sum(1, keepdim=True), floor_db=90)
    torch.testing.assert_close(-ours, metrics.signal_noise_ratio(estimates, speech), atol=1e-3, rtol=0)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_mixit_equals_brute_force(speech, count):
    mixture = speech.sum(1)
    estimates = torch.randn(3, count, 800)
    estimates[:, 0] += speech[:, 1]
    values = []
    for owners in itertools.product((0, 1), repeat=count):
        matrix = torch.tensor([[float(owner == row) for owner in owners] for row in (0, 1)])
        values.append(snr_loss(matrix @ estimates, speech, mixture.unsqueeze(1)).mean(1))
    torch.testing.assert_close(MixIT()(estimates, speech, mixture), torch.stack(values).amin(0))


def test_mixit_needs_no_separated_sources():
    torch.manual_seed(0)
    sources = torch.randn(2, 4, 800)
    mixtures = torch.stack([sources[:, [0, 3]].sum(1), sources[:, [1, 2]].sum(1)], 1)
    assert MixIT()(sources, mixtures, sources.sum(1)) == pytest.approx([-30] * 2, abs=1e-3)


def test_mixit_hands_gradients_to_every_estimate(speech):
    estimates = torch.randn(3, 4, 800, requires_grad=True)
    MixIT()(estimates, speech, speech.sum(1)).sum().backward()
    assert (estimates.grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("loss", WAVEFORM, ids=name)
def test_half_precision_is_computed_in_float32(speech, estimates, loss):
    mixture = speech.sum(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(estimates, speech, mixture)
    torch.testing.assert_close(inside, loss(estimates, speech, mixture))
    halves = loss(estimates.bfloat16(), speech, mixture)
    assert halves.dtype == torch.float32
    torch.testing.assert_close(halves, loss(estimates, speech, mixture), atol=0.1, rtol=0)


def test_shapes_that_do_not_fit(speech):
    for sources, mixture in [(speech[:, :, :-1], speech.sum(1)), (speech, speech.sum(1)[:, :-1]), (speech, speech)]:
        for loss in (PermutationInvariant(), FixedOrder(), MixIT()):
            with pytest.raises(ValueError, match=r"expected \(batch, estimates, time\), \(batch, sources, time\)"):
                loss(speech, sources, mixture)
    with pytest.raises(ValueError, match="1 estimates for 2 sources; in a fixed order each has its own"):
        FixedOrder()(speech[:, :1], speech, speech.sum(1))
    with pytest.raises(ValueError, match=r"shape \(3, 2, 800\), expected \(batch, estimates, sources\)"):
        best_assignment(speech)


def test_settings_that_make_no_sense(speech):
    with pytest.raises(UsageError, match="11 estimates are too many, at most 10"):
        MixIT()(torch.zeros(3, 11, 800), speech, speech.sum(1))
    with pytest.raises(UsageError, match=r"weights of the cases are \(-1, 1.0, 0.5, 0.5\)"):
        TargetSpeaker(both=-1)


def test_a_configuration_names_a_loss():
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=torch.nn.Module)
    inner = {"class_path": "avsep.losses.NegativeSiSnr", "init_args": {"floor_db": 30}}
    for outer in ("PermutationInvariant", "FixedOrder", "MixIT"):
        config = {"loss": {"class_path": f"avsep.losses.{outer}", "init_args": {"pairwise": inner}}}
        loss = parser.instantiate(parser.parse_object(config)).loss
        assert type(loss).__name__ == outer
        assert loss.pairwise.floor_db == 30
    config = {"class_path": "avsep.losses.MaskMse", "init_args": {"kind": "IPM"}}
    with pytest.raises(jsonargparse.ArgumentError, match="IPM"):
        parser.parse_object({"loss": config})
