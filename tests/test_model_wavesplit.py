"""Wavesplit: vectors of speakers in the order of labels in training and clustered in use, and their loss."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from two_talkers import steps_to, two_mixtures

from avsep.errors import UsageError
from avsep.losses import NegativeSiSnr, OnEstimates, OnSpeakerVectors, OnStages, WeightedSum
from avsep.models.base import Output
from avsep.models.wavesplit import DilatedConv, FirstConv, Layer, Wavesplit
from avsep.training.separation import SeparationTask

TINY = {"speakers": 5, "channels": 8, "dims": 4, "kernel": 8, "stride": 4, "layers": 3, "repeats": 2, "blocks": 3}
TINY |= {"sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_the_networks_have_the_layers_of_the_paper():
    with torch.device("meta"):
        model = Wavesplit(**Wavesplit.paper_args)
    assert len(model.speaker_stack.layers) == 14
    assert sum(len(repeat) for repeat in model.separation_stack.repeats) == 40
    layer = 3 * 512**2 + 512 + 3 * 512  # convolution, slopes, norm
    told = 2 * 512 + 1  # the vectors of both speakers, and a bias
    assert sum(p.numel() for p in model.separation_stack.repeats.parameters()) == 40 * (layer + told * 1024)
    assert sum(p.numel() for p in model.speaker_stack.layers.parameters()) == 14 * layer


@pytest.mark.parametrize("dilation", [1, 4, 64])
def test_a_dilated_convolution_is_the_one_of_torch(dilation):
    conv = DilatedConv(5, dilation)
    x = torch.randn(2, 30, 5)
    kernel = conv.weight.unflatten(1, (3, 5)).transpose(1, 2)
    expected = functional.conv1d(x.mT, kernel, conv.bias, padding=dilation, dilation=dilation).mT
    assert torch.allclose(conv(x), expected, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 1), (8, 4), (4, 4)])
@pytest.mark.parametrize("time", [1, 7, 16])
def test_a_frame_stands_for_the_samples_of_its_own_stretch(kernel, stride, time):
    first = FirstConv(3, kernel, stride)
    assert first(torch.randn(2, time)).shape == (2, -(-time // stride), 3)
    waveform = torch.zeros(1, time, requires_grad=True)
    first(waveform)[0, 0].sum().backward()
    (seen,) = waveform.grad[0].nonzero(as_tuple=True)
    assert seen[0] == 0
    assert seen[-1] == min(time, stride + (kernel - stride + 1) // 2) - 1


def test_a_layer_is_scaled_and_shifted_by_what_it_is_told():
    layer = Layer(4, 1, told=6)
    x, told = torch.randn(2, 9, 4), torch.randn(2, 6)
    scale, shift = (half[:, None] for half in layer.film(told).chunk(2, 1))
    made = functional.leaky_relu(layer.conv(x) * (1 + scale) + shift, 0.25)
    assert torch.allclose(layer(x, told), x + layer.norm(made), atol=1e-6)
    assert not torch.allclose(layer(x, 2 * told), layer(x, told), atol=1e-3)


def test_vectors_have_unit_length():
    vectors = Wavesplit(**TINY).speaker_stack(torch.randn(2, 100))
    assert vectors.shape == (2, 2, 25, 4)
    assert torch.allclose(vectors.norm(dim=3), torch.ones(2, 2, 25))


def close_to(model: Wavesplit, speakers: torch.Tensor) -> torch.Tensor:
    """Vectors near those of the speakers in the table: (batch, sources, frames) -> (batch, sources, frames, dims)."""
    table = functional.normalize(model.table.weight.detach(), dim=1)
    return functional.normalize(table[speakers] + 0.05 * torch.randn(*speakers.shape, table.shape[1]), dim=3)


def test_vectors_go_to_the_speakers_of_the_labels_at_every_frame():
    model = Wavesplit(**TINY | {"dims": 16, "sources": 3})
    labels = torch.tensor([[3, 0, 4], [1, 2, 0]])
    orders = torch.stack([torch.stack([torch.randperm(3) for _ in range(20)]) for _ in range(2)]).transpose(1, 2)
    vectors = close_to(model, labels[:, :, None].expand(-1, -1, 20).take_along_dim(orders, 1))
    found = model.order(model.scores(vectors), labels)
    # Where source s sits among the vectors of a frame.
    assert torch.equal(found, orders.argsort(1))


def test_a_source_without_label_takes_what_is_left():
    model = Wavesplit(**TINY | {"dims": 16})
    vectors = close_to(model, torch.tensor([[4, 2]])[:, :, None].expand(-1, -1, 6))
    assert model.order(model.scores(vectors), torch.tensor([[2, -1]])).tolist() == [[[1] * 6, [0] * 6]]
    assert model.order(model.scores(vectors), torch.tensor([[4, -1]])).tolist() == [[[0] * 6, [1] * 6]]


def test_estimates_are_in_the_order_of_the_labels():
    """Labels the other way round swap what the network is told, not what it makes of it."""
    model = Wavesplit(**TINY | {"noise": 0.0})
    mixture, told = torch.randn(1, 1, 200), []
    model.separation_stack.register_forward_hook(lambda module, args, out: told.append(args[1]))
    logits = [model(mixture, labels=torch.tensor([pair])).logits["speaker"] for pair in ([1, 3], [3, 1])]
    assert torch.allclose(told[0].flip(1), told[1], atol=1e-6)
    assert torch.allclose(logits[0].flip(1), logits[1], atol=1e-6)


def test_vectors_are_clustered_over_the_whole_signal_in_use():
    model = Wavesplit(**TINY | {"dims": 16}).eval()
    orders = torch.stack([torch.randperm(2) for _ in range(50)]).t()[None]
    vectors = close_to(model, torch.tensor([[1, 3]])[:, :, None].expand(-1, -1, 50).take_along_dim(orders, 1))
    centres = model.clustered(vectors)[0]
    table = functional.normalize(model.table.weight.detach(), dim=1)[[1, 3]]
    nearest = (centres[:, None] - table).norm(dim=2)
    assert sorted(nearest.argmin(1).tolist()) == [0, 1]
    assert (nearest.amin(1) < 0.1).all()


@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out_at_every_repeat(time):
    model = Wavesplit(**TINY, every_repeat=True).eval()
    output = model.separate(torch.randn(2, 1, time))
    assert output.estimates.shape == (2, 2, 1, time)
    assert [stage.shape for stage in output.stages] == [(2, 2, 1, time)]
    assert output.logits == {}


def test_the_loss_is_the_cross_entropy_of_the_labels():
    labels = torch.tensor([[3, 0], [2, -1]])
    logits = torch.randn(2, 2, 6, 5)
    batch = {"mixture": torch.zeros(2, 1, 10), "labels": labels}
    found = OnSpeakerVectors()(Output(logits={"speaker": logits}), batch)
    p = -logits.log_softmax(3)
    assert torch.allclose(found[0], (p[0, 0, :, 3] + p[0, 1, :, 0]).mean() / 2)
    assert torch.allclose(found[1], p[1, 0, :, 2].mean())


def test_the_loss_wants_labels_in_training_only():
    loss, batch = OnSpeakerVectors(), {"mixture": torch.zeros(3, 1, 10)}
    with pytest.raises(UsageError, match="OnSpeakerVectors needs logits, but the model gives nothing"):
        loss(Output(), batch)
    with pytest.raises(UsageError, match="the model gives no logits 'speaker'; it gives count"):
        loss(Output(logits={"count": torch.zeros(3, 2)}), batch)
    assert loss.eval()(Output(), batch).tolist() == [0.0, 0.0, 0.0]


def test_the_task_gives_labels_in_training_and_none_in_validation(monkeypatch):
    model = Wavesplit(**TINY)
    task = SeparationTask(model, WeightedSum([OnEstimates(), OnSpeakerVectors()]))
    monkeypatch.setattr(SeparationTask, "is_logging", False)
    given = []
    model.register_forward_pre_hook(lambda module, args, named: given.append(sorted(named)), with_kwargs=True)
    sources = torch.randn(2, 2, 1, 400)
    batch = {"mixture": sources.sum(1), "sources": sources, "labels": torch.tensor([[0, 1], [2, 4]])}
    losses, _ = task.train().losses(batch)
    losses.mean().backward()
    assert model.table.weight.grad.abs().sum() > 0
    values, estimates = task.eval().measure(batch)
    assert given == [["labels"], [], []]
    assert values["valid_loss"].isfinite().all()
    assert estimates.shape == sources.shape
    with pytest.raises(
        UsageError, match="Wavesplit needs labels, and a batch holds mixture, sources; take data with it"
    ):
        task.train().losses({name: batch[name] for name in ("mixture", "sources")})


def test_labels_that_the_table_lacks_are_named():
    model = Wavesplit(**TINY)
    with pytest.raises(UsageError, match="a source has the label 5, and the table holds 5 speakers; set speakers to"):
        model(torch.randn(1, 1, 100), labels=torch.tensor([[0, 5]]))
    with pytest.raises(UsageError, match="3 labels an item, and the model separates 2"):
        model(torch.randn(1, 1, 100), labels=torch.tensor([[0, 1, 2]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speakers": 0}, "speakers is 0; it must be a whole number from 1"),
        ({"layers": 21}, "layers is 21; it must be a whole number from 1 to 20"),
        ({"kernel": 6}, "kernel 6 must be a multiple of its stride 4"),
        ({"noise": -1.0}, "noise is -1.0; it must be 0 to 10"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Wavesplit(**TINY | changes)


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"speakers": 4, "channels": 48, "dims": 16, "kernel": 16, "stride": 8, "layers": 6, "blocks": 6}
    model = Wavesplit(**sizes, repeats=2, noise=0.05, every_repeat=True, sample_rate=8000)
    objective = WeightedSum([OnStages(NegativeSiSnr()), OnSpeakerVectors()])
    labels = torch.tensor([[0, 1], [0, 1]])
    steps_to(20, model, objective, two_mixtures(seconds=0.5), learning_rate=3e-3, labels=labels)
