"""What a training minimises: every kind of loss on what a model gives, by item, with any number of channels."""

from __future__ import annotations

import pytest
import torch
from tiny_models import Everything, transform
from torch.nn import functional

from avsep.errors import UsageError
from avsep.losses import (
    DeepClustering,
    FixedOrder,
    MaskMse,
    MixIT,
    NegativeSiSnr,
    NegativeSnr,
    OnEmbeddings,
    OnEstimates,
    OnLogits,
    OnMasks,
    OnStages,
    OnWaveforms,
    PermutationInvariant,
    SpectrumApproximation,
    TargetSpeaker,
    WeightedSum,
    as_objective,
)
from avsep.models.base import Contract, Output

CUES = Contract(16_000, cues=("lips",), sources=None, order="cue")
STEMS = Contract(16_000, order="named", names=("vocals", "rest"))


@pytest.fixture
def batch() -> dict:
    """Three items of two sources at two microphones; the second of the last item is silent."""
    torch.manual_seed(0)
    sources = torch.randn(3, 2, 2, 800)
    sources[2, 1] = 0
    labels = torch.tensor([[0, 3], [2, 2], [1, -1]])
    return {"mixture": sources.sum(1), "sources": sources, "labels": labels, "name": ["a", "b", "c"]}


@pytest.fixture
def output(batch) -> Output:
    torch.manual_seed(1)
    return Everything(channels=2)(batch["mixture"])


