"""The four cases of a target speaker."""

import pytest
import torch

from avsep.losses import NegativeSiSnr, TargetSpeaker, snr_loss

FRAME = 100
CASES = ["both", "target", "interference", "nobody"]


@pytest.fixture
def scene():
    """Target and mixture (batch, time), a quarter of each case in the order of CASES."""
    torch.manual_seed(0)
    speaks = torch.tensor([1.0, 1, 0, 0]).repeat_interleave(4 * FRAME)
    interferes = torch.tensor([1.0, 0, 1, 0]).repeat_interleave(4 * FRAME)
    target, other = torch.randn(2, 16 * FRAME), torch.randn(2, 16 * FRAME)
    return speaks * target, speaks * target + interferes * other


def only(case, **options):
    return TargetSpeaker(frame=FRAME, **{name: float(name == case) for name in CASES}, **options)


def quarter(case):
    start = CASES.index(case) * 4 * FRAME
    return slice(start, start + 4 * FRAME)


@pytest.mark.parametrize("case", CASES)
def test_a_case_sees_its_own_stretches_only(scene, case):
    target, mixture = scene
    estimate = target + 0.1 * torch.randn_like(target)
    expected = only(case)(estimate, target, mixture)
    for other in CASES:
        changed = estimate.clone()
        changed[:, quarter(other)] += torch.randn(2, 4 * FRAME)
        is_same = torch.allclose(only(case)(changed, target, mixture), expected)
        assert is_same == (case != other)


def test_each_case_by_its_formula(scene):
    target, mixture = scene
    estimate = target + 0.1 * torch.randn_like(target)
    for case in ("both", "target"):
        parts = [x[:, quarter(case)] for x in (estimate, target, mixture)]
        torch.testing.assert_close(only(case)(estimate, target, mixture), snr_loss(*parts))
    for case in ("interference", "nobody"):
        ratio = estimate[:, quarter(case)].square().mean(1) / mixture.square().mean(1)
        torch.testing.assert_close(only(case)(estimate, target, mixture), 10 * torch.log10(ratio + 1e-3))


def test_cases_are_weighted(scene):
    target, mixture = scene
    estimate = target + 0.1 * torch.randn_like(target)
    parts = [only(case)(estimate, target, mixture) for case in CASES]
    expected = (2 * parts[0] + parts[1] + 0.5 * parts[2] + 0.25 * parts[3]) / 3.75
    torch.testing.assert_close(TargetSpeaker(None, 2, 1, 0.5, 0.25, frame=FRAME)(estimate, target, mixture), expected)


def test_cases_that_do_not_occur_count_nothing(scene):
    target, mixture = (x[:, quarter("both")] for x in scene)
    estimate = target + 0.1 * torch.randn_like(target)
    torch.testing.assert_close(
        TargetSpeaker(frame=FRAME)(estimate, target, mixture), snr_loss(estimate, target, mixture)
    )
    assert (only("nobody")(estimate, target, mixture) == 0).all()


def test_a_perfect_estimate_gives_the_bound_in_every_case(scene):
    target, mixture = scene
    assert TargetSpeaker(frame=FRAME)(target, target, mixture) == pytest.approx([-30, -30], abs=0.01)


def test_what_counts_as_sounding():
    torch.manual_seed(0)
    loud, other = torch.randn(2, 8 * FRAME)
    faint = torch.where(torch.arange(8 * FRAME) < 4 * FRAME, 1.0, 10 ** (-30 / 20)) * loud
    silence = torch.zeros_like(loud)
    # A breath 30 dB below the voice: speech, unless the threshold is above it.
    assert only("nobody", active_db=40)(silence, faint, faint) == 0
    assert only("nobody", active_db=20)(silence, faint, faint) < -25
    # A whole voice 50 dB below the other still speaks; one of 70 dB below does not.
    for level_db, speaks in [(-50, True), (-70, False)]:
        quiet = 10 ** (level_db / 20) * loud
        judged = only("interference")(other, quiet, quiet + other)
        assert bool(judged == 0) == speaks


def test_leaking_in_the_pauses_costs_more_than_with_snr_alone(scene):
    target, mixture = scene
    leaking = target.clone()
    leaking[:, quarter("interference")] = 0.1 * mixture[:, quarter("interference")]
    loss = TargetSpeaker(frame=FRAME)
    added = loss(leaking, target, mixture) - loss(target, target, mixture)
    assert (added > 1).all()


def test_a_target_silent_throughout(scene):
    _, mixture = scene
    silence = torch.zeros_like(mixture)
    loss = TargetSpeaker(frame=FRAME)
    assert loss(silence, silence, mixture) == pytest.approx([-30, -30], abs=0.01)
    assert (loss(mixture, silence, mixture) > -16).all()
    estimate = mixture.clone().requires_grad_()
    loss(estimate, silence, mixture).sum().backward()
    assert estimate.grad.isfinite().all()
    assert (estimate.grad[:, quarter("interference")].abs().sum() > 0).all()


def test_other_pairwise_losses_and_lengths_that_are_no_multiple(scene):
    target, mixture = (x[:, :-33] for x in scene)
    loss = TargetSpeaker(NegativeSiSnr(), frame=FRAME)
    estimate = target + 0.1 * torch.randn_like(target)
    torch.testing.assert_close(only("both", speaking=NegativeSiSnr())(estimate, target, mixture).shape, torch.Size([2]))
    assert (loss(target, target, mixture) < loss(estimate, target, mixture)).all()
