"""Shape suffixes: B chips, L labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.metrics import fbeta_score
from timm.loss.asymmetric_loss import AsymmetricLossMultiLabel
from torch.nn import functional

from training.config.schema import MemberConfig
from training.network.loss import activation, loss_of, soft_fbeta

LABELS = ("clear", "cloudy", "haze", "mine", "road", "water")
SKY = ("haze", "clear", "cloudy")  # not in the labels' order
Kind = Literal["bce", "soft-f2", "asymmetric"]
KINDS: tuple[Kind, ...] = ("bce", "soft-f2", "asymmetric")


MEMBER = MemberConfig(architecture="test_resnet", size_px=64, epochs=1, batch_size=1, learning_rate=1.0)


def batch(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits_BL = 2 * torch.randn(count, len(LABELS), generator=generator)
    targets_BL = (torch.rand(count, len(LABELS), generator=generator) < 0.3).float()
    targets_BL[:, :3] = functional.one_hot(torch.arange(count) % 3, 3)
    return logits_BL.requires_grad_(), targets_BL


def gradient(options: dict[str, Any], labels: Sequence[str] = LABELS) -> torch.Tensor:
    logits_BL, targets_BL = batch()
    return torch.autograd.grad(loss_of(replace(MEMBER, **options), labels)(logits_BL, targets_BL), logits_BL)[
        0
    ]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bce_is_torchs_on_smoothed_targets(smoothing: float) -> None:
    logits_BL, targets_BL = batch()
    expected = functional.binary_cross_entropy(
        torch.sigmoid(logits_BL), targets_BL * (1 - smoothing) + smoothing / 2
    )
    torch.testing.assert_close(
        loss_of(replace(MEMBER, label_smoothing=smoothing), LABELS)(*batch()), expected
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_asymmetric_is_timms_sum_over_chips_and_labels(smoothing: float) -> None:
    logits_BL, targets_BL = batch()
    reference = AsymmetricLossMultiLabel(smoothing=smoothing, reduction="sum")
    loss = loss_of(replace(MEMBER, loss="asymmetric", label_smoothing=smoothing), LABELS)(
        logits_BL, targets_BL
    )
    torch.testing.assert_close(loss, reference(logits_BL, targets_BL) / logits_BL.numel())


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_soft_f_of_hard_answers_is_scikit_learns(beta: float) -> None:
    random = np.random.default_rng(0)
    targets_BL, set_BL = (random.binomial(1, share, (50, 6)) for share in (0.3, 0.4))
    targets_BL[0], set_BL[0] = 0, 0  # nothing there, nothing said: right
    full_B = targets_BL.sum(axis=1) > 0
    full_B[:1] = True
    expected = fbeta_score(
        targets_BL[full_B], set_BL[full_B], beta=beta, average="samples", zero_division=1.0
    )
    found_B = soft_fbeta(torch.from_numpy(set_BL).float(), torch.from_numpy(targets_BL).float(), beta)
    assert float(found_B[torch.from_numpy(full_B)].mean()) == pytest.approx(expected)


def test_a_chip_without_labels_scores_by_the_labels_expected() -> None:
    probs_BL = torch.tensor([[0.5, 0.5], [0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    scores_B = soft_fbeta(probs_BL, torch.zeros(3, 2), 2.0)
    torch.testing.assert_close(scores_B, torch.tensor([1 / 2, 1, 1 / 3]))
    (slope_BL,) = torch.autograd.grad(scores_B.sum(), probs_BL)
    assert (slope_BL < 0).all()  # and teaches to set none


@pytest.mark.parametrize("loss", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_are_float32_and_finite_on_extreme_half_precision(loss: Kind, dtype: torch.dtype) -> None:
    logits_BL = torch.tensor([[1e4, -1e4, 1e4, -1e4, 30, -30]] * 2, dtype=dtype, requires_grad=True)
    targets_BL = torch.tensor([[1, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
    for exclusive in ((), SKY):
        value = loss_of(replace(MEMBER, loss=loss, exclusive=exclusive), LABELS)(logits_BL, targets_BL)
        (slope_BL,) = torch.autograd.grad(value, logits_BL)
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert slope_BL.isfinite().all()


@pytest.mark.parametrize("loss", KINDS)
def test_following_the_gradient_ends_at_the_truth(loss: Kind) -> None:
    logits_BL, targets_BL = batch()
    criterion = loss_of(replace(MEMBER, loss=loss, exclusive=SKY), LABELS)
    optimizer = torch.optim.Adam([logits_BL], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        criterion(logits_BL, targets_BL).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert ((activation(logits_BL, LABELS, SKY) > 0.5) == targets_BL.bool()).all()


def test_every_option_changes_what_is_learnt() -> None:
    options: list[dict[str, Any]] = [
        *({"loss": loss} for loss in KINDS),
        {"label_smoothing": 0.1},
        {"loss": "asymmetric", "label_smoothing": 0.1},
        {"labels": ("mine", "water")},
        {"exclusive": SKY},
        {"exclusive": SKY, "label_smoothing": 0.1},
        {"exclusive": SKY, "loss": "soft-f2"},
        {"exclusive": SKY[:2]},
    ]
    slopes = [gradient(each) for each in options]
    for index, slope_BL in enumerate(slopes):
        assert not any(torch.allclose(slope_BL, other_BL) for other_BL in slopes[:index]), options[index]


@pytest.mark.parametrize("loss", KINDS)
def test_only_the_members_labels_count_and_as_if_there_were_no_others(loss: Kind) -> None:
    logits_BL, targets_BL = batch()
    few = ("mine", "water")
    columns = [LABELS.index(label) for label in few]
    found = loss_of(replace(MEMBER, loss=loss, labels=few), LABELS)(logits_BL, targets_BL)
    expected = loss_of(replace(MEMBER, loss=loss), few)(logits_BL[:, columns], targets_BL[:, columns])
    torch.testing.assert_close(found, expected)
    slope_BL = gradient({"loss": loss, "labels": few})
    assert (slope_BL[:, [0, 1, 2, 4]] == 0).all()
    assert (slope_BL[:, columns] != 0).any(dim=0).all()


def test_every_logit_of_softmax_and_sigmoids_gets_the_slope_that_bce_would_give_it() -> None:
    logits_BL, targets_BL = batch()
    probs_BL = activation(logits_BL, LABELS, SKY)
    torch.testing.assert_close(gradient({"exclusive": SKY}), (probs_BL - targets_BL) / logits_BL.numel())
    torch.testing.assert_close(gradient({"exclusive": SKY})[:, 3:], gradient({})[:, 3:])


def test_all_labels_under_one_softmax_are_plain_cross_entropy() -> None:
    logits_BL, targets_BL = batch()
    sky_BL, truth_BL = logits_BL[:, :3], targets_BL[:, :3]
    found = loss_of(replace(MEMBER, exclusive=SKY), LABELS[:3])(sky_BL, truth_BL)
    torch.testing.assert_close(3 * found, functional.cross_entropy(sky_BL, truth_BL.argmax(dim=1)))


def test_chips_with_none_or_two_of_the_exclusive_labels_leave_their_term_out() -> None:
    logits_BL, targets_BL = batch(4)
    targets_BL[0, :3] = 0
    targets_BL[1, :3] = 1
    loss = loss_of(replace(MEMBER, exclusive=SKY), LABELS)(logits_BL, targets_BL)
    (slope_BL,) = torch.autograd.grad(loss, logits_BL)
    assert (slope_BL[:2, :3] == 0).all()
    assert (slope_BL[2:, :3] != 0).all()
    assert (slope_BL[:, 3:] != 0).all()


def test_activation_is_a_softmax_over_the_exclusive_labels_and_sigmoids_elsewhere() -> None:
    logits_BL, _ = batch()
    probs_BL = activation(logits_BL, LABELS, SKY)
    torch.testing.assert_close(probs_BL[:, :3], torch.softmax(logits_BL[:, :3], dim=1))
    torch.testing.assert_close(probs_BL[:, 3:], torch.sigmoid(logits_BL[:, 3:]))
    torch.testing.assert_close(activation(logits_BL, LABELS, ()), torch.sigmoid(logits_BL))
    spread_BL = activation(logits_BL, LABELS, ("water", "cloudy"))
    torch.testing.assert_close(spread_BL[:, [1, 5]], torch.softmax(logits_BL[:, [1, 5]], dim=1))
    torch.testing.assert_close(spread_BL[:, [0, 2, 3, 4]], torch.sigmoid(logits_BL[:, [0, 2, 3, 4]]))


class Activation(torch.nn.Module):
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return activation(logits, LABELS, ("water", "cloudy", "haze"))


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_activation_exports(tmp_path: Path) -> None:
    logits_BL = batch()[0].detach()
    torch.onnx.export(
        Activation(), (logits_BL,), tmp_path / "graph.onnx", input_names=["logits"], dynamo=True,
        dynamic_shapes={"logits": {0: torch.export.Dim("batch", min=1, max=4096)}}, opset_version=20,
        verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    for part_BL in (logits_BL, logits_BL[:1]):
        (found_BL,) = session.run(None, {"logits": part_BL.numpy()})
        np.testing.assert_allclose(found_BL, Activation()(part_BL).numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("lake",)}, "no label lake; the data has clear, cloudy"),
        ({"exclusive": ("clear", "fog")}, "no label fog"),
        ({"labels": ("mine",), "exclusive": SKY}, "`labels` leaves out"),
        ({"exclusive": ("clear",)}, "name at least two"),
        ({"loss": "soft-f2", "label_smoothing": 0.1}, "set label_smoothing=0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"test_resnet: .*{message}"):
        loss_of(replace(MEMBER, **options), LABELS)
