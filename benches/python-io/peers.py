"""Which forms of the same twelve cells scanpy reads, for the table in docs/files.md.

    python benches/python-io/peers.py

needs scanpy. Every form is written into a temporary folder, read by scanpy's own readers and compared,
by names and values. What celldec makes of the same forms is in tests/files/cases.rs; what Seurat does is taken
from its documentation and source. Prints the table.
"""

import gzip
import tempfile
import warnings
from pathlib import Path

import numpy as np
import scanpy as sc
import scipy.sparse

warnings.simplefilter("ignore")

GENES = ["GAPDH", "ACTB", "CD3E", "LYZ", "MS4A1", "MT-CO1"]
IDS = [f"ENSG{gene:011}" for gene in range(6)]
CELLS = [f"ACGTACGTACGTACG{'ACGT'[c % 4]}{'ACGT'[c // 4]}-1" for c in range(12)]


def count(cell, gene):
    noise = (cell * 7 + gene * 5 + cell * gene) % 5
    return 4 + noise if (cell < 6) == (gene < 3) else noise // 3


COUNTS = np.array([[count(cell, gene) for gene in range(6)] for cell in range(12)])


def write(path, text, packed=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    packed = path.suffix == ".gz" if packed is None else packed
    path.write_bytes(gzip.compress(data) if packed else data)


def mtx(cells_first=False):
    entries = COUNTS if cells_first else COUNTS.T
    entries = scipy.sparse.coo_matrix(entries)
    lines = [f"{r + 1} {c + 1} {v}" for r, c, v in zip(entries.row, entries.col, entries.data)]
    rows, columns = entries.shape
    head = "%%MatrixMarket matrix coordinate integer general\n%\n"
    return f"{head}{rows} {columns} {len(lines)}\n" + "\n".join(lines) + "\n"


def lines(rows):
    return "".join(f"{row}\n" for row in rows)


def features(form="{id}\t{symbol}\tGene Expression"):
    return lines(
        form.format(id=i, symbol=s, number=n + 1) for n, (i, s) in enumerate(zip(IDS, GENES))
    )


def sample(folder, before="", after="", gz=".gz", text=None, names=None, packed=None, cells_first=False):
    names = names or features()
    write(folder / f"{before}matrix{after}.mtx{gz}", text or mtx(cells_first), packed)
    write(folder / f"{before}features{after}.tsv{gz}", names, packed)
    write(folder / f"{before}barcodes{after}.tsv{gz}", lines(CELLS), packed)


def table(separator=",", corner="cell", of_genes=False):
    matrix, rows, columns = (COUNTS.T, GENES, CELLS) if of_genes else (COUNTS, CELLS, GENES)
    head = [separator.join([corner, *columns])]
    body = [separator.join([name, *map(str, row)]) for name, row in zip(rows, matrix)]
    return lines(head + body)


def verdict(read, genes=GENES, cells=CELLS):
    """What a reader made of a form."""
    try:
        data = read()
    except Exception as error:
        return f"no ({type(error).__name__})"
    values = data.X.toarray() if scipy.sparse.issparse(data.X) else np.asarray(data.X)
    names, barcodes = [str(name) for name in data.var_names], [str(name) for name in data.obs_names]
    if values.shape == (6, 12) and np.array_equal(values.T, COUNTS):
        return "genes as cells"
    if values.shape != (12, 6):
        return f"wrong: {values.shape[0]} × {values.shape[1]}"
    if not np.array_equal(values, COUNTS):
        return "wrong values"
    if [name.strip('"') for name in names] == genes and names != genes:
        return "names with quotes"
    if names != genes or barcodes != cells:
        return "other names"
    return "yes"


def main():
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder_number = 0

        def folder():
            nonlocal folder_number
            folder_number += 1
            path = root / str(folder_number)
            path.mkdir()
            return path

        def add(what, scanpy, seurat, celldec="yes"):
            rows.append((what, celldec, scanpy, seurat))

        def of_folder(what, seurat, make, path=lambda f: f, celldec="yes", told=(), genes=GENES):
            made = folder()
            make(made)
            found = verdict(lambda: sc.read_10x_mtx(path(made)), genes)
            for label, options in told:
                if found != "yes" and verdict(lambda: sc.read_10x_mtx(path(made), **options)) == "yes":
                    found = f"yes: {label}"
            add(what, found, seurat, celldec)

        def of_table(what, seurat, name, text, packed=False, celldec="yes", told=(), cells=CELLS, genes=GENES):
            made = folder() / name
            write(made, text, packed)
            found = verdict(lambda: sc.read(made), genes, cells)
            for label, read in told:
                if found != "yes" and verdict(lambda: read(made), genes, cells) == "yes":
                    found = f"yes: {label}"
            add(what, found, seurat, celldec)

        of_folder("Cell Ranger 3 and later, gzip", "yes", sample)
        of_folder(
            "Cell Ranger 2, plain, `genes.tsv`",
            "yes",
            lambda f: (sample(f, gz="", names=features("{id}\t{symbol}")), (f / "features.tsv").rename(f / "genes.tsv")),
        )
        of_folder(
            "the folder above a genome's (`hg19`)",
            "no",
            lambda f: sample(f / "hg19"),
        )
        of_folder(
            "the folder of a run (`outs/filtered_feature_bc_matrix`)",
            "no",
            lambda f: sample(f / "outs" / "filtered_feature_bc_matrix"),
        )
        of_folder(
            "GEO, sample before (`GSM1_matrix.mtx.gz`)",
            "`ReadMtx`",
            lambda f: sample(f, before="GSM1_"),
            told=[("`prefix`", {"prefix": "GSM1_"})],
        )
        of_folder("GEO, sample after (`matrix_a.mtx.gz`)", "`ReadMtx`", lambda f: sample(f, after="_a"))
        of_folder(
            "STARsolo, plain `features.tsv`",
            "`ReadSTARsolo`",
            lambda f: sample(f, gz=""),
            told=[("`compressed=False`", {"compressed": False})],
        )

        def velocyto(f):
            for name in ["spliced", "unspliced", "ambiguous"]:
                write(f / f"{name}.mtx", mtx())
            write(f / "features.tsv", features())
            write(f / "barcodes.tsv", lines(CELLS))

        of_folder("STARsolo Velocyto", "`ReadMtx`", velocyto, celldec="yes: `--matrix spliced`")

        def parse(f):
            write(f / "DGE.mtx", mtx(True))
            write(f / "all_genes.csv", "gene_id,gene_name,genome\n" + features("{id},{symbol},hg38"))
            write(f / "cell_metadata.csv", "bc_wells,sample\n" + lines(f"{c},s1" for c in CELLS))

        of_folder("Parse (`DGE.mtx`)", "`ReadParseBio`", parse)

        def kallisto(f):
            write(f / "cells_x_genes.mtx", mtx(True))
            write(f / "cells_x_genes.genes.txt", lines(IDS))
            write(f / "cells_x_genes.genes.names.txt", lines(GENES))
            write(f / "cells_x_genes.barcodes.txt", lines(CELLS))

        of_folder("kallisto, bustools (`cells_x_genes.mtx`)", "`ReadMtx`", kallisto)

        def alevin(f):
            write(f / "quants_mat.mtx", mtx(True))
            write(f / "quants_mat_cols.txt", lines(GENES))
            write(f / "quants_mat_rows.txt", lines(CELLS))

        of_folder("alevin-fry (`quants_mat.mtx`)", "`ReadMtx`", alevin)
        of_folder("files named `.gz` that are plain", "yes", lambda f: sample(f, packed=False))
        of_folder(
            "features and barcodes in quotes",
            "yes",
            lambda f: (
                sample(f, names=features('"{id}"\t"{symbol}"')),
                write(f / "barcodes.tsv.gz", lines(f'"{c}"' for c in CELLS)),
            ),
        )
        of_folder(
            "row numbers in features",
            "`gene.column = 3`",
            lambda f: sample(f, names=features("{number}\t{id}\t{symbol}")),
        )
        of_folder(
            "a header in features",
            "`ReadMtx(skip.feature = 1)`",
            lambda f: sample(f, names="gene_id\tgene_symbol\tfeature_type\n" + features()),
        )
        of_folder(
            "a third column that is no type",
            "lists by type",
            lambda f: sample(f, names=features("{id}\t{symbol}\t{number}")),
        )
        of_folder("an empty type column", "yes", lambda f: sample(f, names=features("{id}\t{symbol}\t")))

        def empty_symbol(f):
            sample(f, names=features().replace("\tCD3E\t", "\t\t"))

        stand_in = [IDS[2] if gene == "CD3E" else gene for gene in GENES]
        of_folder("an empty symbol", "an empty name", empty_symbol, genes=stand_in)
        of_folder(
            "files of a Mac beside (`._matrix.mtx.gz`)",
            "yes",
            lambda f: (sample(f), write(f / "._matrix.mtx.gz", b"\0\5\x16\7", False)),
        )
        of_folder("a matrix of cells × genes", "`ReadMtx(mtx.transpose = TRUE)`", lambda f: sample(f, cells_first=True))

        text = [("`read_text`", sc.read_text)]
        transposed = [("`.T`", lambda path: sc.read(path).T), ("`read_text`, `.T`", lambda path: sc.read_text(path).T)]
        of_table("a table, cells × genes", "`t(read.csv)`", "counts.csv", table())
        of_table("a table, genes × cells", "`read.csv`", "counts.csv", table(corner="", of_genes=True), told=transposed)
        of_table(
            "Drop-seq (`#DGE`, `GENE`)",
            "`read.table`",
            "dge.txt",
            "#DGE\tVERSION:1.1\tEXPRESSION_FORMAT:raw\n" + table("\t", "GENE", True),
            told=transposed,
        )
        of_table(
            "BD Rhapsody (`##`, `Cell_Index`)",
            "`t(read.csv)`",
            "counts.csv",
            "##version 1\n##run x\n" + table(corner="Cell_Index"),
        )
        counts = table("\t", "Geneid", True).splitlines()
        about = ["\tChr\tStart\tEnd\tStrand\tLength"] + ["\tchr1;chr1\t1;5\t3;9\t+;+\t8"] * 6
        counts = lines(line.replace("\t", f"{extra}\t", 1) for line, extra in zip(counts, about))
        of_table("featureCounts", "columns dropped by hand", "counts.txt", "# Program:featureCounts\n" + counts, told=transposed)
        long = [line.split(",") for line in table().splitlines()]
        triples = [f"{gene}\t{row[0]}\t{n}" for row in long[1:] for gene, n in zip(long[0][1:], row[1:]) if n != "0"]
        of_table(
            "umi_tools (`gene`, `cell`, `count`)",
            "`read.table`, `xtabs`",
            "counts.tsv.gz",
            lines(["gene\tcell\tcount", *triples]),
            packed=True,
            told=[("`read_umi_tools`", lambda path: sc.read_umi_tools(path)[CELLS, GENES])],
        )
        quoted = lines(
            " ".join(f if f.isdigit() else f'"{f}"' for f in line.split(",")) for line in table().splitlines()
        ).replace('"cell" ', "", 1)
        of_table(
            "R's `write.table`, quoted, a header of one field less",
            "`t(read.table)`",
            "counts.txt",
            quoted,
            told=text,
        )
        of_table("text aligned by blanks", "`t(read.table)`", "counts.txt", table("    "), told=text)
        of_table("UTF-16", "`fileEncoding`", "counts.csv", table().encode("utf-16"))
        of_table("a table named `.csv.gz` that is plain", "yes", "counts.csv.gz", table())
        of_table("a table named `.csv` that is gzip", "yes", "counts.csv", table(), packed=True)
        of_table("separators at the ends of lines", "an empty column", "counts.csv", table().replace("\n", ",\n"))
        no_header = lines(table().splitlines()[1:])
        number = [str(n) for n in range(12)]
        of_table("no header", "`header = FALSE`", "counts.csv", no_header, genes=number[:6])
        no_names = lines(line.split(",", 1)[1] for line in table().splitlines())
        of_table("no names of cells", "`t(read.csv)`", "counts.csv", no_names, cells=number)
        thousands = table().replace(",8,", ',"1,008",', 1)
        of_table("separators of thousands in quotes", "text columns", "counts.csv", thousands, celldec="refused, with line and gene")
    print("| form | celldec | scanpy | Seurat |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
