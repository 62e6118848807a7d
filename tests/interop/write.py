"""Writes AnnData, 10x .h5 and MTX files in every encoding, and what a reader must find in them.

python write.py FOLDER puts the files into FOLDER/python and a list of cases into
FOLDER/python/cases.json: for each, the file, which matrix to read, and every expected value; files of
random layouts (layouts.py) into FOLDER/python/layouts.
tests/interop.rs reads them; check.py checks what that writes.
"""

import gzip
import importlib.metadata
import json
import sys
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.io
import scipy.sparse as sp

import layouts

CELLS, GENES = 23, 7
RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.poisson(0.7, (CELLS, GENES))
NAMES = [f"cell{i}" for i in range(CELLS)]
SYMBOLS = ["A", "B", "C", "D", "E", "F", "Größe"]

# The default of anndata 0.13, an option since 0.11. Before, text always becomes categories.
WRITES_TEXT = hasattr(ad, "settings")
if WRITES_TEXT:
    ad.settings.allow_write_nullable_strings = True


def kinds():
    """A column of every kind, with and without missing values."""
    holes = np.arange(CELLS) % 5 == 1

    def with_holes(values, dtype):
        return pd.array([None if hole else v for v, hole in zip(values, holes)], dtype=dtype)

    words = np.array(["x", "", "zebra", "ä", "long " * 20])[np.arange(CELLS) % 5]
    types = np.array(["B", "T", "NK"])[np.arange(CELLS) % 3]
    text = {"text": words.astype(object), "nullable text": with_holes(words, "string")}
    return {
        "categorical": pd.Categorical(types),
        "categorical with missing": pd.Categorical(with_holes(types, object)),
        "ordered categorical": pd.Categorical(types, ["T", "NK", "B"], ordered=True),
        "categorical of 300": pd.Categorical(
            [f"c{i}" for i in range(CELLS)], [f"c{i}" for i in range(300)]
        ),
        "categorical of integers": pd.Categorical(np.arange(CELLS) % 4),
        **(text if WRITES_TEXT else {}),
        "nullable integer": with_holes(np.arange(CELLS) - 3, "Int64"),
        "nullable boolean": with_holes(np.arange(CELLS) % 2 == 0, "boolean"),
        "boolean": np.arange(CELLS) % 2 == 0,
        "float32": (np.arange(CELLS) / 7).astype(np.float32),
        "float64 with missing": np.where(holes, np.nan, np.arange(CELLS) / 7),
        **{kind: np.arange(CELLS).astype(kind) for kind in INTEGERS},
    }


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def frame(names=NAMES, columns=()):
    return pd.DataFrame(dict(columns), index=pd.Index(names, dtype=object))


def data(counts=None, **columns):
    counts = sp.csr_matrix(COUNTS.astype(np.float32)) if counts is None else counts
    return ad.AnnData(counts, frame(columns=columns), frame(SYMBOLS))


def plain(values):
    """JSON of a column: missing values are null."""
    return [None if pd.isna(v) else v.item() if isinstance(v, np.generic) else v for v in values]


