//! The mean likelihood and its gradient in one pass over the entries.
//!
//! A row is swept twice. The first sweep treats every count as zero, in vectorised `f32`: about
//! nine entries in ten of a single-cell matrix are, and the likelihood of a zero needs no
//! log-gamma. The second visits the others, gathered in groups, in `f64`: there log-gammas of
//! nearly equal arguments are subtracted.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use super::entry::{self, Entry, Theta};
use super::ln_mean_bounds;
use crate::kernel::parallel;
use crate::kernel::special::ln_gamma;
use crate::kernel::vectorize::{Vectorize, vectorize};

/// Cells a task handles; part of the definition of the result, because sums are formed per block.
const BLOCK_CELLS: usize = 8;
/// Entries of the first sweep handled together.
const WIDTH: usize = 64;
/// Partial sums of a row; independent of the vector width of the CPU.
const PARTIAL_SUMS: usize = 16;
/// Entries of the second sweep handled together.
const GROUP: usize = 8;
/// Counts whose log-factorial is looked up.
const TABLE: usize = 1024;

static LN_FACTORIAL: LazyLock<[f64; TABLE]> =
    LazyLock::new(|| std::array::from_fn(|x| ln_gamma(x as f64 + 1.0)));

/// What the kernel reads; all slices row-major.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// `[cells, genes]`
    pub counts: &'a [f32],
    /// `[cells]`
    pub size_factors: &'a [f32],
    /// `[cells, genes]`
    pub mean_logits: &'a [f32],
    /// `[cells, genes]` or `[genes]`
    pub dispersion_logits: &'a [f32],
    /// `[cells, genes]`; absent for the plain negative binomial
    pub dropout_logits: Option<&'a [f32]>,
    pub cells: usize,
    pub genes: usize,
}

/// The derivative of the mean by the logits, in the shapes of the logits.
pub(super) struct Gradients {
    pub mean: Vec<f32>,
    pub dispersion: Vec<f32>,
    /// Empty for the plain negative binomial.
    pub dropout: Vec<f32>,
}

/// The mean over all entries and, if `differentiate`, its gradient.
pub(super) fn mean(inputs: Inputs<'_>, differentiate: bool) -> (f64, Option<Gradients>) {
    let Inputs { cells, genes, .. } = inputs;
    let entries = cells * genes;
    let by_gene = inputs.dispersion_logits.len() != entries;
    let wanted = [true, !by_gene, inputs.dropout_logits.is_some()]
        .map(|wanted| if wanted && differentiate { entries } else { 0 });
    let mut gradients = wanted.map(Vec::<f32>::with_capacity);

    let size = BLOCK_CELLS * genes;
    let mut blocks = Vec::with_capacity(cells.div_ceil(BLOCK_CELLS));
    let [mut mean_rest, mut dispersion_rest, mut dropout_rest] = {
        let mut lengths = wanted.into_iter();
        gradients.each_mut().map(|gradient| {
            let length = lengths.next().unwrap_or_default();
            gradient.spare_capacity_mut()[..length].chunks_mut(size)
        })
    };
    for first in (0..cells).step_by(BLOCK_CELLS) {
        blocks.push(Block {
            first,
            cells: BLOCK_CELLS.min(cells - first),
            by_mean: mean_rest.next(),
            by_dispersion: dispersion_rest.next(),
            by_dropout: dropout_rest.next(),
            by_gene: (by_gene && differentiate).then(|| vec![0.0; genes]),
            scale: 1.0 / entries as f32,
        });
    }
    let sums = parallel::map(blocks.into_iter(), |block| match inputs.dropout_logits {
        Some(_) => vectorize(Sweep::<true> { block, inputs }),
        None => vectorize(Sweep::<false> { block, inputs }),
    });
    for (gradient, length) in gradients.iter_mut().zip(wanted) {
        // SAFETY: there is room for `length` entries, none or as many as cells × genes. The blocks
        // cover all cells, and the first sweep over a cell writes its whole row of each gradient that
        // is wanted; a block that panics does not let us come here.
        unsafe { gradient.set_len(length) };
    }
    let [mean, mut dispersion, dropout] = gradients;

    let total: f64 = sums.iter().map(|(sum, _)| sum).sum();
    if by_gene && differentiate {
        let mut by_dispersion = vec![0.0f64; genes];
        for partial in sums.iter().filter_map(|(_, partial)| partial.as_ref()) {
            for (sum, part) in by_dispersion.iter_mut().zip(partial) {
                *sum += part;
            }
        }
        dispersion = by_dispersion.into_iter().map(|sum| sum as f32).collect();
    }
    let gradients = differentiate.then_some(Gradients {
        mean,
        dispersion,
        dropout,
    });
    (total / entries as f64, gradients)
}

