//! What names say of themselves: names of genes, names of cells, headings of columns.

/// What a column, or a line of names, is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heading {
    /// Genes, by identifier or whatever.
    Genes,
    /// Genes by symbol.
    Symbols,
    /// Cells.
    Cells,
    /// Something else that is known of genes, such as where they lie.
    AboutGenes,
    /// Something else that is known of cells, such as their totals.
    AboutCells,
    /// Names of anything.
    Neutral,
}

/// Headings as [`plain`] makes them.
const HEADINGS: &[(Heading, &[&str])] = &[
    (
        Heading::Genes,
        &[
            "gene",
            "genes",
            "geneid",
            "geneids",
            "feature",
            "features",
            "featureid",
            "ensembl",
            "ensemblid",
            "ensemblgeneid",
            "ensemblgene",
            "ensg",
            "ensgid",
            "entrez",
            "entrezid",
            "entrezgene",
            "entrezgeneid",
            "ncbigene",
            "ncbigeneid",
            "genestableid",
        ],
    ),
    (
        Heading::Symbols,
        &[
            "genename",
            "genenames",
            "genesymbol",
            "genesymbols",
            "symbol",
            "symbols",
            "geneshortname",
            "hgncsymbol",
            "mgisymbol",
            "externalgenename",
            "featurename",
        ],
    ),
    (
        Heading::Cells,
        &[
            "cell",
            "cells",
            "cellid",
            "cellids",
            "cellname",
            "cellnames",
            "cellindex",
            "cellbarcode",
            "cellbarcodes",
            "barcode",
            "barcodes",
            "bcwells",
            "bc",
            "obsnames",
            "spot",
            "spotid",
        ],
    ),
    (
        Heading::AboutGenes,
        &[
            "chr",
            "chrom",
            "chromosome",
            "seqname",
            "seqnames",
            "start",
            "end",
            "strand",
            "width",
            "size",
            "genelength",
            "length",
            "exonlength",
            "transcriptlength",
            "effectivelength",
            "cdslength",
            "genetype",
            "genebiotype",
            "biotype",
            "featuretype",
            "featuretypes",
            "description",
            "genedescription",
            "genome",
        ],
    ),
    (
        Heading::AboutCells,
        &[
            "origident",
            "ncountrna",
            "nfeaturerna",
            "percentmt",
            "percentmito",
            "seuratclusters",
            "ngenes",
            "ncounts",
            "totalcounts",
            "ngenesbycounts",
            "pctcountsmt",
            "numi",
            "ngene",
            "celltype",
            "cluster",
            "clusters",
            "leiden",
            "louvain",
            "batch",
            "donor",
            "donorid",
            "patient",
            "patientid",
            "subjectid",
            "age",
            "sampletag",
        ],
    ),
    (
        Heading::Neutral,
        &[
            "",
            "index",
            "id",
            "ids",
            "name",
            "names",
            "rowname",
            "rownames",
            "row",
            "rows",
            "unnamed0",
            "sample",
            "samples",
            "sampleid",
            "samplename",
        ],
    ),
];

impl Heading {
    /// What a heading says, whatever its spelling: `Gene_ID`, `geneid` and `gene id` are the same.
    pub fn of(text: &str) -> Option<Self> {
        let plain = plain(text)?;
        HEADINGS
            .iter()
            .find_map(|(heading, texts)| texts.contains(&plain.as_str()).then_some(*heading))
    }

    /// Whether this heads names, of whatever.
    pub fn is_of_names(self) -> bool {
        !matches!(self, Self::AboutGenes | Self::AboutCells)
    }
}

/// Letters and digits of a text, in small letters; `None` for texts that are too long for a heading.
pub(super) fn plain(text: &str) -> Option<String> {
    const LONGEST: usize = 40;
    (text.len() <= LONGEST).then(|| {
        text.chars()
            .filter(|character| character.is_ascii_alphanumeric())
            .map(|character| character.to_ascii_lowercase())
            .collect()
    })
}

/// What the names along one side of a table are names of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Genes,
    Cells,
}

/// Names whose form nobody would give a cell, or a gene, are this share of all at least.
const MOST: f64 = 0.8;
/// Genes of well-known names are this share of all genes at least, even of unusual selections.
const SOME: f64 = 0.005;

