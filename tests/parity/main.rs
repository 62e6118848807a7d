//! Parity with numbers computed once by the original Python implementations
//! (`tests/fixtures/README.md` says how).

mod cell_graph;
mod desc_network;
mod fixtures;
mod tensors;

mod likelihood;
mod markers;
mod metrics;
mod preprocessing;
mod scdcc_network;
mod soft_assignment;
mod special_functions;
mod variable_genes;
