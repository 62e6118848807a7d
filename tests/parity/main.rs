//! Parity with numbers computed once by the original Python implementations
//! (`tests/fixtures/README.md` says how).

mod cell_graph;
mod fixtures;

mod likelihood;
mod metrics;
mod preprocessing;
mod special_functions;
mod variable_genes;
