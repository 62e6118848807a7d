//! Storing f64 bit for bit in any format.
//!
//! Text formats may read a decimal number back one unit in the last place off (`serde_json` does
//! by default), and what is stored must give the very values it gave before. So numbers are
//! stored as the integers that their bits spell.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A number that is read from its bits.
struct Exact(f64);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Bits)
    }
}

struct Bits;

impl Visitor<'_> for Bits {
    type Value = Exact;

    /// Whoever writes a file by hand thinks of decimal numbers.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a number as the integer that its bits spell (2.0 is {})",
            2f64.to_bits()
        )
    }

    fn visit_u64<E: Error>(self, bits: u64) -> Result<Exact, E> {
        Ok(Exact(f64::from_bits(bits)))
    }

    /// What formats that only have signed integers give.
    fn visit_i64<E: Error>(self, bits: i64) -> Result<Exact, E> {
        match u64::try_from(bits) {
            Ok(bits) => self.visit_u64(bits),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(bits), &self)),
        }
    }
}

/// For one number.
pub(crate) mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Exact;

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Exact::deserialize(deserializer).map(|Exact(value)| value)
    }
}

/// For a list of numbers.
pub(crate) mod list {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Exact;

    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| value.to_bits()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Exact>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|Exact(value)| value).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stored {
        #[serde(with = "number")]
        one: f64,
        #[serde(with = "list")]
        many: Vec<f64>,
    }

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let stored = Stored {
            one: 0.1 + 0.2,
            many: vec![-0.0, 1e-320, f64::MAX, f64::NEG_INFINITY],
        };
        let text = serde_json::to_string(&stored).unwrap();
        let read: Stored = serde_json::from_str(&text).unwrap();
        assert_eq!(read, stored);
        assert!(read.many[0].is_sign_negative());
    }

    #[test]
    fn decimal_numbers_are_refused() {
        for (one, many) in [("0.5", "[]"), ("-2", "[]"), ("0", "[0.5]"), ("0", "[1e3]")] {
            let text = format!("{{\"one\":{one},\"many\":{many}}}");
            let error = serde_json::from_str::<Stored>(&text).expect_err(&text);
            let message = error.to_string();
            assert!(
                message.contains("the integer that its bits spell"),
                "{message}"
            );
        }
    }
}