def expected_column(values):
    values = pd.Series(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return {
            "kind": "categorical",
            "categories": [str(c) for c in values.cat.categories],
            "values": [None if code < 0 else int(code) for code in values.cat.codes],
        }
    kind = {"b": "booleans", "i": "integers", "u": "integers", "f": "floats"}.get(
        getattr(values.dtype, "kind", "O"), "strings"
    )
    return {"kind": kind, "values": plain(values)}


class Cases:
    def __init__(self, folder):
        self.folder = folder
        self.cases = []

    def add(self, encoding, file, counts=COUNTS, genes=SYMBOLS, obs=None, obsm=None, **how):
        dense = counts.toarray() if sp.issparse(counts) else np.asarray(counts)
        self.cases.append(
            {
                "encoding": encoding,
                "file": file,
                "cells": NAMES,
                "genes": list(genes),
                "counts": dense.astype(float).tolist(),
                "obs": {name: expected_column(column) for name, column in (obs or {}).items()},
                "obsm": {name: np.asarray(m, float).tolist() for name, m in (obsm or {}).items()},
                **how,
            }
        )

    def matrices(self):
        """CSR, CSC and dense of every type, plain and compressed."""
        shapes = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}
        dtypes = [*INTEGERS, "float32", "float64"]
        for compression in (None, "gzip", "lzf"):
            name = f"matrices_{compression}.h5ad"
            file = data()
            for shape, make in shapes.items():
                for dtype in dtypes:
                    file.layers[f"{shape} {dtype}"] = make(COUNTS.astype(dtype))
            file.layers["dense bool"] = COUNTS > 0
            file.write_h5ad(self.folder / name, compression=compression)
            layers = {name: values for name, values in file.layers.items() if name is not None}
            for layer, values in layers.items():
                how = f"{layer}, {compression or 'not compressed'}"
                self.add(how, name, values, layer=layer)
        wide = sp.csr_matrix(COUNTS.astype(np.float32))
        wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
        data(wide).write_h5ad(self.folder / "wide.h5ad")
        self.add("csr float32 with 64-bit indices", "wide.h5ad")

    def annotations(self):
        columns = kinds()
        for compression in (None, "gzip", "lzf"):
            name = f"annotations_{compression}.h5ad"
            file = data(**columns)
            keeps_text = {"convert_strings_to_categoricals": False} if WRITES_TEXT else {}
            file.write_h5ad(self.folder / name, compression=compression, **keeps_text)
            for column, values in columns.items():
                how = f"obs {column}, {compression or 'not compressed'}"
                self.add(how, name, obs={column: values})

    def parts(self):
        if WRITES_TEXT:
            file = data(kind=pd.Categorical(["a", "b"] * 11 + ["a"]))
            file.obs_names = pd.Index(pd.array(NAMES, dtype="string"))
            file.var_names = pd.Index(pd.array(SYMBOLS, dtype="string"))
            file.write_h5ad(self.folder / "nullable_index.h5ad")
            self.add("names as nullable strings", "nullable_index.h5ad")

        file = data()
        file.obs_names.name = "barcode"
        file.write_h5ad(self.folder / "named_index.h5ad")
        self.add("named index", "named_index.h5ad")

        file = data()
        file.raw = ad.AnnData(
            sp.csr_matrix(np.hstack([COUNTS, COUNTS]).astype(np.float32)),
            frame(),
            frame([f"raw{i}" for i in range(2 * GENES)]),
        )
        file.write_h5ad(self.folder / "raw.h5ad")
        self.add("raw", "raw.h5ad", file.raw.X, file.raw.var_names, raw=True)

        file = data()
        embeddings = {
            "X_float32": RANDOM.normal(size=(CELLS, 3)).astype(np.float32),
            "X_float64": np.arange(CELLS * 2.0).reshape(CELLS, 2),
            "X_int32": np.arange(CELLS * 2, dtype=np.int32).reshape(CELLS, 2),
        }
        for name, embedding in embeddings.items():
            file.obsm[name] = embedding
        file.obsp["distances"] = sp.csr_matrix(np.eye(CELLS, dtype=np.float32))
        file.varm["loadings"] = np.ones((GENES, 2), dtype=np.float32)
        file.uns["nested"] = {
            "deep": {"numbers": np.arange(3), "text": "x", "words": np.array(["a", "b"])},
            "flag": True,
            "seed": 7,
            "rate": 0.5,
            "frame": frame(["r1", "r2"], {"column": [1.5, 2.5]}),
            "matrix": sp.csr_matrix(np.eye(2, dtype=np.float32)),
        }
        file.uns["cell_type_colors"] = np.array(["#000000", "#ffffff"], dtype=object)
        file.write_h5ad(self.folder / "everything.h5ad")
        for name, embedding in embeddings.items():
            self.add(f"obsm {name[2:]}", "everything.h5ad", obsm={name: embedding})
        self.add("uns nested, obsp, varm beside", "everything.h5ad")

        with h5py.File(self.folder / "newest_format.h5ad", "w", libver="latest") as latest:
            full = data(**kinds())
            for part in ("X", "obs", "var"):
                layouts.write_elem(latest, part, getattr(full, part))
            latest.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        self.add("file of HDF5's newest format", "newest_format.h5ad", obs=kinds())

    def tenx(self):
        """Cell Ranger 3; what scanpy reads is what to expect."""
        genes, types = [*SYMBOLS[:-1], "CD3"], ["Gene Expression"] * 6 + ["Antibody Capture"]
        columns = sp.csc_matrix(COUNTS.T.astype(np.int32))
        with h5py.File(self.folder / "tenx.h5", "w") as file:
            group = file.create_group("matrix")
            for part, dtype in [("data", "i4"), ("indices", "i8"), ("indptr", "i8")]:
                values = getattr(columns, part).astype(dtype)
                group.create_dataset(part, data=values, compression="gzip", shuffle=True)
            group["shape"] = np.array(columns.shape, dtype="i4")
            group["barcodes"] = np.array(NAMES, dtype="S18")
            features = group.create_group("features")
            features["id"] = np.array([f"ENSG{i}" for i in range(GENES)], dtype="S")
            features["name"] = np.array(genes, dtype="S")
            features["feature_type"] = np.array(types, dtype="S")
            features["genome"] = np.array(["GRCh38"] * GENES, dtype="S")
        read = sc.read_10x_h5(self.folder / "tenx.h5")
        self.add("10x .h5, Cell Ranger 3", "tenx.h5", read.X, read.var_names)

        folder = self.folder / "tenx_mtx"
        folder.mkdir(exist_ok=True)
        with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
            scipy.io.mmwrite(file, columns, field="integer")
        lists = {"barcodes": NAMES, "features": [f"E{g}\t{g}\t{t}" for g, t in zip(genes, types)]}
        for name, lines in lists.items():
            with gzip.open(folder / f"{name}.tsv.gz", "wt") as file:
                file.writelines(f"{line}\n" for line in lines)
        read = sc.read_10x_mtx(folder, cache=False)
        self.add("10x MTX folder", "tenx_mtx", read.X, read.var_names)


def main(folder):
    folder = Path(folder) / "python"
    folder.mkdir(parents=True, exist_ok=True)
    cases = Cases(folder)
    cases.matrices()
    cases.annotations()
    cases.parts()
    cases.tenx()
    layouts.write(folder / "layouts")
    versions = {name: importlib.metadata.version(name) for name in ("anndata", "scanpy", "h5py")}
    (folder / "cases.json").write_text(json.dumps(cases.cases))
    print(f"{layouts.FILES} random layouts and", end=" ")
    print(f"{len(cases.cases)} encodings written by", *(f"{k} {v}" for k, v in versions.items()))


if __name__ == "__main__":
    main(sys.argv[1])
