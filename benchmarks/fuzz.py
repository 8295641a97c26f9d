"""Feeds every place where bytes of others enter with spoilt ones: each has to give a valid answer
or a clear error, soon, in little memory.

    python benchmarks/fuzz.py --runs 100000

Begins with the files of tests/corpus and changes them: led by the coverage of the program where
atheris is installed (pip install atheris), blindly otherwise; knowing the formats, and with
checksums made right again half of the time. Each surface is tried in a process of its own, so that
a crash, a hang or much memory is seen. Prints what came of them; findings are kept in --keep.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
CORPUS = ROOT / "tests/corpus"
SECONDS, MEGABYTES = 20, 1500
"""What one input may take, and what the process that reads them may hold at most."""
LARGEST = 1 << 18
"""Bytes of an input that the fuzzer makes."""
KEPT, KEPT_BYTES = 6, 4096
"""How many inputs of a surface --grow adds at most, and how large they may be."""


class Trial:
    """All inputs of one surface, and what came of them.

    Args:
        name: of the surface.
        runs: inputs to try; the process ends after them.
        keep: folder for findings.
        out: JSON file for the account.
    """

    def __init__(self, name: str, runs: int, keep: Path, out: Path):
        from benchmarks.surfaces import SURFACES

        self.surface, self.runs, self.keep, self.out = SURFACES[name], runs, keep, out
        self.place = Path(tempfile.mkdtemp(prefix="fuzz_"))
        self.outcomes: Counter = Counter()
        self.bad: dict[str, str] = {}
        self.smallest: dict[str, bytes] = {}
        self.slowest, self.count = 0.0, 0

    def try_one(self, data: bytes) -> None:
        """Tries one input; after the last, writes the account and ends the process."""
        from benchmarks.surfaces import try_bytes

        if len(data) <= LARGEST:
            began = time.perf_counter()
            outcome = try_bytes(self.surface, data, self.place)
            self.slowest = max(self.slowest, time.perf_counter() - began)
            self._note(outcome, data)
        self.count += 1
        if self.count >= self.runs:
            self.tell()
            os._exit(0)

    def _note(self, outcome: str, data: bytes) -> None:
        self.outcomes[outcome.split()[0]] += 1
        kind = re.sub(r"\d+", "0", outcome)[:80]
        if kind not in self.smallest or len(data) < len(self.smallest[kind]):
            self.smallest[kind] = data
        if outcome.startswith("BAD") and kind not in self.bad:
            file = self.keep / f"{self.surface.name}-{len(self.bad)}"
            file.write_bytes(data)
            self.bad[kind] = f"{outcome} ({file})"

    def tell(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        account = {
            "outcomes": self.outcomes,
            "bad": list(self.bad.values()),
            "slowest": self.slowest,
            "peak": peak,
            "kinds": len(self.smallest),
        }
        self.out.write_text(json.dumps(account))
        for number, data in enumerate(self.smallest.values()):
            (self.out.parent / f"{self.surface.name}-kind-{number}").write_bytes(data)


def changed(surface, data: bytes, random: np.random.Generator, others: list[bytes]) -> bytes:
    """The input spoilt in a way that knows its format."""
    from benchmarks.spoiling import spoil

    with suppress(Exception):  # a way that needs a whole file, on one that is none any more
        _, data = spoil(surface.name, [data or b"\0"] if random.random() < 0.9 else others, random)
    return surface.reseal(data) if random.random() < 0.5 else data


def run_blindly(trial: Trial, seed: int) -> None:
    """Random changes of the corpus, some of them one after the other."""
    random = np.random.default_rng(seed)
    files = corpus_of(trial.surface.name)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever it is in
    while True:
        data = files[random.integers(len(files))]
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            data = changed(trial.surface, data, random, files)[:LARGEST]
        (trial.keep / "being_read").write_bytes(data)
        signal.alarm(SECONDS)
        trial.try_one(data)
        signal.alarm(0)


def run_by_coverage(trial: Trial, seed: int) -> None:
    """atheris: inputs that reach new lines are kept and changed further."""
    import atheris

    files = corpus_of(trial.surface.name)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        random = np.random.default_rng(number)
        if random.random() < 0.5:
            data = atheris.Mutate(data, min(most, LARGEST))
            return trial.surface.reseal(data)[:most] if random.random() < 0.5 else data
        return changed(trial.surface, data, random, files)[:most]

    found = tempfile.mkdtemp(prefix="corpus_")
    words = [
        sys.argv[0],
        f"-seed={seed + 1}",
        f"-runs={trial.runs * 2}",
        f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-max_len={LARGEST}",
        f"-artifact_prefix={trial.keep}/{trial.surface.name}-",
        "-verbosity=0",
        found,
        str(CORPUS / trial.surface.name),
    ]
    atheris.Setup(words, trial.try_one, custom_mutator=mutate)
    atheris.Fuzz()


def corpus_of(name: str, pattern: str = "*") -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).glob(pattern))]


def child(options: argparse.Namespace) -> None:
    """Tries one surface in this process."""
    name = options.child
    if options.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["pipeline", "model", "commands"]):
            import benchmarks.surfaces  # noqa: F401
        engine = run_by_coverage
    else:
        engine = run_blindly
    engine(Trial(name, options.runs, options.keep, options.out), options.seed)


def try_surface(name: str, runs: int, options: argparse.Namespace, work: Path) -> dict:
    """The account of one surface, tried in a process of its own, whose death is a finding."""
    out = work / f"{name}.json"
    words = [sys.executable, __file__, "--child", name, "--runs", runs, "--seed", options.seed]
    words += ["--engine", options.engine, "--keep", options.keep, "--out", out]
    done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True)
    if out.is_file():
        return json.loads(out.read_text())
    last = [line for line in done.stderr.splitlines() if line.strip()][-12:]
    told = f"the process ended with {done.returncode}: " + " | ".join(last)[-600:]
    return {"outcomes": {"BAD": 1}, "bad": [told], "slowest": 0, "peak": 0, "kinds": 0}


def grow(name: str, work: Path) -> int:
    """Adds the smallest inputs of kinds that the corpus has not to it; how many."""
    from benchmarks.surfaces import SURFACES, try_bytes

    surface = SURFACES[name]
    kind = lambda data: re.sub(r"\d+", "0", try_bytes(surface, data))[:80]
    known = {kind(data) for data in corpus_of(name)}
    added = 0
    for path in sorted(work.glob(f"{name}-kind-*"), key=lambda p: p.stat().st_size):
        data = path.read_bytes()
        if added == KEPT or len(data) > KEPT_BYTES or kind(data) in known:
            continue
        known.add(kind(data))
        added += 1
        number = len(list((CORPUS / name).iterdir()))
        (CORPUS / name / f"{number:02d}{Path(surface.file).suffix}").write_bytes(data)
    return added


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000, help="inputs in all [10,000]")
    parser.add_argument("--surface", action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    found = "atheris" if find_spec("atheris") else "blind"
    parser.add_argument("--engine", choices=["atheris", "blind"], default=found)
    parser.add_argument("--keep", type=Path, help="folder for inputs that something failed on")
    parser.add_argument("--grow", action="store_true", help="add new kinds of inputs to the corpus")
    parser.add_argument("--write-seeds", action="store_true", help="write the corpus' seeds, stop")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.keep = options.keep or Path(tempfile.mkdtemp(prefix="findings_"))
    options.keep.mkdir(parents=True, exist_ok=True)
    if options.child:
        child(options)
    if options.write_seeds:
        from benchmarks.seeds import write_seeds

        write_seeds(CORPUS, Path(tempfile.mkdtemp()))
        return 0
    from benchmarks.surfaces import SURFACES

    work, failed, total = Path(tempfile.mkdtemp(prefix="fuzz_")), False, 0
    names = options.surface or list(SURFACES)
    for name in names:
        account = try_surface(name, -(-options.runs // len(names)), options, work)
        counts = ", ".join(f"{kind} {n}" for kind, n in sorted(account["outcomes"].items()))
        inputs = sum(account["outcomes"].values())
        failed |= bool(account["bad"]) or account["peak"] > MEGABYTES
        total += inputs
        print(
            f"{name:14} {inputs:6} inputs: {counts}; {account['kinds']} kinds, slowest "
            f"{account['slowest']:.2f} s, peak {account['peak']:.0f} MB"
        )
        for line in account["bad"][:10]:
            print(f"  {line}")
        if options.grow:
            print(f"  {grow(name, work)} added to the corpus")
        sys.stdout.flush()
    print(
        f"{total:,} inputs by {options.engine}; findings in {options.keep}"
        if failed
        else f"{total:,} inputs by {options.engine}, nothing found"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
