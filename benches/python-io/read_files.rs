//! celldec's half of the comparison with anndata and scanpy; `benches/python-io/run` builds and
//! drives it.
//!
//! `read_files PATH ROUNDS` reads the file or folder so often and prints the milliseconds of each
//! as JSON.

use std::error::Error;
use std::time::Instant;

use celldec::counts::CountMatrix;
use celldec::io::{read_counts, read_h5ad};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("give a file or folder")?;
    let rounds: usize = arguments.next().ok_or("give a number of rounds")?.parse()?;
    let mut milliseconds = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        let counts = read(&path)?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        std::hint::black_box(counts.stored());
    }
    println!("{}", serde_json::to_string(&milliseconds)?);
    Ok(())
}

/// With all annotations where the file has some, as Python does.
fn read(path: &str) -> celldec::Result<CountMatrix> {
    if path.ends_with(".h5ad") {
        Ok(read_h5ad(path)?.counts)
    } else {
        read_counts(path)
    }
}
