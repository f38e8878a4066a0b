"""What all HTML pages share: templates that escape, the style sheet, and a content policy."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """A part of a page that one kind of task has.

    Attributes:
        id: Where links lead.
        title: Its heading.
        markup: What stands below the heading; escaped.
    """

    id: str
    title: str
    markup: Markup


@cache
def template(name: str) -> Template:
    """Return a template of this package; what is put into it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nshot.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@cache
def own_file(name: str) -> str:
    """Return the text of a file that lies beside the templates."""
    return files("nshot.report").joinpath("templates", name).read_text(encoding="utf-8")


def content_policy(script: str = "") -> str:
    """Return a policy that allows no request at all, and no script but this one (by its hash)."""
    allowed = ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        allowed = f" script-src 'sha256-{digest}';"
    return f"default-src 'none'; style-src 'unsafe-inline';{allowed} img-src data:; base-uri 'none'; form-action 'none'"
