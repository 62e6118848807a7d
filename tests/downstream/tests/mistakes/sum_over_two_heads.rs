//! The losses of a sum score one head.
//~ type mismatch resolving `<MseLoss as ReconstructionLoss>::Head == ZinbHead`
//~ expected `ZinbHead`, found `MseHead`

use celldec::prelude::*;

pub fn sum() {
    let _ = ZinbLoss::new().plus(MseLoss::new());
}
