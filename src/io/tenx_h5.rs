//! 10x Genomics `.h5` matrices, as written by Cell Ranger 2 and by 3 and later.

mod source;

use std::path::Path;

use super::features::FeatureTypes;
use super::hdf5::{Node, Store, read_sparse, shown_shape};
use super::mtx::GeneNames;
use super::names::named;
use super::text::listed;
use crate::counts::CountMatrix;
use crate::error::Result;

pub use source::TenxH5Source;

/// What to read of a 10x `.h5` file.
///
/// ```
/// use celldec::io::TenxH5Options;
///
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tenx/version_3.h5");
/// let antibodies = TenxH5Options::new()
///     .with_feature_type("Antibody Capture")
///     .read(path)?;
/// assert_eq!(antibodies.gene_names(), ["CD3"]);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenxH5Options {
    gene_names: GeneNames,
    feature_types: FeatureTypes,
    genome: Option<String>,
}

impl TenxH5Options {
    /// Gene symbols, gene expression only, every genome.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which names the genes get (default: symbols).
    pub fn with_gene_names(mut self, gene_names: GeneNames) -> Self {
        self.gene_names = gene_names;
        self
    }

    /// Keeps features of this type, such as "Antibody Capture" (default: "Gene Expression" where
    /// the file gives types).
    pub fn with_feature_type(mut self, feature_type: impl Into<String>) -> Self {
        self.feature_types = FeatureTypes::Only(feature_type.into());
        self
    }

    /// Whether to keep features of every type (default: only "Gene Expression").
    pub fn with_all_feature_types(mut self, all: bool) -> Self {
        self.feature_types = FeatureTypes::every(all);
        self
    }

    /// Keeps the genes of this genome, such as "GRCh38". Needed when a file of Cell Ranger 2 holds
    /// several; in later files, genes of all genomes are one matrix (default: all).
    pub fn with_genome(mut self, genome: impl Into<String>) -> Self {
        self.genome = Some(genome.into());
        self
    }

    /// Reads the file; see [`read_10x_h5`].
    ///
    /// # Errors
    /// As [`read_10x_h5`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<CountMatrix> {
        let store = Store::open(path.as_ref())?;
        let Located { at, genes, kept } = self.locate(&store)?;
        let matrix = read_matrix(&store, &at, genes)?;
        if kept.len() == matrix.genes() {
            return Ok(matrix);
        }
        store.within(&at, store.budget().allow_selection(&matrix))?;
        matrix.select_genes(&kept)
    }

    fn locate(&self, store: &Store) -> Result<Located> {
        match store.find("/matrix")? {
            Some(Node::Group(_)) => self.locate_version_3(store),
            _ => self.locate_version_2(store),
        }
    }

    fn locate_version_3(&self, store: &Store) -> Result<Located> {
        const FEATURES: &str = "/matrix/features";
        let names_at = match self.gene_names {
            GeneNames::Symbols => format!("{FEATURES}/name"),
            GeneNames::Ids => format!("{FEATURES}/id"),
        };
        let genes = read_names(store, &names_at)?;
        let types = optional_names(store, &format!("{FEATURES}/feature_type"), genes.len())?;
        store.within(
            FEATURES,
            store.budget().allow(FeatureTypes::memory(genes.len())),
        )?;
        let kept = self
            .feature_types
            .select(
                (0..genes.len()).map(|gene| types.as_ref().map(|types| types[gene].as_str())),
                "TenxH5Options",
            )
            .map_err(|reason| store.error(FEATURES, reason))?;
        let kept = match &self.genome {
            None => kept,
            Some(genome) => {
                let genome_at = format!("{FEATURES}/genome");
                let genomes = optional_names(store, &genome_at, genes.len())?
                    .ok_or_else(|| store.error(&genome_at, "the file does not name genomes"))?;
                let of_genome: Vec<usize> = kept
                    .into_iter()
                    .filter(|&gene| genomes[gene] == *genome)
                    .collect();
                if of_genome.is_empty() {
                    return Err(store.error(&genome_at, no_such_genome(genome, genomes)));
                }
                of_genome
            }
        };
        Ok(Located {
            at: "/matrix".to_string(),
            genes,
            kept,
        })
    }

    fn locate_version_2(&self, store: &Store) -> Result<Located> {
        let genomes = genomes_of(store)?;
        let genome = match (&self.genome, &genomes[..]) {
            (_, []) => {
                return Err(store.error(
                    "/",
                    "not a 10x matrix: neither a group `matrix` (Cell Ranger 3 and later) nor a \
                     genome with barcodes, data, indices, indptr and shape (Cell Ranger 2); AnnData \
                     files end in .h5ad",
                ));
            }
            (None, [only]) => only,
            (None, several) => {
                return Err(store.error(
                    "/",
                    format!(
                        "the file holds several genomes: {}; choose one with \
                         `TenxH5Options::with_genome`",
                        listed(several)
                    ),
                ));
            }
            (Some(genome), there) => there
                .iter()
                .find(|name| *name == genome)
                .ok_or_else(|| store.error("/", no_such_genome(genome, genomes.clone())))?,
        };
        if let FeatureTypes::Only(wanted) = &self.feature_types
            && wanted != "Gene Expression"
        {
            return Err(store.error(
                "/",
                format!(
                    "no feature has the type \"{wanted}\"; files of Cell Ranger 2 hold genes only"
                ),
            ));
        }
        let group_at = format!("/{genome}");
        let names_at = match self.gene_names {
            GeneNames::Symbols => format!("{group_at}/gene_names"),
            GeneNames::Ids => format!("{group_at}/genes"),
        };
        let genes = read_names(store, &names_at)?;
        Ok(Located {
            kept: (0..genes.len()).collect(),
            at: group_at,
            genes,
        })
    }
}

