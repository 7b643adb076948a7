"""The documentation as a site: `sphinx-build -W -n --keep-going docs build/site`.

The pages are the Markdown of this folder, as they are read on a forge. What only the site has is
made here: the order of pages, the reference, and a page for every example.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import desc, desc_signature, pending_xref
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import docstrings  # noqa: E402
import reference  # noqa: E402

import tinygrad_rnn  # noqa: E402

project = "tinygrad_rnn"
author = copyright = "the tinygrad_rnn maintainers"  # noqa: A001 - Sphinx's name
version = release = tinygrad_rnn.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
root_doc = "index"
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
myst_heading_anchors = 4
nb_execution_mode = "off"
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
html_show_search_summary = False  # it would be fetched, which a folder of files does not allow
html_context = {"default_mode": "auto"}
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
    "howto": (
        "How do I ...",
        [
            "howto/first_picture",
            "howto/own_cell",
            "howto/notebook",
            "site/examples-notebooks-bptt",
            "site/examples-notebooks-own_cell",
            "howto/command_line",
            "howto/coming_from",
            "howto/paper",
            "howto/csv",
            "howto/gradient_norms",
            "howto/own_loss",
            "howto/own_operation",
            "howto/speed",
        ],
    ),
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
    "teaching": ("Teaching", ["teaching", "hundred_lines", "exercise", "faq"]),
    "about": (
        "About",
        [
            "performance",
            "design",
            "limits",
            "site/examples-readme",
            "site/contributing",
            "site/changelog",
        ],
    ),
}
"""The site's sections beside the reference, as in index.md, and the order of pages in each."""


LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([\w./-]+)(?=[)#])")


def rewritten(text: str, folder: Path) -> str:
    """A page that stands in a folder, with links to files beside docs/ led to pages of the site."""

    def target(link: re.Match[str]) -> str:
        path = (folder / link[1]).resolve()
        if HERE in path.parents:
            return "/" + path.relative_to(HERE).as_posix()
        return f"/site/{site_name(path)}" if path.is_file() else link[1]

    return LINK.sub(target, text)


def site_name(path: Path) -> str:
    """The file of the site that shows a file beside docs/."""
    name = path.relative_to(HERE.parent).as_posix().replace("/", "-").lower()
    return name if path.suffix in (".md", ".ipynb") else name + ".rst"


def write_pages(folder: Path) -> None:
    """The pages that only the site has: of its sections, and of linked files beside docs/."""
    folder.mkdir(exist_ok=True)
    index = (HERE / "index.md").read_text(encoding="utf-8")
    for name, (title, pages) in SECTIONS.items():
        about = re.search(rf"## {re.escape(title)}\n(.*?)(?=\n## |\Z)", index, re.DOTALL)
        assert about, f"index.md has no section {title!r}"
        lines = [f"# {title}", about[1].replace("\n### ", "\n## "), "```{toctree}", ":hidden:", ""]
        lines += [*(f"/{page}" for page in pages), "```"]
        reference.put(folder / f"{name}.md", [rewritten("\n".join(lines), HERE)])

    to_do, done = [*HERE.glob("*.md"), *HERE.glob("howto/*.md")], set()
    while to_do:
        page = to_do.pop()
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / link).resolve()
            if path.is_file() and HERE not in path.parents and path not in done:
                done.add(path)
                write_page(path, folder)
                to_do += [path] if path.suffix == ".md" else []


def write_page(path: Path, folder: Path) -> None:
    """The page of a file beside docs/."""
    if path.suffix in (".md", ".ipynb"):
        lines = [rewritten(path.read_text(encoding="utf-8"), path.parent).rstrip()]
    else:
        name = path.relative_to(HERE.parent).as_posix()
        lines = [":orphan:", "", name, "=" * len(name), "", f".. literalinclude:: ../../{name}"]
    reference.put(folder / site_name(path), lines)


write_pages(HERE / "site")
reference.write(HERE / "reference")
find = reference.Links()
# `tensor` and `Tensor` are one file name on some systems
autosummary_filename_map = {
    name: f"{name}_function" for name in find.names if name.islower() and find.has_namesake(name)
}


def add_site(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to files beside docs/ lead to pages of the site; the index gets the order of pages."""
    if page.startswith(("site/", "reference/")):
        return
    text = rewritten(source[0], (HERE / page).parent)
    if page == "index":
        entries = [*(f"site/{name}" for name in SECTIONS)]
        entries.insert(-1, "reference/index")
        text = text.replace("- Every public name,", "- [Every public name](/reference/index.rst),")
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


def read_signature(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, shown: str, returns: str
) -> tuple[str, str] | None:
    """Of a class, the arguments of its constructor: autodoc prefers `__new__`, which takes any."""
    if shown != "(*args, **kwargs)" or not isinstance(value, type):
        return None
    own = stringify_signature(inspect.signature(value), show_annotation=False)
    return re.sub(r"dtype\('(\w+)'\)", r"\1", own).partition(" -> ")[0], returns


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
    app.connect("autodoc-process-signature", read_signature)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", link_code)
