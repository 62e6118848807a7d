//! Files of every kind, read and written: one program, because each takes long to link.

mod cases;
mod cases_hdf5;
mod containers;
mod h5ad;
mod h5ad_source;
mod h5ad_write;
mod tenx_h5;
