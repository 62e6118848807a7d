"""Runs celldec and PyTorch in alternating rounds and prints one line for every figure.

Both programs stay alive for all rounds; while one measures, the other waits for its next request.
With one thread both are bound to one CPU, so that neither can use another unnoticed.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

COMPARED = ["scdcc_step", "clustering_epoch"]
FLOOR = "gemm_floor"


class Program:
    def __init__(self, command, threads):
        environment = dict(os.environ)
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]:
            environment[variable] = str(threads)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: bind_to(threads),
        )
        self.milliseconds = {}

    def measure(self, figure, seconds):
        self.process.stdin.write(f"{figure} {seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended with status {self.process.wait()}")
        times = json.loads(line)["milliseconds"]
        self.milliseconds.setdefault(figure, []).extend(times)
        return statistics.median(times)

    def median(self, figure):
        return statistics.median(self.milliseconds[figure])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def bind_to(threads):
    if hasattr(os, "sched_setaffinity"):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, available[:threads])


def note(text):
    print(text, file=sys.stderr, flush=True)


def compare(threads, arguments):
    here = Path(__file__).parent
    celldec = Program([arguments.celldec], threads)
    pytorch = Program([sys.executable, str(here / "step_time.py"), str(threads)], threads)
    plural = "" if threads == 1 else "s"
    for number in range(arguments.rounds):
        for figure in COMPARED:
            ours = celldec.measure(figure, arguments.seconds)
            theirs = pytorch.measure(figure, arguments.seconds)
            note(
                f"{threads} thread{plural}, round {number + 1}: {figure} "
                f"celldec {ours:.2f} ms, PyTorch {theirs:.2f} ms"
            )
        floor = celldec.measure(FLOOR, arguments.seconds / 4)
        note(f"{threads} thread{plural}, round {number + 1}: {FLOOR} {floor:.2f} ms")
    celldec.close()
    pytorch.close()
    suffix = f"{threads}thread{plural}"
    lines = []
    for figure in COMPARED:
        ours, theirs = celldec.median(figure), pytorch.median(figure)
        lines.append(f"{figure}_{suffix} {ours / theirs:.3f}")
        lines.append(f"{figure}_{suffix}_celldec_ms {ours:.2f}")
        lines.append(f"{figure}_{suffix}_pytorch_ms {theirs:.2f}")
    floor = celldec.median(FLOOR)
    lines.append(f"{FLOOR}_{suffix}_ms {floor:.2f}")
    lines.append(f"scdcc_step_over_{FLOOR}_{suffix} {celldec.median('scdcc_step') / floor:.2f}")
    return lines


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--celldec", required=True, help="the example step_time, built")
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each number of threads")
    parser.add_argument("--seconds", type=float, default=5, help="length of a measurement")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    torch = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    note(f"{processor()}, {os.cpu_count()} CPUs; PyTorch {torch}")
    if os.getloadavg()[0] > 0.5:
        note(f"load average {os.getloadavg()[0]:.1f}: other programs disturb the measurement")
    lines = [line for threads in arguments.threads for line in compare(threads, arguments)]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
