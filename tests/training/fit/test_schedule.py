import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

from training.fit.task import rate_factor


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=1.0)


@pytest.mark.parametrize("epochs", [3, 10, 30, 31, 60])
def test_the_rate_falls_as_pytorchs_multi_step_schedule(epochs: int) -> None:
    stepped = optimizer()
    milestones = [-(-epochs // 3), -(-2 * epochs // 3)]
    reference = torch.optim.lr_scheduler.MultiStepLR(stepped, milestones, gamma=0.1)
    for epoch in range(epochs):
        for moment in (epoch, epoch + 0.99):
            assert rate_factor("step", moment, epochs) == pytest.approx(reference.get_last_lr()[0])
        stepped.step()
        reference.step()


def test_thirty_epochs_are_ten_at_each_rate() -> None:
    found = [round(rate_factor("step", epoch, 30), 9) for epoch in range(30)]
    assert found == [1.0] * 10 + [0.1] * 10 + [0.01] * 10


@pytest.mark.parametrize("epochs", [1, 10, 31])
def test_cosine_falls_as_pytorchs_cosine_annealing(epochs: int) -> None:
    stepped, per_epoch = optimizer(), 7
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(stepped, T_max=epochs * per_epoch)
    for step in range(epochs * per_epoch + 1):
        found = rate_factor("cosine", step / per_epoch, epochs)
        assert found == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        stepped.step()
        reference.step()


@pytest.mark.parametrize(("epochs", "warmup_epochs"), [(10, 1), (30, 5), (4, 3)])
def test_warm_up_and_cosine_go_as_timms(epochs: int, warmup_epochs: int) -> None:
    per_epoch = 6
    reference = CosineLRScheduler(
        optimizer(),
        t_initial=(epochs - warmup_epochs) * per_epoch,
        warmup_t=warmup_epochs * per_epoch,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    for step in range(epochs * per_epoch):
        found = rate_factor("cosine", step / per_epoch, epochs, warmup_epochs)
        assert found == pytest.approx(reference._get_lr(step)[0], abs=1e-12)


def test_warm_up_comes_before_the_steps_without_moving_them() -> None:
    assert [rate_factor("step", epoch, 6, 1) for epoch in (0, 0.25, 1, 2)] == [0, 0.25, 1, 0.1]
