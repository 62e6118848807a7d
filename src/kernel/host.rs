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
    let lists = read_lists(numbers)?;
    lists.into_iter().map(only).collect()
}

/// The number of a list of one.
pub(crate) fn only(list: Vec<f32>) -> Result<f32, String> {
    list.first().copied().ok_or_else(|| "no number".to_string())
}

/// Lists of numbers, all read at once.
///
/// # Errors
/// What the device says when its work failed.
pub(crate) fn read_lists(lists: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>, String> {
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    waits("numbers");
    let transaction = lists
        .into_iter()
        .fold(Transaction::default(), Transaction::register);
    let read = transaction
        .try_execute()
        .map_err(|error| error.to_string())?;
    let values = |data: TensorData| {
        let data = data.convert::<f32>();
        data.try_into_vec::<f32>()
            .map_err(|error| format!("{error:?}"))
    };
    read.into_iter().map(values).collect()
}
