"""Times reading of the same files by celldec and by anndata and scanpy, in turns.

python compare.py READ_FILES FILE.h5ad… : the program built from read_files.rs, and AnnData files.
Each file is also written as a 10x folder, compressed and plain. Prints the best of all rounds in
milliseconds: the machine may be shared, and everything that disturbs only adds.
"""

import gzip
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.io
import scipy.sparse as sp

ROUNDS, TURNS = 3, 3
# What celldec promises: how many times as fast as Python it has to be.
GOALS = {"h5ad": 1.0, "mtx.gz": 5.0, "mtx": 5.0}


def write_10x(folder, data, compressed):
    """A folder of Cell Ranger 3 or, not compressed, of Cell Ranger 2."""
    folder.mkdir()
    types = "\tGene Expression" if compressed else ""
    files = {
        "barcodes.tsv": "".join(f"{cell}\n" for cell in data.obs_names).encode(),
        ("features.tsv" if compressed else "genes.tsv"): "".join(
            f"{gene}\t{gene}{types}\n" for gene in data.var_names
        ).encode(),
    }
    for name, text in files.items():
        if compressed:
            with gzip.open(folder / f"{name}.gz", "wb") as file:
                file.write(text)
        else:
            (folder / name).write_bytes(text)
    columns = sp.csc_matrix(data.X.T.astype(np.int32))
    opened = gzip.open(folder / "matrix.mtx.gz", "wb") if compressed else (
        open(folder / "matrix.mtx", "wb")
    )
    with opened as file:
        scipy.io.mmwrite(file, columns, field="integer")


def timed(read, path):
    start = time.perf_counter()
    read(path)
    return (time.perf_counter() - start) * 1e3


def compare(name, kind, program, path, read):
    ours, theirs = [], []
    for _ in range(TURNS):
        theirs += [timed(read, path) for _ in range(ROUNDS)]
        output = subprocess.run([program, path, str(ROUNDS)], check=True, capture_output=True)
        ours += json.loads(output.stdout)
    ratio = min(theirs) / min(ours)
    verdict = "met" if ratio >= GOALS[kind] else "MISSED"
    print(
        f"{name:32} {kind:7} {min(ours):8.1f} {min(theirs):8.1f} {ratio:6.1f}x   "
        f"{GOALS[kind]:.0f}x {verdict}",
        flush=True,
    )


def main(program, paths):
    warnings.simplefilter("ignore")
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("anndata", "scanpy"))
    print("best of", ROUNDS * TURNS, "rounds in ms;", *versions)
    print(f"{'file':32} {'kind':7} {'celldec':>8} {'python':>8} {'ratio':>7}   goal")
    for path in map(Path, paths):
        compare(path.name, "h5ad", program, path, ad.read_h5ad)
        data = ad.read_h5ad(path)
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("mtx.gz", "mtx"):
                target = Path(folder) / kind
                write_10x(target, data, kind == "mtx.gz")
                compare(
                    path.name, kind, program, target, lambda p: sc.read_10x_mtx(p, cache=False)
                )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
