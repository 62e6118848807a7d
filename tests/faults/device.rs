//! Row 35: a device that is not there.

use celldec::device::{available, by_name};

use super::*;

pub fn row_35_a_device_that_is_not_there_suggests_the_cpu() {
    for name in ["wgpu", "cuda", "abacus", "", "CPU "] {
        match by_name(name) {
            // A machine that has one.
            Ok(_) => assert!(available().contains(&name), "{name}"),
            Err(error) => {
                assert!(matches!(error, Error::Device { .. }), "{error}");
                let message = error.to_string();
                assert!(message.contains("the CPU device \"cpu\""), "{message}");
                if ["wgpu", "cuda"].contains(&name) && !available().contains(&name) {
                    assert!(
                        message.contains(&format!("Cargo feature `{name}`")),
                        "{message}"
                    );
                }
            }
        }
    }
    // The advice works.
    let cells = simulated(40, 20, 1);
    let device = by_name("wgpu").or_else(|_| by_name("cpu")).unwrap();
    assert!(scdcc(3).trainer(&device).unwrap().fit(&cells).is_ok());
}