impl Kind {
    /// What names are names of, where their form or well-known names among them tell.
    pub fn of(names: &[String]) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        /// More names than these say nothing new.
        const ENOUGH: usize = 5000;
        let step = names.len().div_ceil(ENOUGH);
        let asked = names.len().div_ceil(step) as f64;
        let some = || names.iter().step_by(step).map(String::as_str);
        let share = |is: fn(&str) -> bool| some().filter(|name| is(name)).count() as f64 / asked;
        // Some wells, such as C3 and F2, are also called as genes are.
        if are_wells(some, asked) {
            return Some(Self::Cells);
        }
        let (cells, genes) = (share(is_cell_name), share(is_gene_name));
        if cells >= MOST && cells > genes {
            return Some(Self::Cells);
        }
        let named = genes * asked;
        let enough = if names.len() <= 5 { 1.0 } else { 2.0 };
        if genes >= SOME && named >= enough && cells < 1.0 - MOST {
            return Some(Self::Genes);
        }
        None
    }

    /// Whether names have the form of gene symbols, most of them different words; says nothing of
    /// names of a few.
    pub fn looks_like_symbols(names: &[String]) -> bool {
        const FEWEST: usize = 10;
        if names.len() < FEWEST {
            return false;
        }
        let mut words: Vec<&str> = names
            .iter()
            .filter(|name| has_form_of_symbol(name))
            .map(|name| name.trim_end_matches(|last: char| !last.is_ascii_alphabetic()))
            .collect();
        let formed = words.len() as f64 / names.len() as f64;
        words.sort_unstable();
        words.dedup();
        formed >= MOST && words.len() as f64 / names.len() as f64 >= 0.5
    }
}

/// Whether names of cells are those of genes and names of genes those of cells, beyond doubt.
#[cfg(feature = "h5ad")]
pub(super) fn are_swapped(cells: &[String], genes: &[String]) -> bool {
    let are_identifiers = || {
        let found = cells.iter().filter(|name| is_gene_identifier(name)).count();
        found as f64 >= MOST * cells.len() as f64
    };
    Kind::of(genes) == Some(Kind::Cells)
        && Kind::of(cells) == Some(Kind::Genes)
        && (Kind::looks_like_symbols(cells) || are_identifiers())
}

/// A name with one sign in place of every number and every base.
pub(super) fn form(name: &str) -> String {
    let bases = has_barcode(name);
    let mut form = String::with_capacity(name.len());
    for character in name.chars() {
        let sign = match character {
            '0'..='9' => '0',
            'A' | 'C' | 'G' | 'T' if bases => 'A',
            other => other,
        };
        if sign != '0' || !form.ends_with('0') {
            form.push(sign);
        }
    }
    form
}

/// Whether a field is a number.
pub(super) fn is_number(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| {
        let text = text.trim().trim_matches('"');
        // Words that are numbers to the parser are names to people.
        text.bytes().any(|byte| byte.is_ascii_digit()) && text.parse::<f64>().is_ok()
    })
}

/// Whether a name holds a barcode of bases, or says that it is a cell's.
pub(super) fn is_cell_name(name: &str) -> bool {
    has_barcode(name) || is_numbered_well(name) || says_cell(name)
}

/// Bases that no gene has in its name.
fn has_barcode(name: &str) -> bool {
    const SHORTEST: usize = 8;
    name.split(|character: char| !character.is_ascii_alphabetic())
        .any(|part| {
            part.len() >= SHORTEST
                && part
                    .bytes()
                    .all(|base| matches!(base, b'A' | b'C' | b'G' | b'T' | b'N'))
        })
}

/// Rounds of barcodes by the numbers of their wells, `12_05_33`, as Parse names cells.
fn is_numbered_well(name: &str) -> bool {
    let rounds = name.split("__").next().unwrap_or_default().split('_');
    let mut count = 0;
    for round in rounds {
        count += 1;
        if round.len() != 2 || !round.bytes().all(|digit| digit.is_ascii_digit()) {
            return false;
        }
    }
    count == 3
}

