"""Writes simulated counts: 2000 genes, 12 groups with programs of genes, a tenth not zero.

python simulate.py CELLS FILE.h5ad
"""

import sys

import anndata
import numpy as np
import scipy.sparse as sp

GENES, GROUPS, BLOCK = 2000, 12, 10_000


def main(cells, path):
    random = np.random.default_rng(1)
    mean = random.lognormal(-2.9, 1.2, GENES)
    profiles = np.tile(mean, (GROUPS, 1))
    for group in range(GROUPS):
        program = random.choice(GENES, GENES // 20, replace=False)
        profiles[group, program] *= random.lognormal(1.0, 0.7, len(program))
    groups = random.integers(0, GROUPS, cells)
    blocks = []
    for start in range(0, cells, BLOCK):
        of_block = groups[start : start + BLOCK]
        size = random.lognormal(0, 0.3, (len(of_block), 1))
        rate = profiles[of_block] * size * random.gamma(2.0, 0.5, (len(of_block), GENES))
        blocks.append(sp.csr_matrix(random.poisson(rate).astype(np.float32)))
    counts = sp.vstack(blocks, format="csr")
    data = anndata.AnnData(counts)
    data.obs["cell_type"] = [f"group{group}" for group in groups]
    data.obs["cell_type"] = data.obs["cell_type"].astype("category")
    data.write_h5ad(path)
    print(f"{cells} cells, {counts.nnz / counts.shape[0] / counts.shape[1]:.3f} not zero")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
