//! The written defaults are those of the code.

use super::super::*;

fn recipes() -> [Preprocess; 4] {
    [
        Preprocess::scdcc(),
        Preprocess::scdcc_reference(),
        Preprocess::desc(),
        Preprocess::desc_reference(),
    ]
}

/// The cells of the row of a table that begins with `start`, without that.
fn row<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let line = text
        .lines()
        .find(|line| line.contains(&format!("| {start}")))
        .unwrap_or_else(|| panic!("no row {start:?}"));
    let cells = line.trim_start_matches("///").trim().trim_matches('|');
    cells.split('|').skip(1).map(str::trim).collect()
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.into()
}

fn clip(recipe: &Preprocess) -> String {
    match recipe.scaling.and_then(|scaling| scaling.clip) {
        None => "none".into(),
        Some(Clip::Both(limit)) => format!("±{limit}"),
        Some(Clip::Upper(limit)) => format!("{limit}"),
    }
}

#[test]
fn the_table_of_recipes_is_that_of_the_code() {
    let text = include_str!("../settings.rs");
    type Written = fn(&Preprocess) -> String;
    let rows: [(&str, Written); 10] = [
        ("[fewest counts of a gene]", |r| {
            r.min_counts_per_gene.to_string()
        }),
        ("[fewest cells of a gene]", |r| {
            r.min_cells_per_gene.to_string()
        }),
        ("[fewest counts of a cell]", |r| {
            r.min_counts_per_cell.to_string()
        }),
        ("[fewest genes of a cell]", |r| {
            r.min_genes_per_cell.to_string()
        }),
        ("[total of a cell]", |r| match r.target_sum {
            TargetSum::Median => "median".into(),
            TargetSum::Fixed(total) => total.to_string(),
        }),
        ("[genes]", |r| {
            r.variable_genes
                .map_or("all".into(), |variable| variable.number.to_string())
        }),
        ("[divided by the standard deviation to the power of]", |r| {
            r.scaling.unwrap().exponent.to_string()
        }),
        ("[brought to a mean variance of 1]", |r| {
            yes(r.scaling.unwrap().unit_variance)
        }),
        ("[cut off]", clip),
        ("[fractional counts]", |r| yes(r.allow_fractional)),
    ];
    for (start, written) in rows {
        let expected = recipes().each_ref().map(written);
        assert_eq!(row(text, start), expected, "{start}");
    }
    assert!(recipes().iter().all(|r| r.scaling.unwrap().center));
    assert_eq!(Preprocess::default(), Preprocess::scdcc());
}

#[test]
fn the_recipes_in_the_methods_are_those_of_the_code() {
    let text = include_str!("../../../docs/methods.md");
    let total = |recipe: &Preprocess| match recipe.target_sum {
        TargetSum::Median => "median total",
        TargetSum::Fixed(1e4) => "10 000",
        TargetSum::Fixed(_) => "another total",
    };
    assert_eq!(
        row(text, "target total $T$"),
        recipes().each_ref().map(total)
    );
    let genes = |recipe: &Preprocess| match recipe.variable_genes {
        None => "all",
        Some(variable) if variable == VariableGenes::seurat(2000) => {
            "the 2000 most variable (`seurat`)"
        }
        Some(_) => "another choice",
    };
    let mut written = row(text, "genes");
    assert_eq!(written[3], "the same");
    written[3] = written[2];
    assert_eq!(written, recipes().each_ref().map(genes));
    let scale = |recipe: &Preprocess| {
        let scaling = recipe.scaling.unwrap();
        match (scaling.exponent, scaling.unit_variance) {
            (0.5, true) => "½, to mean variance 1",
            (1.0, false) => "1, 1",
            _ => "another scale",
        }
    };
    let written = row(text, "exponent $e$, factor $c$");
    assert_eq!(written, recipes().each_ref().map(scale));
    let written = row(text, "clip of $\\tilde x$");
    assert_eq!(written, recipes().each_ref().map(clip));
}

#[test]
fn single_defaults_are_those_that_are_written_beside_them() {
    let z_score = Scaling::default();
    assert_eq!(z_score, Scaling::z_score());
    assert!(z_score.center && !z_score.unit_variance);
    assert_eq!((z_score.exponent, z_score.clip), (1.0, None));
    assert_eq!(VariableGenes::default(), VariableGenes::seurat(2000));
}
