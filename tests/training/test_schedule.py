import pytest
import torch

from training.schedule import step_at_thirds


@pytest.mark.parametrize("epochs", [3, 10, 30, 31, 60])
def test_the_rate_falls_as_pytorchs_multi_step_schedule(epochs: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    milestones = [-(-epochs // 3), -(-2 * epochs // 3)]
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    for epoch in range(epochs):
        assert step_at_thirds(epoch, epochs) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_thirty_epochs_are_ten_at_each_rate() -> None:
    assert [round(step_at_thirds(epoch, 30), 9) for epoch in range(30)] == [1.0] * 10 + [0.1] * 10 + [
        0.01
    ] * 10