/// A matrix that is to be read.
struct Located {
    /// The HDF5 path of its group.
    at: String,
    /// Names of all its features.
    genes: Vec<String>,
    /// The features that are wanted, rising.
    kept: Vec<usize>,
}

/// Reads a 10x Genomics `.h5` matrix into cells × genes, with barcodes and gene symbols.
///
/// Files of Cell Ranger 2 hold one matrix for every genome, later ones a single `matrix` with
/// features of several types. Only features of type "Gene Expression" are kept where types are
/// given, and repeated symbols are made unique, both as by
/// [`read_10x_mtx`](super::read_10x_mtx); [`TenxH5Options`] changes this.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) with the HDF5 path when the file is no 10x matrix, holds several genomes of
/// which none was chosen (naming them), lacks the chosen one, or is damaged;
/// [`Error::Io`](crate::Error::Io) when it
/// cannot be read; [`Error::NegativeCount`](crate::Error::NegativeCount) and
/// [`Error::NonFiniteCount`](crate::Error::NonFiniteCount) for such values;
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) when it asks for more memory than its size
/// warrants.
///
/// ```
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tenx/version_3.h5");
/// let counts = celldec::io::read_10x_h5(path)?;
/// assert_eq!((counts.cells(), counts.genes()), (5, 4));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_10x_h5(path: impl AsRef<Path>) -> Result<CountMatrix> {
    TenxH5Options::new().read(path)
}

/// The groups of a file of Cell Ranger 2 that hold a matrix.
fn genomes_of(store: &Store) -> Result<Vec<String>> {
    let mut genomes = store.groups("/")?;
    genomes.sort_unstable();
    let mut found = Vec::new();
    for genome in genomes {
        if store.find(&format!("/{genome}/barcodes"))?.is_some()
            && store.find(&format!("/{genome}/indptr"))?.is_some()
        {
            found.push(genome);
        }
    }
    Ok(found)
}

fn no_such_genome(genome: &str, mut there: Vec<String>) -> String {
    there.sort_unstable();
    there.dedup();
    format!(
        "no gene of the genome \"{genome}\"; there are: {}",
        listed(&there)
    )
}

fn read_names(store: &Store, at: &str) -> Result<Vec<String>> {
    store.read_text(at, &store.dataset(at)?)
}

/// One name for every gene, where the file has such a list.
fn optional_names(store: &Store, at: &str, genes: usize) -> Result<Option<Vec<String>>> {
    if store.find(at)?.is_none() {
        return Ok(None);
    }
    let names = read_names(store, at)?;
    if names.len() != genes {
        return Err(store.error(at, format!("has {} values, expected {genes}", names.len())));
    }
    Ok(Some(names))
}

/// The matrix of a group, stored as genes × cells by columns.
fn read_matrix(store: &Store, group_at: &str, genes: Vec<String>) -> Result<CountMatrix> {
    let cells = read_cells(store, group_at, genes.len())?;
    let matrix = read_sparse(store, group_at, true, cells.len(), genes.len());
    store.within(group_at, store.budget().allow_naming(cells.len(), &genes))?;
    named(matrix, cells, genes)
}

/// The names of the cells of a matrix, which must have the shape that it says.
fn read_cells(store: &Store, group_at: &str, genes: usize) -> Result<Vec<String>> {
    let cells = read_names(store, &format!("{group_at}/barcodes"))?;
    let shape_at = format!("{group_at}/shape");
    let shape: Vec<u64> = store.read_indices(&shape_at, &store.dataset(&shape_at)?)?;
    if shape == [genes as u64, cells.len() as u64] {
        return Ok(cells);
    }
    Err(store.error(
        &shape_at,
        format!(
            "the matrix has the shape {}, but there are names of {genes} genes and {} cells",
            shown_shape(&shape),
            cells.len()
        ),
    ))
}