/// Whether names are those of the wells of a plate, in rows of different letters: a row alone could be
/// numbered anything.
fn are_wells<'a, I: Iterator<Item = &'a str>>(names: impl Fn() -> I, asked: f64) -> bool {
    /// Genes such as C3, C5 and F2 have two letters between them.
    const FEWEST: u32 = 3;
    let parts: [fn(&str) -> Option<&str>; 2] = [
        |name| name.split(AROUND_WELLS).next(),
        |name| name.rsplit(AROUND_WELLS).next(),
    ];
    parts.into_iter().any(|part| {
        let rows = names().filter_map(|name| row_of_well(part(name)?));
        let (mut wells, mut letters) = (0, 0u32);
        for row in rows {
            wells += 1;
            letters |= 1 << (row - b'A');
        }
        f64::from(wells) >= MOST * asked && letters.count_ones() >= FEWEST
    })
}

/// What stands between the name of a well and other words.
const AROUND_WELLS: [char; 4] = ['.', '_', '-', ' '];

/// The letter of a well of a plate of up to 384 wells: `A1`, `A01` to `P24`.
fn row_of_well(word: &str) -> Option<u8> {
    const COLUMNS: u8 = 24;
    let (row @ b'A'..=b'P', column) = word
        .as_bytes()
        .split_first()
        .map(|(row, rest)| (*row, rest))?
    else {
        return None;
    };
    let is_column = (1..=2).contains(&column.len()) && column.iter().all(u8::is_ascii_digit);
    let number: u8 = word.get(1..)?.parse().ok()?;
    (is_column && (1..=COLUMNS).contains(&number)).then_some(row)
}

/// `cell 7`, `plate1_A05`, `GSM1234567`, `c12`, but not words of genes such as CELSR1.
fn says_cell(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "cell", "cells", "barcode", "bc", "plate", "well", "spot", "donor", "patient", "sample",
        "gsm", "srr", "err",
    ];
    /// Too short to be told from those in names of genes, unless they are all of the name.
    const LETTERS: &[&str] = &["c", "s"];
    if !name.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.split(|character: char| !character.is_ascii_alphabetic());
    parts.any(|part| WORDS.contains(&part))
        || LETTERS.contains(&lower.trim_end_matches(|last: char| !last.is_ascii_alphabetic()))
}

/// Whether a name is one that genes have: an identifier, or a well-known symbol of human or mouse.
pub(super) fn is_gene_name(name: &str) -> bool {
    // Joined with its symbol, an identifier stands first or last.
    is_gene_identifier(name)
        || name
            .split(['|', '_', ':', ' '])
            .any(|part| is_gene_identifier(part) && part.len() >= 8)
        || is_family_member(name)
        || SYMBOLS.contains(&name.to_ascii_uppercase().as_str())
}

