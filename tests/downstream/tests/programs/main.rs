//! Programs of method authors: one file for each thing that they want to do their own way.
//!
//! A section between `// program: …; at most N lines` and `// end` is what an author writes;
//! `lines` counts it.

mod cancelling;
mod covariates;
mod errors;
mod freezing;
mod given_centroids;
mod lines;
mod mistakes;
mod own_loop;
mod own_phase;
mod pairs;
mod reconstruction;
mod schedules;
mod self_training;
mod similarity;
mod weights;
