//! A closure is no loss until it has a name.
//~ is not a clustering loss
//~ loss::clustering_from_fn

use celldec::burn::tensor::Tensor;
use celldec::prelude::*;

pub fn plan() -> Plan<CountHead> {
    Plan::scdcc(3).with_clustering(|q: Tensor<2>, p: Tensor<2>| (q - p).square().mean())
}
