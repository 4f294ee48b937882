"""Pages in one HTML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files


def filled_page(name: str, values: Mapping[str, str]) -> str:
    """A page of this folder behind the head that all share, with a value in the place of each `{{name}}`.

    Args:
        name (`str`): The page's file, such as `"player.html"`; it begins with its style.
        values (`Mapping[str, str]`): What is put in, as HTML; `title` too.
    """
    page = "".join(files(__package__).joinpath(part).read_text(encoding="utf-8") for part in ("page_head.html", name))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], page)
