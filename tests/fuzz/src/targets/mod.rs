//! What is fuzzed.

mod annotated;
mod checkpoint;
mod matrix;
mod model;
mod mtx;
mod settings;
mod table;
mod tenx;
mod training;
mod weights;

use std::path::Path;

use celldec::counts::CountMatrix;

use crate::input::Input;
use crate::random::Random;

/// The largest file that is made.
pub const MOST: usize = 256 << 10;

/// Something of the library that reads.
pub trait Target {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Small inputs, of which most are sound.
    fn seeds(&self) -> Vec<Input>;

    /// Changes an input `times` times; `other` is one to take parts of.
    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize);

    /// Reads what lies in a folder and says what came out: "read", or the error.
    ///
    /// # Panics
    /// When what was read is not sound.
    fn run(&self, folder: &Path) -> String;
}

/// All targets.
pub fn all() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(mtx::Mtx::matrix()),
        Box::new(mtx::Mtx::features()),
        Box::new(mtx::Mtx::barcodes()),
        Box::new(table::Table),
        Box::new(table::Labels),
        Box::new(annotated::Bytes::default()),
        Box::new(annotated::Content),
        Box::new(annotated::Results::default()),
        Box::new(tenx::Bytes::default()),
        Box::new(tenx::Content),
        Box::new(weights::Weights),
        Box::new(settings::Settings),
        Box::new(model::Model),
        Box::new(checkpoint::Checkpoint::new()),
        Box::new(matrix::Matrix),
    ]
}

/// What a reader's result is called.
fn outcome<T>(result: Result<T, celldec::Error>) -> String {
    match result {
        Ok(_) => "read".into(),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 4000, "{message}");
            message
        }
    }
}

/// Checks what every matrix of counts promises.
fn check(counts: &CountMatrix) {
    let (cells, genes) = (counts.cells(), counts.genes());
    assert_eq!(counts.cell_names().len(), cells);
    assert_eq!(counts.gene_names().len(), genes);
    assert_eq!(counts.offsets().len(), cells + 1);
    assert_eq!(counts.offsets()[cells], counts.stored());
    for cell in 0..cells {
        let (indices, values) = counts.row(cell);
        assert!(
            indices.windows(2).all(|pair| pair[0] < pair[1]),
            "cell {cell}"
        );
        assert!(
            indices.iter().all(|&gene| (gene as usize) < genes),
            "cell {cell}"
        );
        assert!(
            values.iter().all(|&v| v > 0.0 && v.is_finite()),
            "cell {cell}: {values:?}"
        );
    }
    let mut names: Vec<&String> = counts.gene_names().iter().collect();
    names.sort_unstable();
    assert!(
        names.windows(2).all(|pair| pair[0] != pair[1]),
        "two genes of one name"
    );
}

/// A file of the project's fixtures.
macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../../fixtures/", $path)).as_slice()
    };
}
use fixture;
