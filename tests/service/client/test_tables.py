import io
from typing import Any

from rich.console import Console

from service.client.schemas import Loaded, Shadow, Swap
from service.client.tables import label_table, prediction_table, shadow_table, swap_table


def printed(table: Any) -> str:  # noqa: ANN401
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def test_a_file_has_its_labels_or_its_problem() -> None:
    score = {"label": "water", "probability": 0.987, "votes": 3, "predicted": True}
    results: Any = [
        {"filename": "a.png", "scores": [score, {**score, "label": "road", "predicted": False}]},
        {"filename": "b.png", "error": {"title": "Empty chip", "detail": "no bytes"}},
    ]
    text = printed(prediction_table(results))
    assert "water 0.99" in text
    assert "road" not in text
    assert "Empty chip: no bytes" in text


def test_a_warning_is_below_the_labels() -> None:
    score = {"label": "water", "probability": 0.987, "votes": 3, "predicted": True}
    results: Any = [{"filename": "a.png", "scores": [score], "warnings": ["it was squeezed", "and more"]}]
    text = printed(prediction_table(results))
    assert text.index("water 0.99") < text.index("it was squeezed") < text.index("and more")


def test_a_label_has_the_thresholds_that_have_a_say() -> None:
    label = {"name": "water", "group": "common", "prevalence": 0.25, "f2": None, "quorum": 2}
    answer: Any = {
        "model": {"name": "m", "version": "1"},
        "rule": "vote",
        "labels": [{**label, "thresholds": [0.2, 0.3, 0.4], "weights": [1, 0, 2]}],
    }
    text = printed(label_table(answer))
    assert "m 1, rule vote" in text
    assert "0.200 0.400×2" in text
    assert "0.300" not in text


def test_names_and_versions_are_no_markup() -> None:
    serving, other = Loaded(bundle="[red]a", version="[/]"), Loaded(bundle="[/red]", version="[b]")
    swap = Swap(bundles=["[/c]"], serving=serving, other=other, shadow=True, job=None)
    shadow = Shadow(
        serving="[/]", candidate="[/b]", share=1, failed=0, skipped=0, chips=0, different=0, labels=[]
    )
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(swap_table(swap), shadow_table(shadow))
    shown = console.export_text()
    assert all(text in shown for text in ("[red]a", "[/]", "[/red]", "[b]", "[/c]", "[/b] on 100%"))
