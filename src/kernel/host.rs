//! Numbers on their way from a device to the host, which waits for all work before them.

use burn::tensor::{Tensor, TensorData, Transaction};

/// Tells a log that the host waits for a device: what training steps must not do.
pub(crate) fn waits(what: &'static str) {
    tracing::trace!(target: "celldec::host", what, "waiting for the device");
}

/// Single numbers, all read at once.
///
/// # Errors
/// What the device says when its work failed.
pub(crate) fn read(numbers: Vec<Tensor<1>>) -> Result<Vec<f32>, String> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    waits("numbers");
    let transaction = numbers
        .into_iter()
        .fold(Transaction::default(), Transaction::register);
    let read = transaction
        .try_execute()
        .map_err(|error| error.to_string())?;
    read.into_iter().map(number).collect()
}

fn number(data: TensorData) -> Result<f32, String> {
    let values = data.convert::<f32>();
    let values = values
        .as_slice::<f32>()
        .map_err(|error| format!("{error:?}"))?;
    values
        .first()
        .copied()
        .ok_or_else(|| "no number".to_string())
}
