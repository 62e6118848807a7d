//! A target says where to, a clustering loss how far.
//~ SharpenedTarget` is not a clustering loss
//~ with_target

use celldec::prelude::*;

pub fn plan() -> Plan<CountHead> {
    Plan::scdcc(3).with_clustering(SharpenedTarget::new())
}
