"""SpEx and SpEx+: scales, sizes of the papers, which voice goes with which enrolment, and learning."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from two_talkers import steps_to, two_mixtures, voices

from avsep.checkpoint import load_model, save_model
from avsep.data.lists import MixtureSpec, Part, write_list
from avsep.losses import NegativeSiSnr, OnLogits, OnStages, WeightedSum
from avsep.models.base import Contract
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.multi_scale import MultiScaleDecoder, MultiScaleEncoder
from avsep.models.spex import SpEx, SpExPlus

KERNELS = (16, 32, 64)
TINY = {"filters": 8, "kernels": KERNELS, "bottleneck": 8, "hidden": 12, "blocks": 3, "repeats": 2, "embedding": 6}
KINDS = [SpEx, SpExPlus]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def tiny(kind, **changes):
    spectrum = {"window": 64, "hop": 16, "cells": 5} if kind is SpEx else {}
    return kind(**TINY | spectrum | changes).eval()


@pytest.mark.parametrize(("kind", "millions"), [(SpEx, 10.8), (SpExPlus, 11.1)])
def test_sizes_are_those_of_the_papers(kind, millions):
    with torch.device("meta"):
        model = kind(**kind.paper_args)
    assert model.parameter_count == pytest.approx(millions * 1e6, rel=0.005)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_steered_by_enrolments(kind):
    assert tiny(kind).contract == Contract(16_000, cues=("enrolment",), sources=None, order="cue", stride=8)


# Scales


def test_the_shortest_scale_is_that_of_an_encoder_alone():
    encoder, alone = MultiScaleEncoder(4, KERNELS), Encoder(4, 16, 8)
    alone.load_state_dict(encoder.scales[0].state_dict())
    x = torch.randn(2, 1, 203)
    assert torch.allclose(encoder(x)[..., :4], alone(x)[0], atol=1e-6)
    assert encoder.filters == 12


@pytest.mark.parametrize("time", [1, 7, 8, 203])
def test_frames_of_all_scales_lie_on_the_same_samples(time):
    """A click gives every scale its answer at the same frames: as many of them as its kernel has strides."""
    encoder = MultiScaleEncoder(1, KERNELS)
    for scale in encoder.scales:
        torch.nn.init.ones_(scale.conv.weight)
    x = torch.zeros(1, 1, time)
    x[..., time // 2] = 1
    frames = encoder(x)[0]
    assert frames.shape == (-(-time // 8) + 1, 3)
    for kernel, answer in zip(KERNELS, frames.T, strict=True):
        expected = [abs(time // 2 - 8 * frame + 0.5) < kernel / 2 for frame in range(len(answer))]
        assert answer.bool().tolist() == expected


def test_a_decoder_gives_back_what_the_encoder_has_at_every_scale():
    """With one flat filter each, frames of a constant come back as a constant, but for the edges of the longer ones."""
    decoder = MultiScaleDecoder(1, KERNELS)
    for kernel, scale in zip(KERNELS, decoder.scales, strict=True):
        torch.nn.init.constant_(scale.conv.weight, 8 / kernel)
    made = decoder(torch.ones(1, 1, 26, 3), 203)
    assert [one.shape for one in made] == [(1, 1, 203)] * 3
    for one in made:
        assert torch.allclose(one[..., 32:170], torch.ones(138))
    assert len(decoder(torch.ones(1, 1, 26, 3), 203, 1)) == 1


# What it gives


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out_at_every_scale(kind, time):
    output = tiny(kind, speakers=4)(torch.randn(2, 1, time), enrolment=torch.randn(2, 3, 900))
    assert output.estimates.shape == (2, 3, 1, time)
    assert [stage.shape for stage in output.stages] == [(2, 3, 1, time)] * 2
    assert output.logits["speaker"].shape == (2, 3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_in_use_it_gives_the_shortest_scale_alone(kind):
    model = tiny(kind, speakers=4)
    mixture, enrolment = torch.randn(1, 1, 500), torch.randn(1, 2, 600)
    output, used = model(mixture, enrolment=enrolment), model.separate(mixture, enrolment=enrolment)
    assert torch.allclose(used.estimates, output.estimates, atol=1e-6)
    assert (used.stages, used.logits) == ((), {})
    assert tiny(kind)(mixture, enrolment=enrolment).logits == {}


@pytest.mark.parametrize("kind", KINDS)
def test_stages_are_the_longer_kernels_the_longest_first(kind):
    model = tiny(kind)
    mixture, enrolment = torch.randn(1, 1, 500), torch.randn(1, 1, 600)
    before = model(mixture, enrolment=enrolment)
    with torch.no_grad():
        model.decoder.scales[2].conv.weight.mul_(2)
    after = model(mixture, enrolment=enrolment)
    assert torch.allclose(after.stages[0], 2 * before.stages[0], atol=1e-6)
    assert torch.equal(after.stages[1], before.stages[1])
    assert torch.equal(after.estimates, before.estimates)


@pytest.mark.parametrize("kind", KINDS)
def test_each_estimate_belongs_to_its_enrolment(kind):
    """In another order, or one at a time, the estimates are the same."""
    model = tiny(kind)
    mixture, enrolment = torch.randn(2, 1, 400), torch.randn(2, 3, 700)
    made = model.separate(mixture, enrolment=enrolment).estimates
    assert (made[:, 0] - made[:, 1]).abs().max() > 1e-4
    turned = model.separate(mixture, enrolment=enrolment[:, [2, 0, 1]]).estimates
    assert torch.allclose(turned, made[:, [2, 0, 1]], atol=1e-6)
    alone = [model.separate(mixture, enrolment=enrolment[:, n : n + 1]).estimates for n in range(3)]
    assert torch.allclose(torch.cat(alone, 1), made, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_level_of_an_enrolment_says_nothing(kind):
    model = tiny(kind)
    enrolment = torch.randn(1, 2, 700)
    assert torch.allclose(model.embeddings(0.1 * enrolment), model.embeddings(enrolment), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("enrolment", [torch.zeros(1, 1, 500), torch.randn(1, 1, 1)])
def test_silent_and_short_enrolments_give_numbers(kind, enrolment):
    assert tiny(kind)(torch.randn(1, 1, 300), enrolment=enrolment).estimates.isfinite().all()


def test_only_the_shared_encoder_learns_from_enrolments():
    for kind in KINDS:
        model = tiny(kind).train()
        model.embeddings(torch.randn(2, 2, 700)).square().sum().backward()
        learns = any(p.grad is not None for p in model.encoder.parameters())
        assert learns == (kind is SpExPlus)


def test_what_cannot_be_built_is_named():
    for kernels in ((32, 16), (16, 16), (15, 30)):
        with pytest.raises(ValueError, match=r"kernels are .* they must grow, and the first must be even"):
            SpExPlus(**TINY | {"kernels": kernels})
    with pytest.raises(ValueError, match="encoder kernel 20 must be a multiple of its stride 8"):
        SpExPlus(**TINY | {"kernels": (16, 20)})
    with pytest.raises(ValueError, match="scales is 0; it must be a whole number from 1 to 8"):
        SpExPlus(**TINY | {"kernels": ()})
    with pytest.raises(ValueError, match="speakers is -1"):
        SpEx(**TINY, speakers=-1)
    with pytest.raises(ValueError, match="repeats is 0"):
        SpEx(**TINY | {"repeats": 0})


# In use


@pytest.fixture(params=KINDS)
def weights(request, tmp_path):
    save_model(tmp_path / "mine.safetensors", tiny(request.param, speakers=3), "mine", "MIT", {"data": "none"})
    return tmp_path / "mine.safetensors"


@pytest.fixture
def talkers(tmp_path):
    """Files of the two talkers from 3.5 s on, and of what they say after that."""
    parts = []
    for number, (source, enrolment) in enumerate(zip(voices(3.5, 1.5), voices(5.0, 2.5), strict=True)):
        for name, samples in ((f"{number}.wav", source), (f"{number}_again.wav", enrolment)):
            soundfile.write(tmp_path / name, samples, 16_000, subtype="FLOAT")
        files = tmp_path / f"{number}.wav", tmp_path / f"{number}_again.wav"
        parts.append(Part(files[0], None, f"talker{number}", "voice", 0.0, 1.0, files[1]))
    return parts


def test_weights_are_used_as_they_were_saved(weights):
    again, card = load_model(weights)
    assert (card.class_path, card.parameters) == (again.class_path, again.parameter_count)
    assert (again.contract.cues, again.encoder.kernels) == (("enrolment",), KERNELS)


@pytest.mark.slow
def test_a_list_with_enrolments_is_evaluated(cli, weights, talkers, tmp_path):
    fast = ("--metrics", "si_sdr,snr", "--no-pictures", "--json")
    write_list(tmp_path / "list.tsv", [MixtureSpec("m", 1.5, tuple(talkers))])
    code, out, err = cli("evaluate", "list.tsv", "--model", weights, *fast)
    assert code == 0, err
    summary = json.loads(out)
    assert np.isfinite(summary["systems"]["estimate"]["si_sdr"]["mean"])
    write_list(tmp_path / "none.tsv", [MixtureSpec("m", 1.5, tuple(replace(part, enrolment=None) for part in talkers))])
    code, _, err = cli("evaluate", "none.tsv", "--model", weights, *fast, "-o", "second")
    assert code == 1
    assert "no enrolment for" in err
    (tmp_path / "ref" / "a").mkdir(parents=True)
    for number in range(2):
        (tmp_path / f"{number}.wav").rename(tmp_path / f"ref/a/s{number}.wav")
    code, _, err = cli("evaluate", "ref", "--model", weights, *fast, "-o", "third")
    assert code == 2
    assert "the model needs enrolment, and a folder of sound files has none" in err


@pytest.mark.slow
def test_a_clip_is_separated(cli, weights, talkers, tmp_path):
    mixture = voices(3.5, 1.5).sum(0)
    soundfile.write(tmp_path / "talk.wav", mixture, 16_000, subtype="FLOAT")
    code, out, err = cli("separate", "talk.wav", "--model", weights, "--enroll", "Ann=1_again.wav", "--json")
    assert code == 0, err
    (manifest,) = json.loads(out)
    assert (manifest["mode"], manifest["model"], manifest["choice"]["option"]) == ("target", "mine", "enroll")
    files = [*(track["audio"] for track in manifest["tracks"]), manifest["residual"]]
    read = [soundfile.read(tmp_path / "separated/talk" / file, dtype="float32")[0] for file in files]
    np.testing.assert_allclose(sum(read), mixture, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_batch(kind):
    sizes = {"filters": 64, "kernels": (16, 64, 128), "bottleneck": 32, "hidden": 64, "blocks": 4, "repeats": 1}
    model = kind(**sizes, embedding=16, speakers=2, sample_rate=8000, **({"cells": 16} if kind is SpEx else {}))
    objective = WeightedSum([OnStages(NegativeSiSnr(), [0.1, 0.1, 0.8]), OnLogits("speaker")], [1.0, 0.5])
    enrolment = torch.from_numpy(voices(5.5, 0.75, 8000)).expand(2, -1, -1)
    labels = torch.tensor([[0, 1], [0, 1]])
    steps_to(20, model, objective, two_mixtures(seconds=0.25), cues={"enrolment": enrolment}, more={"labels": labels})
