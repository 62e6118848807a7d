//! The same arithmetic compiled for several vector widths, the widest chosen at run time.

/// Work whose loops the compiler vectorises.
pub(crate) trait Vectorize {
    /// What the work returns.
    type Output;

    /// Does the work; `FMA` says whether the CPU has fused multiply-add, `WIDE` whether it has 32
    /// registers of 16 `f32`. `WIDE` must not change the result. Implementations are
    /// `#[inline(always)]`, and so is what they call in loops: they are compiled for the
    /// instructions of the caller.
    fn run<const FMA: bool, const WIDE: bool>(self) -> Self::Output;
}

/// Does the work with the widest vector instructions of the CPU.
///
/// With fused multiply-add the arithmetic, and so the result, is the same for every width.
pub(crate) fn vectorize<V: Vectorize>(work: V) -> V::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            // SAFETY: the CPU has just been found to have these features.
            return unsafe { avx512(work) };
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the CPU has just been found to have these features.
            return unsafe { avx2(work) };
        }
    }
    work.run::<{ cfg!(target_arch = "aarch64") }, false>()
}

/// Whether the CPU has the AVX-512 instructions that are used here.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn has_avx512() -> bool {
    std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512vl")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512<V: Vectorize>(work: V) -> V::Output {
    work.run::<true, true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2<V: Vectorize>(work: V) -> V::Output {
    work.run::<true, false>()
}
