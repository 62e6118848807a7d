//! Where a chain of operations runs.

use burn::tensor::Device;

/// Calls `work` on a thread of the pool if the device's operations share their work with the pool
/// (`flex`), on the calling thread otherwise.
///
/// A thread outside of the pool hands over every piece of parallel work and sleeps until it is
/// done, one of the pool takes part in it. GPU backends order their work by the calling thread,
/// which therefore stays the same.
pub(crate) fn on_pool<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    match shares_work(device) && rayon::current_num_threads() > 1 {
        true => rayon::scope(|_| work()),
        false => work(),
    }
}

#[cfg(feature = "flex")]
fn shares_work(device: &Device) -> bool {
    super::flex::is_flex(device)
}

#[cfg(not(feature = "flex"))]
fn shares_work(_: &Device) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "flex")]
    #[test]
    fn work_for_the_cpu_moves_to_the_pool() {
        let several = rayon::current_num_threads() > 1;
        for device in [Device::flex(), Device::flex().autodiff()] {
            let thread = on_pool(&device, rayon::current_thread_index);
            assert_eq!(thread.is_some(), several);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let stays = pool.expect("a thread pool").install(|| {
            let caller = rayon::current_thread_index();
            on_pool(&Device::flex(), rayon::current_thread_index) == caller
        });
        assert!(stays);
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn work_for_other_devices_stays() {
        let thread = on_pool(&Device::ndarray(), rayon::current_thread_index);
        assert_eq!(thread, None);
    }
}
