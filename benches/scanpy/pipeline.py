"""scanpy's usual pipeline, from file to labels: python pipeline.py FILE.h5ad LABELS.csv"""

import sys

import scanpy as sc

data = sc.read_h5ad(sys.argv[1])
sc.pp.normalize_total(data, target_sum=1e4)
sc.pp.log1p(data)
sc.pp.scale(data, max_value=10)
sc.tl.pca(data, n_comps=50)
sc.pp.neighbors(data, n_neighbors=15)
sc.tl.leiden(data, flavor="igraph", n_iterations=2, directed=False)
data.obs[["leiden"]].to_csv(sys.argv[2])
