//! The parts of compressed sparse matrices.

use std::path::Path;

use celldec::counts::{CountMatrix, CountRows};

use super::table::only_file;
use super::{Target, check, outcome};
use crate::bytes;
use crate::input::Input;
use crate::random::Random;

/// Shape, offsets, indices and values as 64-bit numbers, each after its length.
pub struct Matrix;

fn parts(data: &[u8]) -> [Vec<u64>; 4] {
    let (numbers, _) = data.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|&bytes| u64::from_le_bytes(bytes));
    std::array::from_fn(|_| {
        let length = numbers.next().unwrap_or(0).min(10_000) as usize;
        numbers.by_ref().take(length).collect()
    })
}

impl Target for Matrix {
    fn name(&self) -> &'static str {
        "matrix parts"
    }

    fn seeds(&self) -> Vec<Input> {
        let one = f64::from(1.0f32).to_bits();
        let seed = |parts: [&[u64]; 4]| {
            let numbers = parts
                .iter()
                .flat_map(|part| std::iter::once(part.len() as u64).chain(part.iter().copied()));
            Input::file(
                "parts",
                numbers.flat_map(u64::to_le_bytes).collect::<Vec<u8>>(),
            )
        };
        vec![
            seed([&[3, 2], &[0, 2, 2, 3], &[0, 1, 0], &[one; 3]]),
            // Unsorted, and one entry twice.
            seed([&[2, 3], &[0, 3, 5], &[2, 0, 2, 1, 0], &[one; 5]]),
        ]
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, _: &Input, times: usize) {
        for (_, data) in &mut input.files {
            for _ in 0..times {
                match random.below(4) {
                    0 => {
                        let words = data.len() / 8;
                        let at = 8 * random.below(words);
                        let number = *random.pick(&bytes::INTERESTING);
                        if let Some(word) = data.get_mut(at..at + 8) {
                            word.copy_from_slice(&number.to_le_bytes());
                        }
                    }
                    1 => {
                        let words = data.len() / 8;
                        let at = 8 * random.below(words + 1);
                        let value = *random.pick(&[0.5, -1.0, f64::NAN, 1e300, 16_777_217.0, 0.0]);
                        data.splice(at..at, value.to_bits().to_le_bytes());
                    }
                    _ => bytes::change(random, data, &[], 4096),
                }
            }
        }
    }

    fn run(&self, folder: &Path) -> String {
        let data = std::fs::read(only_file(folder)).expect("the input");
        let [shape, offsets, indices, values] = parts(&data);
        let number = |at: usize| shape.get(at).copied().unwrap_or(0) as usize;
        let (cells, genes) = (number(0), number(1));
        // A shape is a claim of the caller, who has the memory for its names.
        if cells > 100_000 || genes > 100_000 {
            return "too large".into();
        }
        let offsets: Vec<usize> = offsets.into_iter().map(|offset| offset as usize).collect();
        let indices: Vec<u32> = indices.into_iter().map(|index| index as u32).collect();
        let values: Vec<f32> = values
            .into_iter()
            .map(|v| f64::from_bits(v) as f32)
            .collect();
        let rows = CountRows::from_csr(7, genes, offsets.clone(), indices.clone(), values.clone());
        let by_gene = CountMatrix::from_csc(cells, genes, &offsets, &indices, &values);
        let by_cell = CountMatrix::from_csr(cells, genes, offsets, indices, values);
        for counts in [&by_gene, &by_cell].into_iter().flatten() {
            check(counts);
        }
        format!(
            "{} {} {}",
            outcome(rows),
            outcome(by_gene),
            outcome(by_cell)
        )
    }
}
