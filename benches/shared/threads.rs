//! Thread pools in which benchmarks run.

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A pool of one thread and a pool of two, each after its number of threads.
pub fn pools() -> [(usize, ThreadPool); 2] {
    [1, 2].map(|threads| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a thread pool");
        (threads, pool)
    })
}
