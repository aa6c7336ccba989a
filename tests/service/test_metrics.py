from service.metrics import Metrics


def test_two_services_in_one_process_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()
    first.predicted.labels("water").inc()
    assert first.registry.get_sample_value("chipvote_labels_predicted_total", {"label": "water"}) == 1
    assert second.registry.get_sample_value("chipvote_labels_predicted_total", {"label": "water"}) is None


def test_every_metric_is_ours_or_the_process() -> None:
    families = {family.name for family in Metrics().registry.collect()}
    assert all(name.startswith(("chipvote_", "process_")) for name in families)


def test_outcomes_are_exposed_before_the_first_chip() -> None:
    text = Metrics().exposition().decode()
    for outcome in ("answered", "refused", "failed"):
        assert f'chipvote_chips_total{{outcome="{outcome}"}} 0.0' in text
