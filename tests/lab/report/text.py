"""What stands in a page."""

import re


def first(pattern: str, text: str, flags: int = 0) -> re.Match[str]:
    """Its first match; there has to be one."""
    match = re.search(pattern, text, flags)
    assert match is not None, f"{pattern} is not in the page"
    return match
