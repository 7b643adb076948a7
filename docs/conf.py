"""The documentation as a site: `sphinx-build -W -n --keep-going docs build/site`.

The pages are the Markdown of this folder, as they are read on a forge. What only the site has is
made here: the order of pages, the reference, and a page for every example.
"""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import desc, desc_signature, pending_xref
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import docstrings  # noqa: E402
import reference  # noqa: E402

import tinygrad_rnn  # noqa: E402

project = "tinygrad_rnn"
author = copyright = "the tinygrad_rnn maintainers"  # noqa: A001 - Sphinx's name
version = release = tinygrad_rnn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
root_doc = "index"
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
myst_heading_anchors = 4
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autosummary_imported_members = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "tinygrad_rnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
}

SECTIONS = {
    "guides": (
        "Guides",
        [
            "bptt",
            "study",
            "derive",
            "modules",
            "sequences",
            "long",
            "scan",
            "transforms",
            "gallery",
        ],
    ),
    "teaching": ("Teaching", ["faq", "exercise"]),
    "about": (
        "About",
        ["performance", "design", "site/examples", "site/contributing", "site/changelog"],
    ),
}
"""The site's sections beside the reference, and the pages in them."""


def write_pages(folder: Path) -> None:
    """The pages that only the site has."""
    folder.mkdir(exist_ok=True)
    for name, (title, pages) in SECTIONS.items():
        lines = [title, "=" * len(title), "", ".. toctree::", "   :maxdepth: 1", ""]
        reference.put(folder / f"{name}.rst", [*lines, *(f"   ../{page}" for page in pages)])
    for program in sorted((HERE / "../examples").glob("*.py")):
        lines = [":orphan:", "", program.name, "=" * len(program.name), ""]
        lines += [f".. literalinclude:: ../../examples/{program.name}"]
        reference.put(folder / f"{program.stem}.rst", lines)
    for page in ("CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"):
        text = (HERE.parent / page).read_text(encoding="utf-8")
        text = re.sub(r"\]\((\w+)\.py\)", r"](\1.rst)", text.replace("](docs/", "](../"))
        reference.put(folder / f"{page.split('/')[0].removesuffix('.md').lower()}.md", [text])


write_pages(HERE / "site")
reference.write(HERE / "reference")
find = reference.Links()


def add_site(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to files beside docs/ go to pages of the site; the index gets the order of pages."""
    text = source[0]
    text = re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](/site/\1.rst)", text)
    text = text.replace("](../examples/README.md)", "](/site/examples.md)")
    text = re.sub(r"\]\(\.\./([A-Z]+)\.md\)", lambda m: f"](/site/{m[1].lower()}.md)", text)
    if page == "index":
        entries = [*(f"site/{name}" for name in SECTIONS), "reference/index"]
        text += "\n```{toctree}\n:hidden:\n\n" + "\n".join(entries) + "\n```\n"
    source[0] = text


def read_docstring(
    app: Sphinx, kind: str, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """The house's docstrings, in the form that autodoc wants."""
    if kind == "data":  # autodoc has found the docstring of its type
        lines.clear()
    lines[:] = docstrings.rst("\n".join(lines)).split("\n")
    if isinstance(value, type) and (ancestor := find.ancestor(value)):
        shown = ancestor.replace("tinygrad_rnn", "tg", 1)
        lines += ["", f"It is a :py:obj:`{shown} <{ancestor}>`, and has all of its methods.", ""]


def skip(app: Sphinx, kind: str, name: str, value: object, skipped: bool, options: Any) -> Any:
    """The fields of named tuples are described by the docstrings of their classes."""
    return True if (getattr(value, "__doc__", "") or "").startswith("Alias for field") else None


def link_code(app: Sphinx, doctree: nodes.document) -> None:
    """Code that names something public is a link to its page."""
    for code in list(doctree.findall(nodes.literal)):
        if any(isinstance(n, nodes.reference | pending_xref | nodes.title) for n in above(code)):
            continue
        within = next((n for n in above(code) if isinstance(n, desc)), None)
        signature = None if within is None else next(iter(within.findall(desc_signature)))
        own = f"{signature['module']}.{signature['fullname']}" if signature is not None else ""
        if target := find(code.astext(), own):
            link = pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True
            )
            link["refdoc"] = app.env.docname
            code.replace_self(link)
            link += code


def above(node: nodes.Node) -> Any:
    """The nodes that a node lies in, from the inside."""
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_site)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", link_code)
