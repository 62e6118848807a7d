//! Pictures of a fit, as PNG and SVG.
//!
//! | picture | made by |
//! |---|---|
//! | cells in two dimensions, by cluster, label, confidence, gene or any value | [`Scatter`] |
//! | losses and label changes by epoch | [`training_curves`] |
//! | clusters against known cell types | [`cluster_table`] |
//! | how sure the assignments are | [`confidence_histogram`] |
//!
//! Each returns a [`Picture`], which [saves](Picture::save) itself by the extension of the path.
//! Groups have the [`palette`](group_color)'s colours, values those of viridis; both stay distinct
//! for colour-blind readers.

mod canvas;
mod curves;
mod histogram;
mod legend;
mod palette;
mod panel;
mod picture;
mod scatter;
mod table;

pub use curves::training_curves;
pub use histogram::confidence_histogram;
pub use palette::{GROUP_COLORS, group_color};
pub use picture::Picture;
pub(in crate::view) use picture::data_uri;
pub use scatter::Scatter;
pub use table::cluster_table;