def folded(batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    return batch["sources"].flatten(2), batch["mixture"].flatten(1)


OBJECTIVES = [
    OnEstimates(),
    OnEstimates(NegativeSiSnr()),
    OnEstimates(FixedOrder(TargetSpeaker(frame=100))),
    OnEstimates(OnWaveforms()),
    OnEstimates(MixIT()),
    OnStages(),
    OnMasks(MaskMse()),
    OnMasks(SpectrumApproximation()),
    OnLogits("class"),
    OnLogits("tags", "present"),
    OnLogits("count", "count"),
    WeightedSum([NegativeSnr(), OnMasks(MaskMse())], [1.0, 0.5]),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_a_loss_an_item_with_gradients_whatever_the_precision(batch, output, objective):
    losses = objective(output, batch)
    assert losses.shape == (3,)
    assert losses.dtype == torch.float32
    assert losses.requires_grad
    alone = {key: value[1:2] for key, value in batch.items()}
    torch.manual_seed(1)
    torch.testing.assert_close(objective(Everything(channels=2)(alone["mixture"]), alone), losses[1:2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(objective(output, batch), losses)


def test_one_permutation_and_one_ratio_for_all_channels(batch):
    sources, mixture = folded(batch)
    moved = batch["sources"].flip(1) + 0.1 * torch.randn_like(batch["sources"])
    # The channels of the first item want different permutations; together they want the second one's.
    moved[0, :, 0] = batch["sources"][0, :, 0].flip(0)
    moved[0, :, 1] = 0.6 * moved[0, :, 1]
    found = OnEstimates()(Output(moved), batch)
    torch.testing.assert_close(found, PermutationInvariant()(moved.flatten(2), sources, mixture))
    assert (found < -3).all()


def test_fewer_channels_of_estimates_are_held_against_the_first_ones(batch):
    mono = {key: value[..., :1, :] if key in ("mixture", "sources") else value for key, value in batch.items()}
    estimates = Output(0.5 * mono["sources"])
    torch.testing.assert_close(OnEstimates()(estimates, batch), OnEstimates()(estimates, mono))
    with pytest.raises(UsageError, match="estimates of 2 channels, the sources of the batch have 1; take data with 2"):
        OnEstimates()(Output(batch["sources"]), mono)


@pytest.mark.parametrize(
    ("contract", "order"), [(Contract(16_000), PermutationInvariant), (CUES, FixedOrder), (STEMS, FixedOrder)]
)
def test_pairwise_losses_go_in_the_order_of_the_contract(contract, order):
    for objective in (OnEstimates(), as_objective(NegativeSiSnr()), as_objective(None), OnStages().on_estimates):
        objective.adapt(contract)
        assert type(objective.loss) is order
    chosen = OnEstimates(PermutationInvariant(NegativeSiSnr(30)))
    chosen.adapt(contract)
    assert type(chosen.loss) is PermutationInvariant
    assert chosen.loss.pairwise.floor_db == 30


def test_stages_are_weighted_and_find_their_own_permutations(batch):
    sources, mixture = folded(batch)
    stages = (0.5 * batch["sources"], batch["sources"].flip(1) + torch.randn_like(batch["sources"]))
    output = Output(0.9 * batch["sources"], stages)
    parts = [PermutationInvariant()(x.flatten(2), sources, mixture) for x in (*stages, output.estimates)]
    torch.testing.assert_close(OnStages()(output, batch), sum(parts) / 3)
    weighted = OnStages(weights=[0.1, 0.1, 0.8])
    torch.testing.assert_close(weighted(output, batch), 0.1 * parts[0] + 0.1 * parts[1] + 0.8 * parts[2])
    torch.testing.assert_close(OnStages(weights=[1, 3, 0])(output, batch), 0.25 * parts[0] + 0.75 * parts[1])
    with pytest.raises(UsageError, match="2 weights, but the model gives 2 stages and the final estimates: give 3"):
        OnStages(weights=[1, 1])(output, batch)


def test_mixit_takes_the_mixtures_in_the_place_of_the_sources(batch):
    parts = torch.randn(3, 4, 1, 800)
    mixtures = torch.stack([parts[:, [0, 3]].sum(1), parts[:, [1, 2]].sum(1)], 1)
    batch = {"mixture": parts.sum(1), "sources": mixtures}
    assert OnEstimates(MixIT())(Output(parts), batch) == pytest.approx([-30] * 3, abs=1e-3)


def test_masks_and_embeddings_are_held_against_the_first_channel(batch):
    spectra, spectrum = transform(batch["sources"][:, :, 0]), transform(batch["mixture"][:, 0])
    ideal = spectra.abs() / spectra.abs().sum(1, keepdim=True).clamp_min(1e-8)
    given = Output(spectrum=spectrum, masks=ideal, transform=transform)
    assert (OnMasks(MaskMse("IRM"))(given, batch) < 1e-6).all()
    owners = functional.one_hot(spectra.abs().argmax(1), 2).float()
    given = Output(spectrum=spectrum, embeddings=owners, transform=transform)
    assert (OnEmbeddings()(given, batch) < 1e-6).all()
    assert (OnEmbeddings(DeepClustering(20))(given, batch) < 1e-6).all()


def test_labels_go_to_the_estimates_that_fit(batch):
    logits = 9.0 * functional.one_hot(batch["labels"].clamp_min(0), 4).float()
    perfect = Output(batch["sources"], logits={"class": logits})
    turned = Output(batch["sources"].flip(1), logits={"class": logits.flip(1)})
    objective = OnLogits("class")
    assert (objective(perfect, batch) < 0.01).all()
    torch.testing.assert_close(objective(turned, batch), objective(perfect, batch))
    wrong = objective(Output(batch["sources"].flip(1), logits={"class": logits}), batch)
    # Both sources of the second item have one label; the silent source of the third has none.
    assert (wrong > 5).tolist() == [True, False, True]
    objective.adapt(STEMS)
    assert (objective(Output(logits={"class": logits}), batch) < 0.01).all()
    nobody = batch | {"labels": torch.full((3, 2), -1)}
    assert (objective(perfect, nobody) == 0).all()


def test_sources_without_an_estimate_have_no_logits(batch):
    logits = 9.0 * functional.one_hot(batch["labels"].clamp_min(0), 4).float()
    first = Output(batch["sources"][:, :1], logits={"class": logits[:, :1]})
    assert (OnLogits("class")(first, batch) < 0.01).all()


def test_classes_in_an_item_and_numbers_of_sources(batch):
    present = torch.tensor([[1, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])
    output = Output(logits={"tags": 18.0 * present - 9, "count": 9.0 * functional.one_hot(torch.tensor([2, 2, 1]), 3)})
    assert (OnLogits("tags", "present")(output, batch) < 0.01).all()
    assert (OnLogits("count", "count")(output, batch) < 0.01).all()
    output.logits["tags"] = -output.logits["tags"]
    assert OnLogits("tags", "present")(output, batch) == pytest.approx([9] * 3, abs=0.01)


def test_a_weighted_sum_is_one(batch, output):
    parts = [OnEstimates(), OnMasks(MaskMse())]
    expected = 2 * parts[0](output, batch) + 0.5 * parts[1](output, batch)
    torch.testing.assert_close(WeightedSum(parts, [2, 0.5])(output, batch), expected)
    torch.testing.assert_close(WeightedSum([NegativeSnr()])(output, batch), OnEstimates()(output, batch))


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (OnMasks(MaskMse()), "OnMasks needs masks, but the model gives estimates; take an objective on one of those"),
        (OnEmbeddings(), "OnEmbeddings needs embeddings, but the model gives estimates"),
        (OnStages(), "OnStages needs stages, but the model gives estimates"),
        (OnLogits("class"), "OnLogits needs logits, but the model gives estimates"),
    ],
)
def test_what_a_model_does_not_give_is_named(batch, objective, message):
    with pytest.raises(UsageError, match=message):
        objective(Output(batch["sources"]), batch)


def test_estimates_that_are_not_there(batch, output):
    output.estimates = None
    with pytest.raises(
        UsageError, match="OnEstimates needs estimates, but the model gives stages, spectrum, masks, log"
    ):
        OnEstimates()(output, batch)


def test_logits_and_labels_that_do_not_fit(batch, output):
    with pytest.raises(UsageError, match="the model gives no logits 'age'; it gives class, speaker, tags, count"):
        OnLogits("age")(output, batch)
    with pytest.raises(UsageError, match="a source has the label 4, the model's class are 0 to 3"):
        OnLogits("class")(output, batch | {"labels": batch["labels"] + 1})
    batch.pop("labels")
    with pytest.raises(UsageError, match="OnLogits needs labels, and a batch holds mixture, sources, name"):
        OnLogits("class")(output, batch)


def test_complex_masks_are_refused(batch, output):
    output.masks = output.masks.to(torch.complex64)
    with pytest.raises(UsageError, match="the model's masks are complex; take OnEstimates"):
        OnMasks(MaskMse())(output, batch)


def test_settings_that_make_no_sense():
    with pytest.raises(UsageError, match=r"weights are \[1, -1\]; expected numbers of 0 or more, not all 0"):
        OnStages(weights=[1, -1])
    with pytest.raises(UsageError, match="WeightedSum: 1 objectives and 2 weights; give as many"):
        WeightedSum([OnEstimates()], [1.0, 2.0])
    with pytest.raises(UsageError, match="target is 'stop'; it must be one of label, present, count"):
        OnLogits("stop", "stop")
    with pytest.raises(UsageError, match="MaskMse is no loss of waveforms; name it as the loss of OnMasks"):
        as_objective(MaskMse())
    with pytest.raises(UsageError, match="DeepClustering is no loss of waveforms; name it as the loss of OnEmbeddings"):
        WeightedSum([DeepClustering()])
    with pytest.raises(UsageError, match=r"MaskMse takes the masks in any order.* set in_any_order to false"):
        OnMasks(MaskMse()).adapt(CUES)
    OnMasks(MaskMse(in_any_order=False)).adapt(CUES)