/// A block of consecutive cells and where its gradient goes.
struct Block<'a> {
    first: usize,
    cells: usize,
    by_mean: Option<&'a mut [MaybeUninit<f32>]>,
    by_dispersion: Option<&'a mut [MaybeUninit<f32>]>,
    by_dropout: Option<&'a mut [MaybeUninit<f32>]>,
    /// Sum over the block's cells where the dispersion is one a gene.
    by_gene: Option<Vec<f64>>,
    scale: f32,
}

/// The work on a block, compiled once for every vector width.
struct Sweep<'a, const INFLATED: bool> {
    block: Block<'a>,
    inputs: Inputs<'a>,
}

impl<const INFLATED: bool> Vectorize for Sweep<'_, INFLATED> {
    type Output = (f64, Option<Vec<f64>>);

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(self) -> Self::Output {
        self.block.sweep::<INFLATED, FMA>(self.inputs)
    }
}

impl Block<'_> {
    #[inline(always)]
    fn sweep<const INFLATED: bool, const FMA: bool>(
        mut self,
        inputs: Inputs<'_>,
    ) -> (f64, Option<Vec<f64>>) {
        let genes = inputs.genes;
        let mut sum = 0.0;
        let mut found = vec![0u32; genes];
        let mut scratch = [const { Vec::new() }; 3];
        for cell in 0..self.cells {
            let within = cell * genes..(cell + 1) * genes;
            let start = (self.first + cell) * genes;
            let global = start..start + genes;
            let row = Row {
                counts: &inputs.counts[global.clone()],
                mean: &inputs.mean_logits[global.clone()],
                dispersion: match inputs.dispersion_logits.len() == genes {
                    true => inputs.dispersion_logits,
                    false => &inputs.dispersion_logits[global.clone()],
                },
                dropout: inputs.dropout_logits.map_or(&[], |logits| &logits[global]),
                size_factor: inputs.size_factors[self.first + cell],
            };
            let [scratch_mean, scratch_dispersion, scratch_dropout] = &mut scratch;
            let mut out = RowGradients {
                mean: destination(&mut self.by_mean, within.clone(), scratch_mean),
                dispersion: destination(
                    &mut self.by_dispersion,
                    within.clone(),
                    scratch_dispersion,
                ),
                dropout: destination(&mut self.by_dropout, within, scratch_dropout),
                scale: self.scale,
            };
            let (zeros, positives) = row.as_zeros::<INFLATED, FMA>(&mut out, &mut found);
            sum += zeros + row.positive::<INFLATED, FMA>(&mut out, &found[..positives]);
            if let Some(by_gene) = &mut self.by_gene {
                // SAFETY: the first sweep has written the whole row, to wherever it goes.
                let by_dispersion = unsafe { out.dispersion.assume_init_ref() };
                for (sum, &part) in by_gene.iter_mut().zip(by_dispersion) {
                    *sum += f64::from(part);
                }
            }
        }
        (sum, self.by_gene)
    }
}

