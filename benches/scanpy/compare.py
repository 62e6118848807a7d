"""Times whole runs of celldec and of scanpy in turn and prints medians and ratios."""

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import anndata
from sklearn.metrics import adjusted_rand_score

HERE = Path(__file__).parent


def run(command, threads):
    """Wall seconds, processor seconds and peak memory in MB of a command."""
    environment = dict(os.environ)
    for name in ("RAYON", "OMP", "OPENBLAS", "MKL", "NUMBA"):
        environment[f"{name}_NUM_THREADS"] = str(threads)
    start = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def labels(path, column):
    with open(path, newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--celldec", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--file", type=Path, help="counts with obs['cell_type']")
    parser.add_argument("--clusters", type=int, default=12)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.file
    if file is None:
        file = options.folder / f"simulated_{options.cells}.h5ad"
        if not file.exists():
            subprocess.run([sys.executable, HERE / "simulate.py", str(options.cells), file], check=True)
    types = list(anndata.read_h5ad(file, backed="r").obs["cell_type"])

    def celldec(method, *settings):
        output = options.folder / method
        command = [options.celldec, "cluster", file, "--method", method, *settings]
        command += ["--output", output, "--write", "csv"]
        return command, output / "labels.csv", "cluster"

    written = options.folder / "leiden.csv"
    programs = {
        "scanpy": ([sys.executable, HERE / "pipeline.py", file, written], written, "leiden"),
        "celldec scdcc": celldec("scdcc", "--clusters", str(options.clusters)),
        "celldec desc": celldec("desc", "--resolution", "0.3"),
    }
    found = {name: [] for name in programs}
    for number in range(options.rounds):
        for name, (command, path, column) in programs.items():
            measured = run([str(part) for part in command], options.threads)
            agreement = adjusted_rand_score(types, labels(path, column))
            found[name].append((*measured, agreement))
            print(f"# round {number + 1} {name}: {measured[0]:.1f} s", file=sys.stderr)
    medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in found.items()}
    print(f"{len(types)} cells, {options.threads} threads, medians of {options.rounds} interleaved rounds")
    print(f"{'':16}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'ARI':>7}{'wall / scanpy':>15}")
    for name, (wall, processor, memory, agreement) in medians.items():
        ratio = wall / medians["scanpy"][0]
        print(f"{name:16}{wall:9.1f}{processor:9.1f}{memory:9.0f}{agreement:7.3f}{ratio:15.2f}")


if __name__ == "__main__":
    main()
