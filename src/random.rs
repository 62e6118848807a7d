//! Random streams addressed by (seed, purpose, epoch, cell).
//!
//! Every random number of a fit comes from a ChaCha8 stream whose 256-bit key *is* its address,
//! so a number depends on what it is for and never on the number of threads, on the order in
//! which work is done, or on another fit that runs at the same time.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

/// What random numbers are used for; part of a stream's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// The order of cells within an epoch.
    Shuffle = 2,
    /// Gaussian noise on the network's input.
    Noise = 3,
    /// Dropout masks.
    Dropout = 4,
    /// k-means starts.
    KMeans = 5,
    /// Graph clustering.
    Communities = 6,
    /// Drawing constraint pairs.
    Constraints = 7,
    /// Simulated counts.
    Simulation = 8,
    /// Subsampling cells.
    Subsample = 9,
    /// Start of the principal components.
    PrincipalComponents = 10,
    /// Projections to two dimensions.
    Projection = 11,
    /// The order of blocks of cells that are read from a source.
    BlockOrder = 12,
    /// Lists of cells in which neighbours are looked for.
    NeighborLists = 13,
    /// Cells that are kept apart from training.
    Validation = 14,
}

/// The stream for `purpose` in `epoch` at `index` (a cell, a layer or a restart, as fits the
/// purpose).
///
/// ```
/// use celldec::random::{Purpose, stream};
/// use rand::RngExt;
///
/// let a: f64 = stream(7, Purpose::Noise, 0, 3).random();
/// let b: f64 = stream(7, Purpose::Noise, 0, 3).random();
/// assert_eq!(a, b);
/// ```
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut bytes = [0u8; 32];
    for (slot, word) in bytes
        .chunks_exact_mut(4)
        .zip(key(seed, purpose, epoch, index))
    {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(bytes)
}

/// The key of a [`stream`]: its address, in words of which the lower one comes first.
pub(crate) fn key(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> [u32; 8] {
    let address = [seed, purpose as u64, epoch, index];
    std::array::from_fn(|word| (address[word / 2] >> (32 * (word % 2))) as u32)
}

/// `count` of the numbers below `total`, drawn at random without repetition, rising.
///
/// # Panics
/// When `count` exceeds `total`.
pub(crate) fn subsample(random: &mut ChaCha8Rng, total: usize, count: usize) -> Vec<usize> {
    let mut chosen = index::sample(random, total, count).into_vec();
    chosen.sort_unstable();
    chosen
}
