//! Tables with a line for every gene and cell, as `umi_tools count` writes them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::rows::no_count;
use crate::counts::CountMatrix;
use crate::error::Result;
use crate::io::budget::Budget;
use crate::io::delimited::{Head, Separator, UNCLOSED};
use crate::io::entries::Entries;
use crate::io::names::named;
use crate::io::text::{Lines, Refusal, parse_value};

/// The header of such a table.
const HEADER: [&str; 3] = ["gene", "cell", "count"];

/// Whether a header is that of such a table.
pub(super) fn is_long(head: &Head) -> bool {
    let fields = three_fields(&head.header, head.separator);
    let wanted = HEADER.map(str::as_bytes);
    fields.is_ok_and(|fields| {
        fields
            .iter()
            .zip(wanted)
            .all(|(field, name)| **field == *name)
    })
}

/// Reads the lines after the header; genes and cells are in the order in which they first occur.
pub(super) fn read(lines: &mut Lines, head: &Head) -> Result<CountMatrix> {
    let budget = lines.budget();
    let mut table = Long {
        genes: Names::default(),
        cells: Names::default(),
        entries: Entries::with_capacity(0, false, &budget)
            .map_err(|shortage| lines.refuse(shortage))?,
    };
    let separator = head.separator;
    if let Some(first) = &head.first {
        table
            .push(first, separator, &budget)
            .map_err(|refusal| lines.refuse_at(head.first_line, refusal))?;
    }
    while let Some(line) = lines.read()? {
        let pushed = separator.read_line(line, HEADER.len(), |line| {
            table.push(line, separator, &budget)
        });
        pushed.map_err(|refusal| lines.refuse(refusal))?;
    }
    table
        .into_matrix(&budget)
        .map_err(|refusal| lines.refuse(refusal))?
}

/// The fields of a line, which must be three.
fn three_fields(
    line: &[u8],
    separator: Separator,
) -> std::result::Result<[Cow<'_, [u8]>; 3], Refusal> {
    let expected = "expected three fields: a gene, a cell and a count";
    let mut rest = Some(separator.trimmed(line));
    let mut next = || {
        let (field, after) = separator.next_name(rest.ok_or(expected)?).ok_or(UNCLOSED)?;
        rest = after;
        Ok::<_, Refusal>(field)
    };
    let fields = [next()?, next()?, next()?];
    match rest {
        None => Ok(fields),
        Some(_) => Err(expected.into()),
    }
}

/// What is read so far.
struct Long {
    genes: Names,
    cells: Names,
    entries: Entries,
}

impl Long {
    fn push(
        &mut self,
        line: &[u8],
        separator: Separator,
        budget: &Budget,
    ) -> std::result::Result<(), Refusal> {
        let [gene, cell, count] = three_fields(line, separator)?;
        let Some(value) = parse_value(count.trim_ascii()) else {
            return Err(no_count(&count, HEADER[2]).into());
        };
        let gene = self.genes.number(&gene, budget)?;
        let cell = self.cells.number(&cell, budget)?;
        self.entries.push(gene, cell, value, budget)?;
        Ok(())
    }

    /// The outer error is one of memory, the inner one of the counts.
    fn into_matrix(self, budget: &Budget) -> std::result::Result<Result<CountMatrix>, Refusal> {
        let cells = self.cells.in_order(budget)?;
        let genes = self.genes.in_order(budget)?;
        self.entries.allow_matrix(cells.len(), budget)?;
        budget.allow_naming(cells.len(), &genes)?;
        let matrix = self.entries.into_matrix(cells.len(), genes.len());
        Ok(named(matrix, cells, genes))
    }
}

/// Names, numbered in the order in which they first occur.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, field: &[u8], budget: &Budget) -> std::result::Result<u32, Refusal> {
        /// A growing table is twice as large as it was, at worst half empty, beside the old one.
        const IN_TABLE: u64 = 4 * (size_of::<(String, u32)>() as u64 + 1);
        if let Some(&number) = self.numbers.get(&*String::from_utf8_lossy(field)) {
            return Ok(number);
        }
        let number = u32::try_from(self.numbers.len())
            .map_err(|_| "more than 2^32 genes or cells are not supported")?;
        budget.take(IN_TABLE)?;
        self.numbers.insert(budget.name(field)?, number);
        Ok(number)
    }

    fn in_order(self, budget: &Budget) -> std::result::Result<Vec<String>, Refusal> {
        let mut names: Vec<String> = budget.list(self.numbers.len())?;
        names.resize(self.numbers.len(), String::new());
        for (name, number) in self.numbers {
            names[number as usize] = name;
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ndarray::array;

    use super::super::TableOptions;
    use crate::counts::CountMatrix;
    use crate::error::{Error, Result};
    use crate::io::CountFormat;

    fn read(name: &str, bytes: &[u8], options: &TableOptions) -> Result<CountMatrix> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(CountFormat::of(&path)?, CountFormat::Table);
        options.read(path)
    }

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    const TEXT: &str = "gene\tcell\tcount\nCD3E\tTTGA\t2\nCD3E\tACCA\t1\n\n# LYZ\nLYZ\tACCA\t7\n";

    #[test]
    fn lines_of_genes_and_cells_are_read() {
        let quoted = TEXT.replace("gene", "\"gene\"").replace("CD3E", "\"CD3E\"");
        for (name, bytes) in [
            ("counts.tsv", TEXT.into()),
            ("counts.tsv.gz", compressed(TEXT)),
            ("counts", TEXT.into()),
            ("counts.csv", TEXT.replace('\t', ",").into()),
            ("counts.csv", TEXT.replace('\t', ", ").into()),
            ("counts.tsv", quoted.into()),
        ] {
            let counts = read(name, &bytes, &TableOptions::new()).unwrap();
            assert_eq!(counts.cell_names(), ["TTGA", "ACCA"], "{name}");
            assert_eq!(counts.gene_names(), ["CD3E", "LYZ"], "{name}");
            assert_eq!(counts.to_dense(), array![[2.0, 0.0], [1.0, 7.0]], "{name}");
        }
    }

    #[test]
    fn the_wide_form_is_an_ordinary_table() {
        let wide = "gene\tACCA\tTTGA\nCD3E\t1\t2\nLYZ\t7\t0\n";
        let options = TableOptions::new().with_transposed(true);
        let counts = read("counts.tsv", wide.as_bytes(), &options).unwrap();
        assert_eq!(counts.cell_names(), ["ACCA", "TTGA"]);
        assert_eq!(counts.to_dense(), array![[1.0, 7.0], [2.0, 0.0]]);
    }

    #[test]
    fn malformed_lines_are_refused_with_their_number() {
        for (lines, expected) in [
            (
                "LYZ\tACCA\tmany\n",
                "line 2: \"many\" in the column of \"count\"",
            ),
            ("LYZ\tACCA\t1\nLYZ\tACCA\n", "line 3: expected three fields"),
            ("LYZ\tACCA\t1\t1\n", "line 2: expected three fields"),
            (
                "LYZ\tACCA\t-1\n",
                "negative count -1 at cell 0 (\"ACCA\"), gene 0 (\"LYZ\")",
            ),
            ("", "the table has no rows"),
        ] {
            let text = format!("gene\tcell\tcount\n{lines}");
            let refused = read("counts.tsv", text.as_bytes(), &TableOptions::new());
            let message = refused.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_small_file_of_many_lines_is_stopped() {
        let text = format!("{TEXT}{}", "LYZ\tACCA\t0\n".repeat(5 << 20));
        let refused = read("counts.tsv.gz", &compressed(&text), &TableOptions::new());
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
    }
}