/// `ENSG00000111640.15`, `ENSMUSG…`, `FBgn…`, `WBGene…`, `AT1G01010`, `YAL001C`, `gene12`.
pub(super) fn is_gene_identifier(name: &str) -> bool {
    let after = |prefix: &str| name.strip_prefix(prefix);
    let is_number = |text: &str, fewest: usize| {
        text.len() >= fewest && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let digits =
        |text: &str, fewest: usize| is_number(text.split('.').next().unwrap_or_default(), fewest);
    if let Some(rest) = after("ENS") {
        // Species in up to five letters, then the kind of feature.
        let letters = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        return (1..=6).contains(&letters)
            && rest[..letters].ends_with(['G', 'T'])
            && digits(&rest[letters..], 8);
    }
    for prefix in ["FBgn", "WBGene", "LINC", "LOC", "CG", "ERCC-"] {
        if let Some(rest) = after(prefix) {
            // A version follows, or nothing.
            let (number, version) = rest.split_once('.').unwrap_or((rest, "1"));
            return is_number(number, 3) && is_number(version, 1);
        }
    }
    // The wells of row G are numbered like genes without a name.
    if row_of_well(name).is_some() {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    for word in ["gene", "g", "feature"] {
        if let Some(rest) = lower.strip_prefix(word) {
            let number = rest.trim_start_matches([' ', '_', '-', '.']);
            if is_number(number, 1) {
                return true;
            }
        }
    }
    let bytes = name.as_bytes();
    match bytes {
        [b'A', b'T', chromosome, b'G', rest @ ..] => {
            chromosome.is_ascii_alphanumeric()
                && rest.len() == 5
                && rest.iter().all(u8::is_ascii_digit)
        }
        [b'Y', b'A'..=b'P', b'L' | b'R', rest @ ..] => {
            rest.len() >= 4
                && rest[..3].iter().all(u8::is_ascii_digit)
                && matches!(rest[3], b'C' | b'W')
        }
        _ => false,
    }
}

/// Mitochondrial and ribosomal genes, clones and predicted genes: families that no selection of a
/// whole transcriptome lacks.
fn is_family_member(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let numbered = |prefix: &str| {
        upper
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.as_bytes().first().is_some_and(u8::is_ascii_digit))
    };
    upper.starts_with("MT-")
        || upper.ends_with("RIK")
        || ["RPL", "RPS", "MRPL", "MRPS", "NDUFA", "NDUFB", "COX"]
            .iter()
            .any(|prefix| numbered(prefix))
        || (name.starts_with("Gm") && numbered("GM"))
        || ["AC", "AL", "AP", "RP"]
            .iter()
            .any(|prefix| numbered(prefix) && upper.contains('.') && upper.len() >= 8)
}

/// One word of letters, digits and dashes that starts with a letter, in capitals or with one capital.
fn has_form_of_symbol(name: &str) -> bool {
    let bytes = name.as_bytes();
    (2..=12).contains(&bytes.len())
        && bytes[0].is_ascii_uppercase()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && !(bytes[1..].iter().any(u8::is_ascii_lowercase)
            && bytes[1..].iter().any(u8::is_ascii_uppercase))
}

/// Genes by which people know cells, and those that most cells express.
const SYMBOLS: &[&str] = &[
    "ACTA2", "ACTB", "ACTG1", "ADIPOQ", "AFP", "AIF1", "ALB", "ALDH1L1", "AQP4", "ASCL1", "ATF3",
    "B2M", "BCL2", "BCL6", "BTG1", "C1QA", "C1QB", "C1QC", "CA1", "CA2", "CALM1", "CALM2", "CCL2",
    "CCL3", "CCL4", "CCL5", "CCNB1", "CCND1", "CCR7", "CD14", "CD19", "CD1C", "CD2", "CD24",
    "CD27", "CD33", "CD34", "CD36", "CD38", "CD3D", "CD3E", "CD3G", "CD4", "CD40", "CD44", "CD52",
    "CD63", "CD68", "CD69", "CD74", "CD79A", "CD79B", "CD8A", "CD8B", "CD9", "CDH1", "CDH5",
    "CDK1", "CDKN1A", "CDKN2A", "CEBPA", "CHGA", "CLDN5", "CLEC9A", "CLU", "COL1A1", "COL1A2",
    "COL3A1", "CPA3", "CREM", "CSF1R", "CST3", "CTNNB1", "CTSB", "CTSD", "CTSS", "CX3CR1", "CXCL8",
    "CXCR4", "DCN", "DDIT3", "DES", "DUSP1", "EEF1A1", "EEF1B2", "EEF2", "EGFR", "EGR1", "ENO1",
    "EPCAM", "ERBB2", "ESR1", "FABP4", "FABP5", "FAU", "FCER1A", "FCER1G", "FCGR3A", "FCN1",
    "FGFR1", "FN1", "FOS", "FOSB", "FOXP3", "FTH1", "FTL", "GAD1", "GAD2", "GAPDH", "GATA1",
    "GATA2", "GATA3", "GCG", "GFAP", "GNLY", "GPX1", "GZMA", "GZMB", "GZMK", "HBA1", "HBA2", "HBB",
    "HES1", "HLA-A", "HLA-B", "HLA-C", "HLA-DPA1", "HLA-DPB1", "HLA-DRA", "HLA-DRB1", "HMGB1",
    "HMGB2", "HPRT1", "HSP90AA1", "HSP90AB1", "HSPA1A", "HSPA5", "HSPA8", "ID1", "ID2", "ID3",
    "IER2", "IFI6", "IFITM1", "IFNG", "IGHG1", "IGHM", "IGKC", "IL10", "IL1B", "IL2", "IL2RA",
    "IL32", "IL6", "IL7R", "INS", "IRF7", "IRF8", "ISG15", "ITGAM", "ITGAX", "JCHAIN", "JUN",
    "JUNB", "JUND", "KIT", "KLF2", "KLF4", "KLRB1", "KLRD1", "KRT14", "KRT18", "KRT19", "KRT5",
    "KRT8", "LDHA", "LDHB", "LGALS1", "LGR5", "LST1", "LTB", "LYZ", "MALAT1", "MBP", "MEF2C",
    "MKI67", "MOG", "MPO", "MS4A1", "MS4A7", "MUC2", "MYC", "MYH6", "MYH7", "NANOG", "NCAM1",
    "NEAT1", "NEUROD1", "NKG7", "NONO", "NOTCH1", "NPM1", "NRXN1", "OLIG1", "OLIG2", "PAX6",
    "PCNA", "PDGFRA", "PDGFRB", "PECAM1", "PF4", "PGK1", "PLP1", "POU5F1", "PPBP", "PPIA", "PPY",
    "PRF1", "PTEN", "PTPRC", "PTMA", "RHO", "RORA", "RUNX1", "S100A4", "S100A8", "S100A9", "SELL",
    "SLC17A7", "SNAP25", "SOX10", "SOX2", "SOX9", "SPARC", "SPP1", "SST", "STAT1", "STAT3",
    "STMN1", "SYP", "TAGLN", "TBX21", "TCF7", "TFRC", "TMSB10", "TMSB4X", "TNF", "TOP2A", "TP53",
    "TPT1", "TRAC", "TTR", "TUBA1B", "TUBB", "TUBB3", "UBB", "UBC", "VCAM1", "VEGFA", "VIM", "VWF",
    "XIST", "YBX1", "ZEB2",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(names: &[&str]) -> Option<Kind> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Kind::of(&names)
    }

    #[cfg(feature = "h5ad")]
    #[test]
    fn only_names_of_both_sides_say_that_they_are_swapped() {
        let strings =
            |names: &[&str]| -> Vec<String> { names.iter().map(|name| name.to_string()).collect() };
        let symbols = strings(&[
            "GAPDH", "ACTB", "CD3E", "LYZ", "MS4A1", "NKG7", "PPBP", "CST3", "FCN1", "KLF2",
        ]);
        let identifiers = strings(&["ENSG00000111640", "ENSG00000075624", "ENSG00000198851"]);
        let barcodes = strings(&["AAACCCAAGAAACACT-1", "AAACCCAAGAAACCAT-1"]);
        for genes in [&symbols, &identifiers] {
            assert!(are_swapped(genes, &barcodes));
            assert!(!are_swapped(&barcodes, genes));
        }
        // Cells are called by what was done to them, features by what they are.
        let perturbed = strings(&["GAPDH", "ACTB", "control 1", "control 2", "control 3"]);
        let features = strings(&["x", "y", "chr1:100-200"]);
        assert!(!are_swapped(&perturbed, &barcodes));
        assert!(!are_swapped(&symbols, &features));
        assert!(!are_swapped(&symbols, &symbols));
        assert!(!are_swapped(&features, &barcodes));
    }

    #[test]
    fn genes_of_many_species_are_known() {
        for names in [
            &["ENSG00000111640", "ENSG00000075624.17"][..],
            &["ENSMUSG00000051951", "ENSMUSG00000089699"],
            &["FBgn0031081", "FBgn0052826"],
            &["WBGene00000001", "WBGene00000002"],
            &["AT1G01010", "AT1G01020"],
            &["YAL001C", "YBR023W"],
            &["GAPDH", "ACTB", "CD3E", "LYZ", "MS4A1", "MT-CO1"],
            &[
                "Gapdh",
                "Xkr4",
                "Rp1",
                "Sox17",
                "Mrpl15",
                "Rpl7",
                "4930558J18Rik",
            ],
            &["g1", "g2"],
            &["Gene 1", "Gene 2", "Gene 3"],
            &["ENSG00000111640_GAPDH", "ENSG00000075624_ACTB"],
            &[
                "AL627309.1",
                "FAM138A",
                "OR4F5",
                "RP11-34P13.7",
                "LINC00115",
            ],
        ] {
            assert_eq!(kind(names), Some(Kind::Genes), "{names:?}");
        }
    }

    #[test]
    fn cells_are_known_by_barcodes_and_words() {
        for names in [
            &["ACGTACGTACGTACGAA-1", "ACGTACGTACGTACGCA-1"][..],
            &["AAACATACAACCAC.1", "AAACATTGAGCTAC.1"],
            &["s1:AAACATACAACC", "s1:TTTGCATACAAC"],
            &["01_01_01", "12_95_03__s2"],
            &["cell1", "cell2"],
            &["Cell 1", "Cell 2"],
            &["plate1_A01", "plate1_A02"],
            &["GSM1234567", "GSM1234568"],
            &["c1", "c2"],
        ] {
            assert_eq!(kind(names), Some(Kind::Cells), "{names:?}");
        }
    }

    fn wells(rows: std::ops::RangeInclusive<u8>, columns: usize, around: &str) -> Vec<String> {
        rows.flat_map(|row| (1..=columns).map(move |column| (char::from(row), column)))
            .map(|(row, column)| around.replace("well", &format!("{row}{column:02}")))
            .collect()
    }

    #[test]
    fn wells_of_plates_are_cells() {
        for (last, columns) in [(b'H', 12), (b'P', 24)] {
            for around in [
                "well",
                "well.MAA000594.3_11_M.1.1",
                "well_S7",
                "P9_well",
                "x-well",
            ] {
                let names = wells(b'A'..=last, columns, around);
                assert_eq!(Kind::of(&names), Some(Kind::Cells), "{around}");
            }
        }
        let mut some = wells(b'A'..=b'D', 12, "well");
        some.extend(["bulk", "empty", "NTC"].map(String::from));
        assert_eq!(Kind::of(&some), Some(Kind::Cells));
        // Wells or genes without a name: a single row does not tell.
        assert_eq!(Kind::of(&wells(b'G'..=b'G', 12, "well")), None);
        assert_eq!(Kind::of(&wells(b'G'..=b'G', 12, "well.x")), None);
        assert_eq!(Kind::of(&wells(b'G'..=b'H', 12, "well")), None);
        // Genes that are called as wells are.
        assert_eq!(kind(&["C3", "C5", "F2", "F5", "F8", "F10"]), None);
        let genes: Vec<String> = (1..=200).map(|gene| format!("G{gene}")).collect();
        assert_eq!(Kind::of(&genes), Some(Kind::Genes));
        assert_eq!(kind(&["CG001.A05", "CG002.A05"]), None);
        assert_eq!(kind(&["LOC101928.1", "CG1234"]), Some(Kind::Genes));
    }

    #[test]
    fn names_of_anything_say_nothing() {
        for names in [
            &["a", "b", "c"][..],
            &["0", "1", "2"],
            &["V1", "V2", "V3"],
            &[],
            &["x_1", "y_2"],
        ] {
            assert_eq!(kind(names), None, "{names:?}");
        }
    }

    #[test]
    fn symbols_are_different_words() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        let symbols = [
            "Sxl", "Dsx", "Tra2", "Fru", "Vasa", "Nos", "Osk", "Bam", "Eya", "Dpp", "Hh", "Wg",
        ];
        assert!(Kind::looks_like_symbols(&names(&symbols)));
        let wells: Vec<String> = (1..=12).map(|well| format!("A{well}")).collect();
        assert!(!Kind::looks_like_symbols(&wells));
        assert!(!Kind::looks_like_symbols(&names(&symbols[..5])));
    }

    #[test]
    fn headings_are_known_in_any_spelling() {
        for (text, expected) in [
            ("Gene_ID", Some(Heading::Genes)),
            ("gene name", Some(Heading::Symbols)),
            ("Cell_Index", Some(Heading::Cells)),
            ("Chr", Some(Heading::AboutGenes)),
            ("nCount_RNA", Some(Heading::AboutCells)),
            ("", Some(Heading::Neutral)),
            ("Unnamed: 0", Some(Heading::Neutral)),
            ("entrezgene", Some(Heading::Genes)),
            ("exon_length", Some(Heading::AboutGenes)),
            ("patient_id", Some(Heading::AboutCells)),
            ("GAPDH", None),
        ] {
            assert_eq!(Heading::of(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_digits() {
        for (field, expected) in [
            ("12", true),
            ("1e5", true),
            (" 3.5", true),
            ("\"4\"", true),
            ("-2", true),
            ("inf", false),
            ("NaN", false),
            ("", false),
            ("1,000", false),
        ] {
            assert_eq!(is_number(field.as_bytes()), expected, "{field}");
        }
    }
}
