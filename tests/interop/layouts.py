"""AnnData files of random layouts, and a comparison of HDF5 files that misses nothing.

write(FOLDER) makes files of every version of anndata, of HDF5's oldest and newest formats and with
parts that no reader of counts knows; changes(BEFORE, AFTER) says what differs besides results that
were added.
"""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

try:
    from anndata.io import write_elem
except ImportError:
    # Before anndata 0.11.
    from anndata.experimental import write_elem

FILES = 80
CELLS, GENES = 17, 5
TEXT = h5py.string_dtype()
FORMATS = ["earliest", "latest", ("earliest", "v108"), ("v110", "v110"), ("v108", "v114")]
FILTERS = [
    {},
    {"chunks": True},
    {"compression": "gzip", "shuffle": True},
    {"compression": "lzf"},
    {"compression": "gzip", "fletcher32": True},
]


def encode(item, kind, version="0.2.0", **attributes):
    item.attrs["encoding-type"] = kind
    item.attrs["encoding-version"] = version
    item.attrs.update(attributes)


class Layout:
    """A file by a seed."""

    def __init__(self, path, seed):
        self.random = np.random.default_rng(seed)
        self.version = ("today", "0.7", "0.6")[seed % 3]
        self.libver = FORMATS[seed % len(FORMATS)]
        self.options = FILTERS[self.random.integers(len(FILTERS))]
        self.order = bool(self.random.integers(2))
        self.columns = int(self.random.choice([0, 1, 3, 7, 9, 40, 150]))
        self.counts = sp.csr_matrix(self.random.poisson(1, (CELLS, GENES)).astype(np.float32))
        with h5py.File(path, "w", libver=self.libver, track_order=self.order) as self.file:
            {"today": self.today, "0.7": self.old, "0.6": self.older}[self.version]()

    def chance(self, share=0.5):
        return self.random.random() < share

    def frame(self):
        columns = {
            f"column {number}": self.random.choice(["a", "b", "c"], CELLS)
            if number % 3
            else self.random.normal(size=CELLS)
            for number in range(self.columns)
        }
        frame = pd.DataFrame(columns, index=[f"cell {cell}" for cell in range(CELLS)])
        for name in frame.columns[1::3]:
            frame[name] = frame[name].astype("category")
        return frame

    def today(self):
        genes = pd.DataFrame(index=[f"gene {gene}" for gene in range(GENES)])
        # Texts take no checksums.
        if self.chance() and "fletcher32" not in self.options:
            data = ad.AnnData(self.counts, self.frame(), genes)
            data.layers["counts"] = self.counts.toarray()
            data.obsm["X_pca"] = self.random.normal(size=(CELLS, 3))
            data.raw = data
            for part in ("X", "obs", "var", "layers", "obsm", "raw"):
                value = getattr(data, part)
                if part in ("layers", "obsm"):
                    # Since anndata 0.13 X is the layer without a name.
                    value = {name: values for name, values in value.items() if name is not None}
                write_elem(self.file, part, value, dataset_kwargs=self.options)
        else:
            for part, value in [("X", self.counts), ("obs", self.frame()), ("var", genes)]:
                write_elem(self.file, part, value)
        encode(self.file, "anndata", "0.1.0")
        self.surroundings()

    def old(self):
        """Anndata 0.7: categories beside their columns, which refer to them."""
        frame = self.frame()
        self.sparse(self.file, "X")
        for name, index, columns in [
            ("obs", frame.index, frame.columns),
            ("var", [f"gene {gene}" for gene in range(GENES)], []),
        ]:
            group = self.file.create_group(name, track_order=self.order)
            encode(group, "dataframe", "0.1.0", _index="index")
            group.attrs["column-order"] = np.array(columns, TEXT if len(columns) else float)
            group.create_dataset("index", data=np.array(index, object), dtype=TEXT)
        obs = self.file["obs"]
        for name in frame.columns:
            values = frame[name]
            if values.dtype == "category":
                categories = obs.create_dataset(
                    f"__categories/{name}", data=np.array(values.cat.categories, object), dtype=TEXT
                )
                categories.attrs["ordered"] = False
                obs.create_dataset(name, data=values.cat.codes.to_numpy(), **self.options)
                obs[name].attrs["categories"] = categories.ref
            elif values.dtype == object or isinstance(values.dtype, pd.StringDtype):
                obs.create_dataset(name, data=np.array(values, object), dtype=TEXT)
            else:
                obs.create_dataset(name, data=values.to_numpy())
        self.surroundings()

    def older(self):
        """Anndata 0.6: frames of records, categories in uns."""
        fields = [("index", "S8")]
        numbers = range(min(self.columns, 40))
        fields += [(f"n{number}", ["<i4", "<f8", "i1", "S3"][number % 4]) for number in numbers]
        obs = np.zeros(CELLS, dtype=fields)
        obs["index"] = [f"cell {cell}" for cell in range(CELLS)]
        for number in numbers:
            obs[f"n{number}"] = self.random.integers(0, 3, CELLS)
        self.file.create_dataset("obs", data=obs, **self.options)
        genes = [(f"gene {gene}".encode(),) for gene in range(GENES)]
        self.file["var"] = np.array(genes, dtype=[("index", "S8")])
        group = self.file.create_group("X")
        group.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": self.counts.shape})
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(self.counts, part)
        if self.chance():
            obsm = np.zeros(CELLS, dtype=[("X_pca", "<f4", (2,)), ("X_tsne", "<f8", (3,))])
            obsm["X_pca"] = self.random.normal(size=(CELLS, 2))
            self.file["obsm"] = obsm
        uns = self.file.create_group("uns")
        if self.columns > 2:
            uns.create_dataset("n2_categories", data=["one", "two", "three"], dtype=TEXT)
        uns["iterations"] = 7

    def sparse(self, root, name):
        group = root.create_group(name)
        encode(group, "csr_matrix", "0.1.0", shape=np.array(self.counts.shape))
        for part in ("data", "indices", "indptr"):
            group.create_dataset(part, data=getattr(self.counts, part), **self.options)

    def surroundings(self):
        """What lies beside the counts, of every type."""
        if self.chance(0.8):
            uns = self.file.require_group("uns")
            if self.chance():
                encode(uns, "dict", "0.1.0")
            self.nest(uns, 0)
        if self.chance():
            self.file["obs"].attrs["note"] = "x" * int(self.random.integers(1, 3000))
        if self.chance(0.3):
            for number in range(12):
                self.file["obs"].attrs[f"attribute {number}"] = np.arange(number)
        if self.chance(0.3) and "obsm" not in self.file:
            obsm = self.file.create_group("obsm")
            for number in range(int(self.random.integers(0, 30))):
                obsm[f"X_{number}"] = np.full((CELLS, 2), number)

    def nest(self, group, depth):
        """Groups of values, deeper and deeper."""
        for number in range(int(self.random.integers(1, 14))):
            self.value(group, f"value {number}")
        for number in range(int(self.random.integers(0, 3)) if depth < 4 else 0):
            inner = group.create_group(f"group {number}", track_order=self.chance())
            if self.chance():
                inner.attrs["parent"] = group.ref
            self.nest(inner, depth + 1)

    def value(self, group, name):
        random = self.random
        whole = random.integers(0, 100, int(random.integers(0, 40)))
        kind = int(random.integers(14))
        if kind == 0:
            group.create_dataset(name, data=whole, **(self.options if len(whole) else {}))
        elif kind == 1:
            group[name] = random.normal(size=(3, 2)).astype(random.choice(["f2", ">f4", "f8"]))
        elif kind == 2:
            group[name] = random.normal(size=2) + 1j
        elif kind == 3:
            words = ["ä", "", "word " * int(random.integers(40))]
            group.create_dataset(name, data=words, dtype=TEXT)
        elif kind == 4:
            group[name] = np.array([b"one", b"two"], dtype="S5")
        elif kind == 5:
            group[name] = np.array([True, False])
        elif kind == 6:
            group[name] = np.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,)), ("c", "S4")])
        elif kind == 7:
            group[name] = self.file["obs"].ref
            group[name].attrs["more"] = np.array([group.ref, self.file["X"].ref], h5py.ref_dtype)
        elif kind == 8:
            values = group.create_dataset(name, (2,), dtype=h5py.vlen_dtype(np.int16))
            values[0], values[1] = np.arange(3), np.arange(0)
        elif kind == 9:
            group[name] = np.void(b"opaque bytes")
        elif kind == 10:
            group[name] = h5py.SoftLink(random.choice(["/X", "/not/there", "value 0"]))
        elif kind == 11:
            group[name] = h5py.ExternalLink("another.h5", "/X")
        elif kind == 12:
            group[name] = group.file["X"]
        else:
            group[name] = np.dtype([("x", "<i4"), ("y", "S7")])
            group.create_dataset(f"{name} of a type", data=np.zeros(2, "i4"), maxshape=(None,))


