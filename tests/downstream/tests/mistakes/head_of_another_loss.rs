//! A loss decides which head's settings go with it.
//~ expected `MseHeadConfig`, found `LinearHeadConfig`

use celldec::nn::LinearHeadConfig;
use celldec::prelude::*;

pub fn plan() -> Plan<MseHead> {
    Plan::scdcc(3).with_reconstruction(MseLoss::new(), LinearHeadConfig::exp())
}
