from service.engine.swap.differences import Counted
from service.engine.verdict import Verdict


def said(*predicted: bool) -> Verdict:
    return Verdict([0.5] * len(predicted), [0] * len(predicted), list(predicted), 1)


def test_what_differs_is_counted_by_label_and_direction() -> None:
    counted = Counted(["a", "b", "c"])
    assert counted.share == 0
    assert counted.count(said(True, False, False), said(True, False, False)) == []
    assert counted.count(said(True, False, False), said(False, True, False)) == [
        ("a", "removed"),
        ("b", "added"),
    ]
    assert counted.count(said(True, False, False), said(True, True, False)) == [("b", "added")]
    assert counted.share == 3 / 9
    assert counted.told() == {
        "chips": 3,
        "different": 2,
        "labels": [{"label": "a", "added": 0, "removed": 1}, {"label": "b", "added": 2, "removed": 0}],
    }
