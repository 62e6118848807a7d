"""Checks the files that tests/interop.rs wrote, value by value, and that scanpy works on them.

python check.py FOLDER reads FOLDER/python (from write.py) and FOLDER/celldec, prints one table of
every encoding in both directions and exits with 1 when anything failed.
"""

import importlib.metadata
import json
import sys
import traceback
from pathlib import Path

import anndata as ad
import h5py
import matplotlib
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

import layouts

matplotlib.use("Agg")
sc.settings.verbosity = 0

RESULTS = ("found", "found_confidence", "desc_0.8", "desc_0.8_confidence")


def same(one, other, where=""):
    """Refuses any difference between two values of AnnData."""
    assert isinstance(one, dict) == isinstance(other, dict), where
    if isinstance(one, dict):
        assert set(one) == set(other), f"{where}: {list(one)} and {list(other)}"
        for name in one:
            same(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif sp.issparse(one):
        assert one.format == other.format and one.dtype == other.dtype, where
        assert (one != other).nnz == 0, where
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, f"{where}: {one.dtype} and {other.dtype}"
        np.testing.assert_array_equal(one, other, err_msg=where)
    else:
        assert type(one) is type(other) and one == other, f"{where}: {one!r} and {other!r}"


def kept_rows(cells):
    return np.array([cell for cell in range(cells) if cell % 4 != 3])


def rows_of(matrix, cells):
    """A matrix of the kept cells, at their rows."""
    full = np.full((cells, matrix.shape[1]), np.nan, dtype=np.float32)
    full[kept_rows(cells)] = matrix
    return full


def expected_results(cells):
    """The formulas of tests/interop.rs."""
    row = kept_rows(cells).astype(np.float32)
    labels = pd.Series(pd.NA, index=range(cells), dtype=object)
    labels[kept_rows(cells)] = [str(cell % 3 * 2) for cell in kept_rows(cells)]
    return {
        "labels": labels,
        "confidence": rows_of((1 / (1 + row))[:, None], cells)[:, 0],
        "embedding": rows_of(np.stack([row, row / 2, -row], axis=1), cells),
        "soft": rows_of(np.stack([row / (1 + row), 1 / (1 + row)], axis=1), cells),
    }


DETAILS = {
    "seed": 7,
    "rate": 0.5,
    "name": "größer",
    "empty": "",
    "flag": True,
    "deep": {
        "list": np.array([1, 2, 3]),
        "gaps": np.array([0.5, np.nan]),
        "words": np.array(["a", ""], dtype=object),
    },
}


def check_details(found, expected, where):
    assert sorted(found) == sorted(expected), f"{where}: {sorted(found)}"
    for name, value in expected.items():
        if isinstance(value, dict):
            check_details(found[name], value, f"{where}/{name}")
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(np.asarray(found[name]), value)
        else:
            assert found[name] == value, f"{where}/{name}: {found[name]!r}"


def check_results(found, cells):
    expected = expected_results(cells)
    for column in ("found", "desc_0.8"):
        labels = found.obs[column]
        assert list(labels.cat.categories) == ["0", "2", "4"] and not labels.cat.ordered
        assert plain(labels) == plain(expected["labels"])
        np.testing.assert_array_equal(found.obs[f"{column}_confidence"], expected["confidence"])
    for name in ("X_found", "X_Embeded_z0.8"):
        np.testing.assert_array_equal(found.obsm[name], expected["embedding"])
    np.testing.assert_array_equal(found.obsm["found_soft_assignments"], expected["soft"])
    np.testing.assert_array_equal(found.uns["prob_matrix0.8"], expected["soft"])
    check_details(found.uns["found"], DETAILS, "uns/found")
    kept = kept_rows(cells)
    denoised = np.arange(found.n_vars)[None, :] / 16 + kept[:, None]
    np.testing.assert_array_equal(found.layers["found_denoised"], rows_of(denoised, cells))


def plain(values):
    return [None if pd.isna(value) else value for value in values]


def check_extended(before, after):
    """The results are right, and without them nothing has changed."""
    check_results(after, before.n_obs)
    for column in RESULTS:
        del after.obs[column]
    for name in ("X_found", "X_Embeded_z0.8", "found_soft_assignments"):
        del after.obsm[name]
    del after.layers["found_denoised"]
    for name in ("found", "prob_matrix0.8", "desc_0.8"):
        del after.uns[name]
    for part in ("obs", "var", "X"):
        same(getattr(before, part), getattr(after, part), part)
    for part in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
        same(dict(getattr(before, part)), dict(getattr(after, part)), part)
    assert (before.raw is None) == (after.raw is None)
    if before.raw is not None:
        same(before.raw.X, after.raw.X, "raw")
        same(before.raw.var, after.raw.var, "raw/var")


def check_new(found, case):
    """A file of celldec's own holds what celldec read from Python's."""
    assert list(found.obs_names) == case["cells"] and list(found.var_names) == case["genes"]
    np.testing.assert_array_equal(found.X.toarray(), np.array(case["counts"], dtype=np.float32))
    assert found.X.dtype == np.float32 and found.X.has_canonical_format
    for name, column in case["obs"].items():
        values = found.obs[name]
        if column["kind"] == "categorical":
            assert list(values.cat.categories) == column["categories"]
            codes = [-1 if code is None else code for code in column["values"]]
            assert list(values.cat.codes) == codes
        else:
            assert plain(values) == column["values"], name
    for name, matrix in case["obsm"].items():
        np.testing.assert_array_equal(found.obsm[name], np.array(matrix, dtype=np.float32))


def check_scanpy(path, folder):
    """What people do next with labels and an embedding."""
    data = ad.read_h5ad(path)
    data = data[data.obs["found"].notna()].copy()
    data.obsm["X_umap"] = data.obsm["X_found"][:, :2]
    sc.pp.neighbors(data, use_rep="X_found", n_neighbors=5)
    assert data.obsp["connectivities"].nnz > 0
    sc.pp.log1p(data)
    sc.tl.rank_genes_groups(data, "found", method="t-test")
    assert len(data.uns["rank_genes_groups"]["names"]) == data.n_vars
    sc.pl.embedding(data, "umap", color=["found", "found_confidence"], show=False)
    sc.pl.embedding(data, "X_found", color="found", show=False)
    data.write_h5ad(folder / "after_scanpy.h5ad")
    check_details(ad.read_h5ad(folder / "after_scanpy.h5ad").uns["found"], DETAILS, "uns/found")


def check_fit(folder):
    """Results, settings and history of a training run."""
    expected = json.loads((folder / "fit.json").read_text())
    data = ad.read_h5ad(folder / "fit.h5ad")
    assert [int(label) for label in data.obs["scdcc"]] == expected["labels"]
    embedding = np.array(expected["embedding"], dtype=np.float32)
    np.testing.assert_array_equal(data.obsm["X_scdcc"], embedding)
    soft = data.obsm["scdcc_soft_assignments"]
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(soft.argmax(axis=1), expected["labels"])
    np.testing.assert_array_equal(data.obs["scdcc_confidence"], soft.max(axis=1))
    details = data.uns["scdcc"]
    assert details["method"] == "scdcc" and details["seed"] == 7
    settings = details["settings"]
    assert settings["self_training"]["max_epochs"] == 2
    assert json.loads(settings["starts"][0])["SmoothedKMeans"]["kmeans"]["clusters"] == 3
    assert isinstance(details["converged"], (bool, np.bool_))
    assert list(details["cluster_sizes"]) == expected["sizes"]
    history = pd.DataFrame(details["history"])
    assert {"phase", "epoch", "loss", "changed", "seconds"} < set(history.columns)
    np.testing.assert_allclose(history["loss"], expected["losses"], rtol=1e-12)


def check_large(folder):
    """Compressed chunks, as written and where results were replaced."""
    expected = json.loads((folder / "large.json").read_text())
    for name, label in (("large.h5ad", "0"), ("large_again.h5ad", "1")):
        data = ad.read_h5ad(folder / name)
        assert data.X.nnz == expected["stored"] and data.X.sum() == expected["total"]
        assert (data.obs["found"] == label).all()


def check_layouts(before, after):
    """Results were added to files of random layouts, and nothing else has changed."""
    for file in sorted(before.glob("*.h5ad")):
        for name in (file.name, f"again_{file.name}"):
            found = layouts.changes(file, after / name)
            assert not found, f"{name}: {found}"
        check_records(file, after / file.name)


def check_records(before, after):
    """Frames of records became groups that anndata reads as the same."""
    with h5py.File(before) as file:
        if isinstance(file["obs"], h5py.Group):
            return
    one, other = ad.read_h5ad(before), ad.read_h5ad(after)
    assert len(other.obs["found"]) == one.n_obs
    del other.obs["found"], other.obs["found_confidence"]
    del other.uns["found"]
    pd.testing.assert_frame_equal(one.obs, other.obs, check_dtype=False)
    pd.testing.assert_frame_equal(one.var, other.var, check_dtype=False)
    assert set(one.uns) == set(other.uns), f"{before}: {set(one.uns)} and {set(other.uns)}"
    assert (one.X != other.X).nnz == 0
    for name, matrix in one.obsm.items():
        np.testing.assert_allclose(matrix, other.obsm[name], rtol=1e-6)


def outcome(check, *arguments):
    try:
        check(*arguments)
        return "pass"
    except Exception:
        traceback.print_exc()
        return "FAIL"


def main(folder):
    folder = Path(folder)
    theirs, ours = folder / "python", folder / "celldec"
    cases = json.loads((theirs / "cases.json").read_text())
    read = json.loads((ours / "read.json").read_text())
    rows = []
    extended = {}
    for number, case in enumerate(cases):
        file = case["file"]
        if file.endswith(".h5ad") and file not in extended:
            extended[file] = outcome(
                lambda: [
                    check_extended(ad.read_h5ad(theirs / file), ad.read_h5ad(ours / name))
                    for name in (file, f"again_{file}")
                ]
            )
        new = outcome(lambda: check_new(ad.read_h5ad(ours / f"new_{number}.h5ad"), case))
        rows.append((case["encoding"], read[number], new, extended.get(file, "-")))
    mtx = outcome(check_mtx, ours, cases[-1])
    rows.append(("10x MTX folder for scanpy", "-", mtx, "-"))
    work = outcome(check_scanpy, ours / "everything.h5ad", ours)
    rows.append(("scanpy: neighbors, rank_genes_groups, embedding plots", "-", "-", work))

    rows.append(("uns, obs and obsm of a fit", "-", "-", outcome(check_fit, ours)))
    work = outcome(check_layouts, theirs / "layouts", ours / "layouts")
    rows.append((f"{layouts.FILES} random layouts", "-", "-", work))
    rows.append(("a sparse matrix in chunks", "-", outcome(check_large, ours), "-"))

    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("anndata", "scanpy", "h5py")
    )
    print(f"\nInteroperability with {versions}")
    width = max(len(row[0]) for row in rows)
    print(f"{'encoding':{width}}  read  written anew  results added")
    for encoding, *columns in rows:
        print(f"{encoding:{width}}  {columns[0]:4}  {columns[1]:12}  {columns[2]}")
    failed = sum("FAIL" in row for row in rows)
    print(f"{len(rows)} rows, {failed} with failures")
    return 1 if failed else 0


def check_mtx(folder, case):
    found = sc.read_10x_mtx(folder / "mtx", cache=False)
    assert list(found.obs_names) == case["cells"] and list(found.var_names) == case["genes"]
    np.testing.assert_array_equal(found.X.toarray(), np.array(case["counts"], dtype=np.float32))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
