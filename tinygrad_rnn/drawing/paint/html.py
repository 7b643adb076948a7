"""A scene as one self-contained page: pan, zoom, search, highlight, collapse."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from xml.etree import ElementTree as ET

from ..text import READABLE
from .shapes import Scene
from .svg import write


def page(scene: Scene, theme: str) -> str:
    """The page; it refers to nothing outside of itself and forbids the browser to try.

    Only the page's own script may run: the browser is told its hash.
    """
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    template = template.replace("READABLE", f"{READABLE:g}", 1)
    title = ET.Element("title")
    title.text = scene.title
    picture = write(scene, theme, indent="").rstrip()
    scheme = {"auto": "light dark"}.get(theme, theme)
    script = template.split("<script>")[1].split("</script>")[0]
    allowed = "sha256-" + b64encode(sha256(script.encode()).digest()).decode()
    template = template.replace("SCHEME", scheme, 1).replace("SCRIPT", allowed, 1)
    head, tail = template.split("PICTURE", 1)
    head = head.replace("<style>", ET.tostring(title, encoding="unicode") + "\n<style>", 1)
    head = head.replace("<body>", f'<body class="{theme}">', 1)
    return head + picture + tail