/// The part of a gradient that belongs to a row, or a scratch row where nobody wants it.
fn destination<'a>(
    wanted: &'a mut Option<&mut [MaybeUninit<f32>]>,
    within: std::ops::Range<usize>,
    scratch: &'a mut Vec<f32>,
) -> &'a mut [MaybeUninit<f32>] {
    match wanted {
        Some(gradient) => &mut gradient[within],
        None => {
            scratch.reserve(within.len());
            &mut scratch.spare_capacity_mut()[..within.len()]
        }
    }
}

/// A chunk of a row, padded with zeros at the row's end.
#[inline(always)]
fn load(values: &[f32]) -> [f32; WIDTH] {
    if let Ok(full) = values.try_into() {
        return full;
    }
    let mut padded = [0.0; WIDTH];
    padded[..values.len()].copy_from_slice(values);
    padded
}

/// The inverse of [`load`].
#[inline(always)]
fn store(values: &[f32; WIDTH], into: &mut [MaybeUninit<f32>]) {
    if let Ok(full) = <&mut [MaybeUninit<f32>; WIDTH]>::try_from(&mut *into) {
        *full = values.map(MaybeUninit::new);
    } else {
        into.write_copy_of_slice(&values[..into.len()]);
    }
}

/// A bit for every count that is not zero.
#[inline(always)]
fn present(counts: &[f32; WIDTH]) -> u64 {
    // The product gathers the lowest bits of eight bytes in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = counts.map(|count| u8::from(count != 0.0));
    let (bytes, _) = flags.as_chunks::<8>();
    let gathered = bytes.iter().rev();
    gathered.fold(0, |bits, &eight| {
        bits << 8 | u64::from_le_bytes(eight).wrapping_mul(GATHER) >> 56
    })
}

/// One cell.
struct Row<'a> {
    counts: &'a [f32],
    mean: &'a [f32],
    dispersion: &'a [f32],
    /// Empty for the plain negative binomial.
    dropout: &'a [f32],
    size_factor: f32,
}

/// Where one cell's gradient goes, and the factor it is multiplied by.
struct RowGradients<'a> {
    mean: &'a mut [MaybeUninit<f32>],
    dispersion: &'a mut [MaybeUninit<f32>],
    dropout: &'a mut [MaybeUninit<f32>],
    scale: f32,
}

