from pathlib import Path

from service.client.files import find_images
from service.contract.bundle import Bundle
from service.engine.crew import Crew
from service.engine.ensemble import Ensemble
from service.offline.bulk.copies import Copies
from service.offline.bulk.inputs import items
from service.offline.bulk.scorer import OpenBundle, Scorer
from service.offline.files import predict_files
from service.settings import Settings


def test_rows_say_what_predict_says(colours: Bundle, settings: Settings, chips: Path) -> None:
    scorer = OpenBundle(settings, all_members=True)()
    with scorer.crew, Crew(lambda: Ensemble(colours, "cpu"), settings.max_batch) as crew:
        rows = {row.name: row for row in scorer.rows(items(str(chips)))}
        for found in predict_files(crew, colours, find_images([chips]), settings):
            row = rows.pop(Path(str(found["filename"])).relative_to(chips).as_posix())
            if "error" in found:
                assert (row.title, row.reason) == (found["error"]["title"], found["error"]["detail"])
            else:
                assert row.verdict
                assert row.verdict.members == found["members"]
                assert row.verdict.probabilities == [score["probability"] for score in found["scores"]]
    assert not rows


def test_networks_do_not_see_again_what_they_answered(
    colours: Bundle, settings: Settings, chips: Path, tmp_path: Path
) -> None:
    class Counting(Ensemble):
        seen = 0

        def vote(self, chips_BHWC, explain=False):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            Counting.seen += len(chips_BHWC)
            return super().vote(chips_BHWC, explain)

    copies = Copies(tmp_path / "copies")
    with Crew(lambda: Counting(colours, "cpu"), settings.max_batch) as crew:
        scorer = Scorer(crew, colours.manifest.input, settings, copies)
        first = [copies.marked(row) for row in scorer.rows(items(str(chips)))]
        seen = Counting.seen
        again = list(scorer.rows(items(str(chips))))
    assert 0 < seen <= 39  # one is broken, and a copy may be known before it is read
    assert Counting.seen == seen
    shown = [row.verdict and row.verdict._replace(member_probabilities=[]) for row in first]
    assert [row.verdict for row in again] == shown
    copies.close()
