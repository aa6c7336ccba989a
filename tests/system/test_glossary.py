"""The glossary: whoever links to a word finds it, and the page says what it says."""

import re
from pathlib import Path

import pytest

from tests.kit.serving import ROOT

GLOSSARY = ROOT / "docs/glossary.md"
TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "service/client/README.md"]
CARD = ROOT / "service/web/card.js"


def flat(path: Path) -> str:
    """A text with its lines joined."""
    return " ".join(path.read_text(encoding="utf-8").split())


def entries() -> dict[str, str]:
    """Each word's text, its lines joined."""
    parts = re.split(r"^### (.+)$", GLOSSARY.read_text(encoding="utf-8"), flags=re.M)
    texts = (" ".join(re.sub(r"^## .+$", "", text, flags=re.M).split()) for text in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_links_to_words_lead_to_words(text: Path) -> None:
    linked = set(re.findall(r"\]\([^)]*?glossary\.md#([^)]+)\)", flat(text)))
    assert linked <= {word.lower().replace(" ", "-") for word in entries()}


@pytest.mark.parametrize("word", ["cross-fitted", "held-out", "in-sample"])
def test_the_page_says_how_scores_were_measured_as_the_glossary_does(word: str) -> None:
    (shown,) = re.findall(rf'"{word}": "{word}: (.+)",', CARD.read_text(encoding="utf-8"), re.I)
    assert entries()[word].lower().startswith(shown.lower())


def test_the_page_explains_a_vote_as_the_glossary_does() -> None:
    (shown,) = re.findall(r'\bvote: "(A label is set when .+?\.) (Training .+)",', CARD.read_text("utf-8"))
    vote, quorum = shown
    assert vote in entries()["vote"]
    assert quorum.removesuffix(".") in entries()["quorum"]