impl Row<'_> {
    /// First sweep: gradients as if every count were zero. Returns the sum over those that are and
    /// the number of those that are not, whose positions are put into `found`.
    #[inline(always)]
    fn as_zeros<const INFLATED: bool, const FMA: bool>(
        &self,
        out: &mut RowGradients<'_>,
        found: &mut [u32],
    ) -> (f64, usize) {
        let (ln_min, ln_max) = ln_mean_bounds();
        let (ln_min, ln_max) = (ln_min as f32, ln_max as f32);
        let ln_size_factor = f64::from(self.size_factor).ln() as f32;
        let genes = self.counts.len();
        let mut sums = [0.0f64; PARTIAL_SUMS];
        let mut positives = 0;
        let mut start = 0;
        while start < genes {
            let length = WIDTH.min(genes - start);
            let chunk = start..start + length;
            // Copies in local arrays: a fixed length and no aliasing let the loop vectorise.
            let counts = load(&self.counts[chunk.clone()]);
            let mut mean = load(&self.mean[chunk.clone()]);
            let mut dispersion = load(&self.dispersion[chunk.clone()]);
            let mut dropout = [0.0f32; WIDTH];
            if INFLATED {
                dropout = load(&self.dropout[chunk.clone()]);
            }
            let (mut theta, mut slope, mut ln_theta) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
            for i in 0..WIDTH {
                let found = Theta::new::<FMA>(dispersion[i]);
                (theta[i], slope[i], ln_theta[i]) = (found.theta, found.slope, found.ln);
            }
            let mut values = [0.0f32; WIDTH];
            for i in 0..WIDTH {
                let clamped = if mean[i] < ln_min { ln_min } else { mean[i] };
                let clamped = if clamped > ln_max { ln_max } else { clamped };
                let inside = if clamped == mean[i] { out.scale } else { 0.0 };
                let theta = Theta {
                    theta: theta[i],
                    slope: slope[i],
                    ln: ln_theta[i],
                };
                let entry = theta.zero::<FMA>(clamped + ln_size_factor);
                values[i] = entry.value;
                mean[i] = entry.by_log_mean * inside;
                dispersion[i] = entry.by_dispersion * out.scale;
            }
            if INFLATED {
                for i in 0..WIDTH {
                    let entry = Entry {
                        value: values[i],
                        by_log_mean: mean[i],
                        by_dispersion: dispersion[i],
                        by_dropout: 0.0,
                    };
                    let entry = entry.inflated::<FMA>(dropout[i]);
                    values[i] = entry.value;
                    mean[i] = entry.by_log_mean;
                    dispersion[i] = entry.by_dispersion;
                    dropout[i] = entry.by_dropout * out.scale;
                }
            }
            // The padding of the last chunk is not part of the row.
            values[length..].fill(0.0);
            for (values, counts) in values
                .chunks_exact(PARTIAL_SUMS)
                .zip(counts.chunks_exact(PARTIAL_SUMS))
            {
                for i in 0..PARTIAL_SUMS {
                    sums[i] += f64::from(if counts[i] == 0.0 { values[i] } else { 0.0 });
                }
            }
            store(&mean, &mut out.mean[chunk.clone()]);
            store(&dispersion, &mut out.dispersion[chunk.clone()]);
            if INFLATED {
                store(&dropout, &mut out.dropout[chunk]);
            }
            let mut present = present(&counts);
            while present != 0 {
                found[positives] = start as u32 + present.trailing_zeros();
                positives += 1;
                present &= present - 1;
            }
            start += length;
        }
        (sums.iter().sum(), positives)
    }

    /// Second sweep: the entries that are not zero.
    #[inline(always)]
    fn positive<const INFLATED: bool, const FMA: bool>(
        &self,
        out: &mut RowGradients<'_>,
        found: &[u32],
    ) -> f64 {
        let (ln_min, ln_max) = ln_mean_bounds();
        let (narrow_min, narrow_max) = (ln_min as f32, ln_max as f32);
        let ln_size_factor = f64::from(self.size_factor).ln();
        let ln_factorials = &*LN_FACTORIAL;
        let mut sum = 0.0;
        for group in found.chunks(GROUP) {
            let mut x = [1.0f64; GROUP];
            let mut ln_factorial = [0.0f64; GROUP];
            let mut log_mean = [0.0f64; GROUP];
            let mut dispersion = [0.0f64; GROUP];
            let mut dropout = [0.0f64; GROUP];
            let mut inside = [false; GROUP];
            for (i, &gene) in group.iter().enumerate() {
                let gene = gene as usize;
                let count = self.counts[gene];
                let logit = self.mean[gene];
                x[i] = f64::from(count);
                let index = count as usize;
                ln_factorial[i] = match ln_factorials.get(index) {
                    Some(&known) if index as f32 == count => known,
                    _ => ln_gamma(x[i] + 1.0),
                };
                // The bounds as the first sweep sees them decide which side a logit is on.
                inside[i] = (narrow_min..=narrow_max).contains(&logit);
                log_mean[i] = f64::from(logit).clamp(ln_min, ln_max) + ln_size_factor;
                dispersion[i] = f64::from(self.dispersion[gene]);
                if INFLATED {
                    dropout[i] = f64::from(self.dropout[gene]);
                }
            }
            let mut values = [0.0f64; GROUP];
            for i in 0..GROUP {
                let entry = entry::positive::<INFLATED, FMA>(
                    x[i],
                    ln_factorial[i],
                    log_mean[i],
                    dispersion[i],
                    dropout[i],
                );
                values[i] = entry.value;
                log_mean[i] = entry.by_log_mean;
                dispersion[i] = entry.by_dispersion;
                dropout[i] = entry.by_dropout;
            }
            for (i, &gene) in group.iter().enumerate() {
                let gene = gene as usize;
                sum += values[i];
                out.mean[gene].write(if inside[i] {
                    log_mean[i] as f32 * out.scale
                } else {
                    0.0
                });
                out.dispersion[gene].write(dispersion[i] as f32 * out.scale);
                if INFLATED {
                    out.dropout[gene].write(dropout[i] as f32 * out.scale);
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::kernel::vectorize::avx2;

    fn values(length: usize, seed: usize, width: f32) -> Vec<f32> {
        (0..length)
            .map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 10_007.0 * width - width / 2.0)
            .collect()
    }

    #[test]
    fn a_bit_for_every_count_that_is_not_zero() {
        let mut counts = [0.0f32; WIDTH];
        assert_eq!(present(&counts), 0);
        for position in 0..WIDTH {
            for count in [1.0, 0.5, f32::NAN, f32::INFINITY] {
                let mut single = counts;
                single[position] = count;
                assert_eq!(present(&single), 1 << position);
            }
        }
        counts[3] = -0.0;
        assert_eq!(present(&counts), 0);
        counts.fill(2.0);
        assert_eq!(present(&counts), u64::MAX);
        let every_third = std::array::from_fn(|i| f32::from(u8::from(i % 3 == 0)));
        let expected = (0..WIDTH).step_by(3).fold(0, |bits, i| bits | 1u64 << i);
        assert_eq!(present(&every_third), expected);
    }

    /// The gradients and the sum of one block by one instruction set.
    fn block(run: impl FnOnce(Sweep<'_, true>) -> (f64, Option<Vec<f64>>)) -> (f64, Vec<f32>) {
        let (cells, genes) = (BLOCK_CELLS, 203);
        let entries = cells * genes;
        let counts: Vec<f32> = values(entries, 1, 30.0)
            .into_iter()
            .map(|x| x.max(0.0).floor())
            .collect();
        let [mean, dispersion, dropout] = [2, 3, 4].map(|seed| values(entries, seed, 20.0));
        let inputs = Inputs {
            counts: &counts,
            size_factors: &[0.5; BLOCK_CELLS],
            mean_logits: &mean,
            dispersion_logits: &dispersion,
            dropout_logits: Some(&dropout),
            cells,
            genes,
        };
        let mut gradients = vec![MaybeUninit::new(0.0); 3 * entries];
        let (by_mean, rest) = gradients.split_at_mut(entries);
        let (by_dispersion, by_dropout) = rest.split_at_mut(entries);
        let block = Block {
            first: 0,
            cells,
            by_mean: Some(by_mean),
            by_dispersion: Some(by_dispersion),
            by_dropout: Some(by_dropout),
            by_gene: None,
            scale: 1.0,
        };
        let (sum, _) = run(Sweep { block, inputs });
        // SAFETY: initialised with zeros.
        let gradients = unsafe { gradients.assume_init_ref() };
        (sum, gradients.to_vec())
    }

    #[test]
    fn the_vector_width_does_not_change_a_bit() {
        let reference = block(|sweep| sweep.run::<true, false>());
        let dispatched = block(|sweep| vectorize(sweep));
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the CPU has just been found to have these features.
            let narrow = block(|sweep| unsafe { avx2(sweep) });
            assert_eq!(reference, narrow);
            assert_eq!(reference, dispatched);
        }
        // Without fused multiply-add only the rounding differs.
        let plain = block(|sweep| sweep.run::<false, false>());
        assert!((plain.0 / reference.0 - 1.0).abs() < 1e-6);
        assert!((dispatched.0 / reference.0 - 1.0).abs() < 1e-6);
        for (a, b) in plain.1.iter().zip(&reference.1) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1e-3), "{a} {b}");
        }
    }
}
