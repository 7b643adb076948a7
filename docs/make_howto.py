"""Run the programs of docs/howto, or of other pages: write their outputs and pictures.

    python docs/make_howto.py [PAGE...]

The tests check that the outputs are current; pictures are written by the programs themselves.
"""

import contextlib
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
BLOCK = re.compile(r"```python\n(.*?)```\n```text\n(.*?)```", re.DOTALL)


def current(page: Path) -> str:
    """The page with what its programs print now, run one after the other in one namespace."""
    names: dict[str, object] = {}

    def run(block: re.Match[str]) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block[1], page.name, "exec"), names)  # noqa: S102
        return f"```python\n{block[1]}```\n```text\n{out.getvalue()}```"

    return BLOCK.sub(run, page.read_text(encoding="utf-8"))


def main(pages: list[str]) -> None:
    """Write the pages and their pictures."""
    for page in map(Path, pages) if pages else sorted((HERE / "howto").glob("*.md")):
        page = page.resolve()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            text = current(page)
            for picture in re.findall(r"\(\.\./pictures/howto/([\w.]+)\)", text):
                shutil.copy(picture, HERE / "pictures/howto" / picture)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
