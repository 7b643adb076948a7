"""Run the notebooks here again, and keep what they show.

python examples/notebooks/run.py
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def run(notebook, folder):
    """Run a notebook's cells in a folder, with a kernel of its own; their outputs stand in it."""
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()


def main():
    for path in sorted(HERE.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        metadata = dict(notebook.metadata)
        run(notebook, HERE)
        notebook.metadata = metadata  # without the version of this Python
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    sys.exit(main())
