"""Mistakes planted in other people's backward passes, and the reports of `study.compare` on them.

    python benchmarks/mistakes/run.py [NAME ...] [--out FOLDER] [--right]

The sentences in `mistakes.py` were written before anything was run, by one who had not read the
search; 57 of the single mistakes are from public questions and reviews, whose address is there. The
sheet has the sentence, the change and the report of each, to be judged by reading. NAME is a part
of a name. With --right the passes without a mistake are run, in both precisions.
"""

import argparse
import pathlib
import subprocess
import sys
import time

import load
import mistakes

LIMIT = 60
"""Seconds for one pass, in a process of its own."""


def report(name, dtype):
    """Run one case here: the whole text of its report, and how long it took."""
    from tinygrad_rnn import study

    case = next((c for c in mistakes.ONE + mistakes.TWO if c["name"] == name), None)
    module = load.load(name, ()) if case is None else load.load(case["program"], case["edits"])
    problem, hand = load.arguments(module, None if dtype == "float64" else dtype)
    began = time.perf_counter()
    compared = study.compare(hand=hand, **problem)
    print(f"{time.perf_counter() - began:.2f} s, agrees = {compared.agrees}\n\n{compared}")


def asked(name, dtype):
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, dtype]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"longer than {LIMIT} s"
    return done.stdout if done.returncode == 0 else done.stderr


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", default="results", type=pathlib.Path)
    parser.add_argument("--right", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        report(*options.one)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.right:
        programs = sorted(p.stem for p in (load.HERE / "programs").glob("*.py"))
        for program in programs:
            for dtype in ("float64", "float32"):
                verdict = "rejected" if "agrees = True" not in asked(program, dtype) else "accepted"
                print(f"{program:24} {dtype}  {verdict}", flush=True)
        return
    parts = ["# Planted mistakes and their reports\n"]
    for case in mistakes.ONE + mistakes.TWO:
        if options.names and not any(part in case["name"] for part in options.names):
            continue
        found = asked(case["name"], "float64")
        print(f"{case['name']:28} {found.splitlines()[0]}", flush=True)
        changes = "\n".join(f"- {old}\n+ {new}" for old, new, *_ in case["edits"])
        parts.append(
            f"## {case['name']}\n\n**planted**: {case['says']}\n\n**place**: {case['place']}\n\n"
            f"{case['source'] or ''}\n\n```diff\n{changes}\n```\n\n```text\n{found}```\n"
        )
    (options.out / "sheet.md").write_text("\n".join(parts))
    print(options.out / "sheet.md")


if __name__ == "__main__":
    main()
