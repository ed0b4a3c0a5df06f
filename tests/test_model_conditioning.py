"""Separators conditioned on a classifier's logits: the part, its places, the embeddings, and what is trained of it."""

from __future__ import annotations

import math

import pytest
import torch
from stub_models import TwoBands
from torch.nn import functional

from avsep.errors import UsageError
from avsep.losses import GuidedEmbeddings, OnStages
from avsep.models.base import Output
from avsep.models.itdcn import ITDCNpp
from avsep.models.parts.conditioning import Conditioning, repeated
from avsep.models.parts.sound_embedding import SoundEmbedding
from avsep.models.tdcn import TDCNpp
from avsep.training.separation import SeparationTask

SIZES = {"bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2, "embedding_channels": 8}


def embedding(of: str = "mixture", **options) -> SoundEmbedding:
    return SoundEmbedding(TwoBands(), of, **options)


def batch(sources: int = 2, time: int = 1600) -> dict[str, torch.Tensor]:
    clean = torch.randn(2, sources, 1, time)
    return {"mixture": clean.sum(1), "sources": clean}


def losses(task: SeparationTask, data: dict[str, torch.Tensor]) -> torch.Tensor:
    """(batch,), with gradients."""
    return task.measure(data)[0]["valid_loss"]


def test_frames_are_repeated_to_the_rate_of_the_layer():
    x = torch.tensor([1.0, 2.0, 3.0])[None, :, None]
    assert repeated(x, 9)[0, :, 0].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert repeated(x, 4)[0, :, 0].tolist() == [1, 1, 2, 3]
    assert repeated(x, 2)[0, :, 0].tolist() == [1, 2]
    assert repeated(x[:, :1], 3)[0, :, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("sigmoid", ["raw", "fixed", "trainable"])
@pytest.mark.parametrize("combine", ["concatenate", "gate"])
def test_a_layer_gets_the_embedding_in_each_way(sigmoid, combine):
    part = Conditioning(5, 6, 6, sigmoid, combine)
    x, logits = torch.randn(2, 12, 6), torch.randn(2, 4, 5)
    if sigmoid == "trainable":
        torch.testing.assert_close(part.sigmoid(logits), logits.sigmoid())
        with torch.no_grad():
            part.sigmoid.alpha.fill_(2.0)
            part.sigmoid.beta.fill_(3.0)
            part.sigmoid.x0.fill_(0.5)
        squashed = 2 / (1 + torch.exp(3 * (0.5 - logits)))
    else:
        squashed = logits if sigmoid == "raw" else logits.sigmoid()
    # Step by step in the seed's order: repeat, sigmoid, 1x1, global norm.
    slow = functional.linear(squashed.repeat_interleave(3, 1), part.project.weight, part.project.bias)
    slow = functional.group_norm(slow.mT, 1, eps=1e-8).mT
    expected = x * slow if combine == "gate" else torch.cat([slow, x], 2)
    assert part.width == expected.shape[2]
    torch.testing.assert_close(part(x, logits), expected, rtol=1e-4, atol=1e-5)
    part(x, logits).square().sum().backward()
    assert all(p.grad is not None for p in part.parameters())


def test_wrong_conditioning():
    with pytest.raises(ValueError, match="sigmoid is 'soft'; it must be one of raw, fixed, trainable"):
        Conditioning(5, 6, sigmoid="soft")
    with pytest.raises(ValueError, match="combine is 'add'; it must be one of concatenate, gate"):
        Conditioning(5, 6, combine="add")
    with pytest.raises(ValueError, match="a gate of 4 channels for 6 features; it needs as many"):
        Conditioning(5, 6, 4, combine="gate")
    with pytest.raises(ValueError, match="of is 'none'; it must be one of mixture, all, soft_or"):
        embedding("none")


@pytest.mark.parametrize("combine", ["concatenate", "gate"])
@pytest.mark.parametrize("conditioned", ["first", "all"])
def test_conditioned_blocks(conditioned, combine):
    model = TDCNpp(2, **SIZES, embedding=embedding(), combine=combine, conditioned=conditioned)
    blocks = [block for repeat in model.separator.repeats for block in repeat]
    assert [block.conditioning is not None for block in blocks] == [True, *[conditioned == "all"] * 3]
    widths = [block.body[0].in_features for block in blocks]
    given = 16 if combine == "concatenate" else 8
    assert widths == [given, *[given if conditioned == "all" else 8] * 3]
    mixture = torch.randn(2, 1, 1600)
    output = model(mixture)
    assert output.logits["mixture"].shape == (2, 11, 2)
    output.estimates.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    # What the classifier tells changes the estimates.
    with torch.no_grad():
        model.embedding.classifier.layers[2].weight.mul_(-1)
        assert (model(mixture).estimates - output.estimates).abs().max() > 1e-6


def test_embeddings_of_the_sources():
    part, mixture, sources = embedding("all"), torch.randn(2, 1600), torch.randn(2, 3, 1600)
    vectors, logits = part(mixture, sources)
    assert part.classes(3) == 8
    assert vectors.shape == (2, 11, 8)
    for number, sound in enumerate([mixture, *sources.unbind(1)]):
        torch.testing.assert_close(vectors[:, :, 2 * number : 2 * number + 2], part.classifier(sound))
    torch.testing.assert_close(logits["sources"][:, 1], part.classifier(sources[:, 1]))
    part.of = "soft_or"
    p = 1 - (1 - logits["sources"].double().sigmoid()).prod(1)
    torch.testing.assert_close(part(mixture, sources)[0], (p / (1 - p)).log().float(), rtol=1e-4, atol=1e-4)
    assert part.classes(3) == 2


def test_an_embedding_that_does_not_vary_is_the_mean_of_the_probabilities():
    mixture, part = torch.randn(2, 1600), embedding(time_varying=False)
    vectors, logits = part(mixture)
    assert vectors.shape == (2, 1, 2)
    torch.testing.assert_close(vectors.sigmoid()[:, 0], logits["mixture"].sigmoid().mean(1))
    assert TDCNpp(2, **SIZES, embedding=part)(mixture.unsqueeze(1)).estimates.shape == (2, 2, 1, 1600)


@pytest.mark.parametrize("of", ["all", "soft_or"])
def test_an_oracle_has_the_clean_sources_as_a_cue(of):
    model = TDCNpp(3, **SIZES, embedding=embedding(of, oracle=True))
    assert (model.contract.cues, model.contract.order) == (("sources",), "any")
    data = batch(2)  # one less than it has estimates
    task = SeparationTask(model)
    assert losses(task, data).shape == (2,)
    assert "sources" not in model(data["mixture"], sources=data["sources"]).logits
    with pytest.raises(UsageError, match="4 sources are given to TDCNpp as a cue; it has 3 sources"):
        losses(task, batch(4))


def test_the_second_pass_classifies_the_first_estimates():
    model = ITDCNpp(2, **SIZES, embedding=embedding(), second_embedding=embedding("all")).eval()
    assert model.contract.cues == ()
    output = model(torch.randn(2, 1, 1600))
    assert set(output.logits) == {"mixture", "second_mixture", "sources"}
    classifier = model.second.embedding.classifier
    torch.testing.assert_close(output.logits["sources"][:, 1], classifier(output.stages[0][:, 1, 0]))
    with pytest.raises(ValueError, match="embedding is of estimates, and the first pass has none"):
        ITDCNpp(2, **SIZES, embedding=embedding("all"))
    oracle = ITDCNpp(2, **SIZES, second_embedding=embedding("soft_or", oracle=True))
    assert oracle.contract.cues == ("sources",)


def test_a_classifier_of_another_rate():
    with pytest.raises(ValueError, match="the classifier takes 16000 Hz and the separator 8000 Hz"):
        TDCNpp(embedding=embedding(), sample_rate=8000)


@pytest.mark.parametrize("trained", [0, 1, 3])
@pytest.mark.parametrize("passes", [1, 2])
def test_fine_tuning_trains_the_last_layers_alone(trained, passes):
    """`freeze` names what stays as it is; gradients still pass through it to the first estimates."""
    if passes == 1:
        model, places, objective = TDCNpp(2, **SIZES, embedding=embedding()), ["embedding"], None
    else:
        model = ITDCNpp(2, **SIZES, embedding=embedding(), second_embedding=embedding("all"))
        places, objective = ["first.embedding", "second.embedding"], OnStages()
    frozen = [f"{place}.classifier.layers.{n}" for place in places for n in range(3 - trained)]
    task = SeparationTask(model, objective, freeze=frozen)
    losses(task, batch()).mean().backward()
    for name, parameter in model.named_parameters():
        if any(name.startswith(f"{place}.") for place in frozen):
            assert parameter.grad is None, name
        else:
            assert parameter.grad.abs().sum() > 0, name


def bits(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return -(p * q.log2() + (1 - p) * (1 - q).log2()).flatten(1).mean(1)


def test_guiding_holds_the_mixture_against_the_soft_or_and_estimates_against_their_sources():
    torch.manual_seed(0)
    objective = GuidedEmbeddings(TwoBands())
    data = batch()
    # The estimates of the first stage are the sources in another order, with different ones in each item.
    order = torch.tensor([[1, 0], [0, 1]])
    stage = data["sources"].take_along_dim(order[:, :, None, None], 1)
    names = {"mixture": (2, 11, 2), "second_mixture": (2, 11, 2), "sources": (2, 2, 11, 2)}
    logits = {name: torch.randn(shape) for name, shape in names.items()}
    targets = torch.stack([objective.classifier(data["sources"][:, n, 0]) for n in range(2)], 1).sigmoid()
    either = 1 - (1 - targets).prod(1)
    expected = {
        "mixture": bits(either, logits["mixture"].sigmoid()),
        "second_mixture": bits(either, logits["second_mixture"].sigmoid()),
        "sources": bits(targets.take_along_dim(order[:, :, None, None], 1), logits["sources"].sigmoid()),
    }
    estimates = torch.zeros_like(stage)
    for name in names:
        torch.testing.assert_close(
            objective(Output(estimates, (stage,), logits={name: logits[name]}), data), expected[name]
        )
    together = objective(Output(estimates, (stage,), logits=logits), data)
    torch.testing.assert_close(together, sum(expected.values()))
    # It is least, the entropy of the targets, where the logits are those of the clean sources.
    best = objective(Output(stage, logits={"mixture": (either / (1 - either)).log()}), data)
    torch.testing.assert_close(best, bits(either, either))
    assert (best <= expected["mixture"]).all()


def test_guiding_trains_the_models_classifiers_and_not_its_own():
    model = ITDCNpp(2, **SIZES, embedding=embedding(), second_embedding=embedding("all"))
    task = SeparationTask(model, GuidedEmbeddings(TwoBands()))
    task.train()
    assert not task.objective.classifier.training
    losses(task, batch()).mean().backward()
    assert all(p.grad is None for p in task.objective.parameters())
    for part in (model.first, model.second):
        assert all(p.grad.abs().sum() > 0 for p in part.embedding.parameters())


def test_guiding_without_what_it_needs():
    objective, data = GuidedEmbeddings(TwoBands()), batch()
    with pytest.raises(
        UsageError, match="GuidedEmbeddings needs logits mixture, second_mixture, sources; the model gives a"
    ):
        objective(Output(data["sources"], logits={"a": torch.zeros(1)}), data)
    with pytest.raises(UsageError, match=r"the model's logits are \(2, 11, 3\), those of the objective's classifier"):
        objective(Output(data["sources"], logits={"mixture": torch.zeros(2, 11, 3)}), data)


def test_estimates_beyond_the_sources_are_guided_to_silence():
    objective, data = GuidedEmbeddings(TwoBands()), batch()
    stage = torch.cat([torch.zeros(2, 1, 1, 1600), data["sources"].flip(1)], 1)
    clean = [torch.zeros(2, 1600), data["sources"][:, 1, 0], data["sources"][:, 0, 0]]
    logits = torch.stack([objective.classifier(sound) for sound in clean], 1)
    p = logits.sigmoid()
    torch.testing.assert_close(objective(Output(stage, logits={"sources": logits}), data), bits(p, p))
    assert math.isfinite(bits(p, p).sum())