def write(folder):
    folder.mkdir(exist_ok=True)
    for seed in range(FILES):
        Layout(folder / f"{seed:03}.h5ad", seed)


def plain(value, file):
    """A value that can be compared, references by what they refer to."""
    if isinstance(value, h5py.Empty):
        return ("empty", str(value.dtype))
    if isinstance(value, h5py.Reference):
        return ("reference", file[value].name if value else None)
    if isinstance(value, np.ndarray) and value.dtype == object:
        return (value.shape, [plain(item, file) for item in value.ravel()])
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return (str(value.dtype), value.tolist())
    if isinstance(value, (np.ndarray, np.generic)):
        return (str(value.dtype), value.shape, value.tobytes())
    return value


def tree(file, group=None, path="", found=None, seen=None):
    """Every link of a file with all that it leads to."""
    group = file if group is None else group
    found = {} if found is None else found
    seen = {group.id.__hash__()} if seen is None else seen
    attributes = {name: plain(value, file) for name, value in group.attrs.items()}
    found[path or "/"] = ("group", attributes)
    for name in group:
        at, link = f"{path}/{name}", group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            found[at] = ("soft", link.path)
        elif isinstance(link, h5py.ExternalLink):
            found[at] = ("external", link.filename, link.path)
        elif isinstance(item := group[name], h5py.Group):
            if h5py.h5o.get_info(item.id).addr in seen:
                found[at] = ("seen",)
                continue
            seen.add(h5py.h5o.get_info(item.id).addr)
            tree(file, item, at, found, seen)
        elif isinstance(item, h5py.Dataset):
            properties = item.id.get_create_plist()
            # Filters may say of themselves what follows from the type, such as its size.
            filters = [properties.get_filter(n)[0] for n in range(properties.get_nfilters())]
            attributes = {name: plain(value, file) for name, value in item.attrs.items()}
            layout = (item.chunks, item.maxshape, filters)
            value = plain(item[()], file)
            found[at] = ("dataset", item.dtype, item.shape, layout, attributes, value)
        else:
            found[at] = ("type", item.dtype)
    return found


NEW = ("/obs/found", "/obsm/X_found", "/obsm/found_soft", "/uns/found")


def changes(before, after):
    """What differs between two files besides results and the list of columns of obs."""
    with h5py.File(before) as one, h5py.File(after) as other:
        is_record = isinstance(one["obs"], h5py.Dataset)
        old, new = tree(one), tree(other)
    rest = {at: item for at, item in new.items() if not at.startswith(NEW)}
    if is_record:
        # Frames become groups with their categories, as do matrices of cells.
        converted = ("/obs", "/obsm", "/var")

        def kept(items):
            return {
                at: item
                for at, item in items.items()
                if not at.startswith(converted) and not at.endswith("_categories")
            }

        old, rest = kept(old), kept(rest)
    for item in (old, rest):
        if "/obs" in item:
            item["/obs"][1].pop("column-order", None)
    empty = ("/obsm", "/layers", "/uns")
    added = {at for at in rest if at not in old and at not in empty}
    changed = {at for at in old if at not in rest or old[at] != rest[at]}
    return sorted(added | changed)
