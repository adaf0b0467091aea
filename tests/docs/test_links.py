"""Every relative link of a page leads somewhere, its anchor too, and from the index one reaches every page."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name

INDEX = ROOT / "docs" / "README.md"


def internal(page: Path) -> list[str]:
    return [link for link in links(page) if "://" not in link and not link.startswith("mailto:")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in internal(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            broken.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{link}: there is no such heading")
    assert broken == []


def test_the_index_names_every_page() -> None:
    named = {(INDEX.parent / link.partition("#")[0]).resolve() for link in internal(INDEX)}
    assert [name(page) for page in PAGES if page != INDEX and page not in named] == []


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# The wire: `rl-dsp`, JSON\n## Figures\n## Figures\n```sh\n# no heading\n```\n### kind = "kill"\n')
    assert anchors(page) == {"the-wire-rl-dsp-json", "figures", "figures-1", "kind--kill"}
