//! A stable hash of data and settings.

use std::fmt;
use std::sync::OnceLock;

use crate::error::Result;

/// FNV-1a, 64 bits: the same on every machine and in every release of Rust, unlike the standard
/// library's hasher.
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    /// A list of texts, with their lengths so that moved boundaries show.
    pub fn texts(&mut self, texts: &[String]) {
        self.number(texts.len());
        for text in texts {
            self.number(text.len());
            self.bytes(text.as_bytes());
        }
    }

    pub fn floats(&mut self, values: &[f32]) {
        self.number(values.len());
        for &value in values {
            self.float(value);
        }
    }

    pub fn float(&mut self, value: f32) {
        self.bytes(&value.to_bits().to_le_bytes());
    }

    pub fn finish(self) -> u64 {
        self.0
    }
}

impl fmt::Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// A fingerprint that is computed when it is first asked for.
///
/// It follows from the data that it belongs to, so it does not take part in their comparison.
#[derive(Debug, Clone, Default)]
pub(super) struct CachedFingerprint(OnceLock<u64>);

impl CachedFingerprint {
    pub fn get_or_compute(&self, compute: impl FnOnce() -> Result<u64>) -> Result<u64> {
        match self.0.get() {
            Some(&known) => Ok(known),
            None => {
                let computed = compute()?;
                Ok(*self.0.get_or_init(|| computed))
            }
        }
    }
}

impl PartialEq for CachedFingerprint {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_test_vectors() {
        let hash = |text: &str| {
            let mut fingerprint = Fingerprint::new();
            fingerprint.bytes(text.as_bytes());
            fingerprint.finish()
        };
        // From the FNV reference distribution.
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
