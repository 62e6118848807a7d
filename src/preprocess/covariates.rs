//! Covariates of cells, and how they become columns of numbers.

use std::collections::HashSet;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exact;

/// Covariates of cells: categories (a batch, a donor) and numbers (a share of mitochondrial counts).
///
/// ```
/// use celldec::preprocess::Covariates;
///
/// let donors = ["a", "b", "b"].map(String::from);
/// let covariates = Covariates::new()
///     .with_categories("donor", donors.to_vec())
///     .with_numbers("mitochondrial", vec![0.02, 0.11, 0.05]);
/// assert_eq!(covariates.names(), ["donor", "mitochondrial"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Covariates {
    columns: Vec<(String, Values)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Categories(Vec<String>),
    Numbers(Vec<f64>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Categories(values) => values.len(),
            Self::Numbers(values) => values.len(),
        }
    }
}

impl Covariates {
    /// No covariates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a categorical covariate: the category of every cell.
    pub fn with_categories(mut self, name: impl Into<String>, categories: Vec<String>) -> Self {
        self.columns
            .push((name.into(), Values::Categories(categories)));
        self
    }

    /// Adds a continuous covariate: the number of every cell.
    pub fn with_numbers(mut self, name: impl Into<String>, numbers: Vec<f64>) -> Self {
        self.columns.push((name.into(), Values::Numbers(numbers)));
        self
    }

    /// The names, in the order in which they were added.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The covariates of some of the cells: those that [preprocessing kept](super::Cells::kept_cells), for
    /// example. A position that names no cell is left out.
    pub fn select(&self, cells: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], cells: &[usize]) -> Vec<T> {
            let picked = cells.iter().filter_map(|&cell| values.get(cell));
            picked.cloned().collect()
        }
        let columns = self.columns.iter().map(|(name, values)| {
            let values = match values {
                Values::Categories(values) => Values::Categories(pick(values, cells)),
                Values::Numbers(values) => Values::Numbers(pick(values, cells)),
            };
            (name.clone(), values)
        });
        Self {
            columns: columns.collect(),
        }
    }
}

/// How covariates become columns of numbers, learned from training cells: a column of zeros and ones
/// for every category (none where there is only one), a column divided by its standard deviation about its mean for a number.
///
/// Stored with serde it gives, once read back, the same columns bit for bit; contradictory contents
/// are refused on reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct CovariateDesign {
    covariates: Vec<(String, Encoding)>,
}

/// What is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    covariates: Vec<(String, Encoding)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    /// Rising, each once: they are searched by halves.
    Categories(Vec<String>),
    Number {
        #[serde(with = "exact::number")]
        mean: f64,
        /// Above 0.
        #[serde(with = "exact::number")]
        deviation: f64,
    },
}

impl From<CovariateDesign> for Stored {
    fn from(design: CovariateDesign) -> Self {
        Self {
            covariates: design.covariates,
        }
    }
}

impl TryFrom<Stored> for CovariateDesign {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        check_names(stored.covariates.iter().map(|(name, _)| name))?;
        for (name, encoding) in &stored.covariates {
            let reason = match encoding {
                Encoding::Categories(categories) => categories
                    .windows(2)
                    .find(|pair| pair[0] >= pair[1])
                    .map(|pair| {
                        format!(
                            "its categories \"{}\" and \"{}\" are not in rising order",
                            pair[0], pair[1]
                        )
                    }),
                // A small whole number, where its bits should stand, spells one of these.
                Encoding::Number { mean, deviation }
                    if mean.is_subnormal() || deviation.is_subnormal() =>
                {
                    Some(format!(
                        "its mean is stored as {} and its standard deviation as {}, which are the \
                         bits of no usual numbers; store `f64::to_bits` of each",
                        mean.to_bits(),
                        deviation.to_bits()
                    ))
                }
                Encoding::Number { mean, deviation } => {
                    let valid = mean.is_finite() && deviation.is_finite() && *deviation > 0.0;
                    (!valid).then(|| {
                        format!("its mean {mean} or its standard deviation {deviation} is none")
                    })
                }
            };
            if let Some(reason) = reason {
                return Err(Error::Covariate {
                    name: name.clone(),
                    reason,
                });
            }
        }
        Ok(Self {
            covariates: stored.covariates,
        })
    }
}

/// Covariates are found by name, so no two have the same.
fn check_names<'a>(names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::Covariate {
                name: name.clone(),
                reason: "there are two of this name; give each a name of its own".into(),
            });
        }
    }
    Ok(())
}

impl Encoding {
    fn columns(&self) -> usize {
        match self {
            // A single category tells cells nothing apart: its column would be a second bias.
            Self::Categories(categories) if categories.len() < 2 => 0,
            Self::Categories(categories) => categories.len(),
            Self::Number { .. } => 1,
        }
    }
}

impl CovariateDesign {
    /// Learns categories, means and deviations from training cells.
    ///
    /// # Errors
    /// [`Error::NonFiniteValue`] for a number that is NaN or infinite; [`Error::Covariate`] for two of
    /// one name, and for numbers too large to have a mean and a standard deviation.
    pub fn fit(covariates: &Covariates) -> Result<Self> {
        check_names(covariates.columns.iter().map(|(name, _)| name))?;
        let fitted = covariates.columns.iter().enumerate();
        let covariates = fitted.map(|(column, (name, values))| {
            let encoding = match values {
                Values::Categories(values) => {
                    let mut categories = values.clone();
                    categories.sort_unstable();
                    categories.dedup();
                    Encoding::Categories(categories)
                }
                Values::Numbers(values) => {
                    check_finite(name, column, values)?;
                    let count = values.len().max(1) as f64;
                    let mean = values.iter().sum::<f64>() / count;
                    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                    let deviation = (squares / count).sqrt();
                    if !deviation.is_finite() {
                        return Err(Error::Covariate {
                            name: name.clone(),
                            reason: "its numbers are too large for a standard deviation; divide \
                                     all of them by one number"
                                .into(),
                        });
                    }
                    // Numbers next to 0 are refused on reading, and tell cells nothing apart.
                    let deviation = match deviation.is_normal() {
                        true => deviation,
                        false => 1.0,
                    };
                    let mean = if mean.is_subnormal() { 0.0 } else { mean };
                    Encoding::Number { mean, deviation }
                }
            };
            Ok((name.clone(), encoding))
        });
        Ok(Self {
            covariates: covariates.collect::<Result<_>>()?,
        })
    }

    /// The names of the covariates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.covariates.iter().map(|(name, _)| name.as_str())
    }

    /// Number of columns that the covariates become.
    pub fn columns(&self) -> usize {
        let columns = self.covariates.iter();
        columns.map(|(_, encoding)| encoding.columns()).sum()
    }

    /// Encodes the covariates of `cells` cells `[cells, columns]`; they are found by name.
    ///
    /// # Errors
    /// [`Error::Covariate`] when one is missing, of another kind, or has a category that training
    /// cells had not; [`Error::LengthMismatch`] when one is of another number of cells;
    /// [`Error::NonFiniteValue`] for a number that is NaN or infinite.
    pub fn encode(&self, covariates: &Covariates, cells: usize) -> Result<Array2<f32>> {
        let mut encoded = Array2::zeros((cells, self.columns()));
        let mut first = 0;
        for (position, (name, encoding)) in self.covariates.iter().enumerate() {
            let refused = |reason: String| Error::Covariate {
                name: name.clone(),
                reason,
            };
            let given = covariates.columns.iter().find(|(other, _)| other == name);
            let Some((_, values)) = given else {
                return Err(refused(
                    "the model was fitted with it, and it is not given".into(),
                ));
            };
            if values.len() != cells {
                return Err(Error::LengthMismatch {
                    what: format!("the covariate \"{name}\""),
                    expected: cells,
                    found: values.len(),
                });
            }
            match (encoding, values) {
                (Encoding::Categories(categories), Values::Categories(values)) => {
                    for (cell, value) in values.iter().enumerate() {
                        let Ok(category) = categories.binary_search(value) else {
                            return Err(refused(format!(
                                "cell {cell} has \"{value}\", which no training cell had (they had \
                                 {}); a model knows what it was trained with only",
                                listed(categories)
                            )));
                        };
                        if encoding.columns() > 0 {
                            encoded[[cell, first + category]] = 1.0;
                        }
                    }
                }
                (Encoding::Number { mean, deviation }, Values::Numbers(values)) => {
                    check_finite(name, position, values)?;
                    for (cell, value) in values.iter().enumerate() {
                        encoded[[cell, first]] = ((value - mean) / deviation) as f32;
                    }
                }
                (Encoding::Categories(_), Values::Numbers(_)) => {
                    return Err(refused("it has categories, numbers are given".into()));
                }
                (Encoding::Number { .. }, Values::Categories(_)) => {
                    return Err(refused("it is a number, categories are given".into()));
                }
            }
            first += encoding.columns();
        }
        Ok(encoded)
    }
}

fn listed(categories: &[String]) -> String {
    const MOST: usize = 5;
    let shown: Vec<String> = categories
        .iter()
        .take(MOST)
        .map(|category| format!("\"{category}\""))
        .collect();
    match categories.len().checked_sub(MOST) {
        None | Some(0) => shown.join(", "),
        Some(others) => format!("{} and {others} others", shown.join(", ")),
    }
}

fn check_finite(name: &str, column: usize, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::NonFiniteValue {
            what: format!("the covariate \"{name}\""),
            row,
            column,
        }),
    }
}

/// Covariates of cells as a network reads them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EncodedCovariates {
    pub design: CovariateDesign,
    pub values: Array2<f32>,
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| value.to_string()).collect()
    }

    #[test]
    fn categories_become_columns_and_numbers_are_standardised() {
        let training = Covariates::new()
            .with_categories("donor", texts(&["b", "a", "b", "c"]))
            .with_numbers("share", vec![1.0, 2.0, 3.0, 2.0]);
        let design = CovariateDesign::fit(&training).expect("finite");
        assert_eq!(design.columns(), 4);
        let deviation = 0.5f32.sqrt();
        let expected = array![
            [0.0, 1.0, 0.0, -1.0 / deviation],
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 1.0 / deviation],
            [0.0, 0.0, 1.0, 0.0],
        ];
        let encoded = design.encode(&training, 4).expect("its own cells");
        assert!(
            (&encoded - &expected)
                .iter()
                .all(|error| error.abs() < 1e-6)
        );
        // By name, whatever the order.
        let new = Covariates::new()
            .with_numbers("share", vec![2.0])
            .with_categories("donor", texts(&["c"]));
        let encoded = design.encode(&new, 1).expect("known categories");
        assert_eq!(encoded, array![[0.0, 0.0, 1.0, 0.0]]);
    }

    #[test]
    fn what_a_model_does_not_know_is_refused() {
        let donors = |values: &[&str]| Covariates::new().with_categories("donor", texts(values));
        let design = CovariateDesign::fit(&donors(&["a", "b"])).expect("categories");
        let message = |covariates: Covariates, cells| {
            let refused = design.encode(&covariates, cells);
            refused.expect_err("refused").to_string()
        };
        assert!(message(donors(&["a", "z"]), 2).contains("cell 1 has \"z\""));
        assert!(message(donors(&["a"]), 2).contains("length 1, expected 2"));
        assert!(message(Covariates::new(), 2).contains("\"donor\""));
        let numbers = Covariates::new().with_numbers("donor", vec![1.0, 2.0]);
        assert!(message(numbers, 2).contains("numbers are given"));
        let nothing = Covariates::new().with_numbers("share", vec![1.0, f64::NAN]);
        assert!(CovariateDesign::fit(&nothing).is_err());
        let huge = Covariates::new().with_numbers("share", vec![1e308, -1e308, 1e308]);
        let error = CovariateDesign::fit(&huge).expect_err("too large");
        assert!(error.to_string().contains("too large"), "{error}");
    }

    #[test]
    fn two_covariates_of_one_name_are_refused() {
        let twice = Covariates::new()
            .with_categories("donor", texts(&["a", "b"]))
            .with_numbers("donor", vec![1.0, 2.0]);
        let error = CovariateDesign::fit(&twice).expect_err("one name");
        assert!(error.to_string().contains("two of this name"), "{error}");
    }

    #[test]
    fn a_design_that_is_read_is_checked() {
        let read = |text: &str| serde_json::from_str::<CovariateDesign>(text);
        for (text, expected) in [
            (
                r#"{"covariates":[["donor",{"categories":["b","a"]}]]}"#,
                "rising order",
            ),
            (
                r#"{"covariates":[["donor",{"categories":["a","a"]}]]}"#,
                "rising order",
            ),
            (
                r#"{"covariates":[["a",{"categories":[]}],["a",{"categories":[]}]]}"#,
                "two of this name",
            ),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn numbers_of_a_design_are_read_as_bits_only() {
        let read = |mean: &str, deviation: &str| {
            let number = format!("{{\"number\":{{\"mean\":{mean},\"deviation\":{deviation}}}}}");
            let text = format!("{{\"covariates\":[[\"share\",{number}]]}}");
            serde_json::from_str::<CovariateDesign>(&text)
        };
        let bits = |value: f64| value.to_bits().to_string();
        let design = read(&bits(0.5), &bits(2.0)).expect("bits");
        let numbers = Covariates::new().with_numbers("share", vec![2.5]);
        assert_eq!(design.encode(&numbers, 1).expect("numbers"), array![[1.0]]);
        for (mean, deviation, expected) in [
            (bits(0.5), bits(0.0), "standard deviation 0 "),
            (bits(0.5), bits(-1.0), "standard deviation -1 "),
            (bits(f64::NAN), bits(1.0), "mean NaN"),
            // Decimal numbers, written by hand.
            ("0.5".into(), bits(2.0), "the integer that its bits spell"),
            (bits(0.5), "2".into(), "its standard deviation as 2"),
            ("-3".into(), bits(2.0), "the integer that its bits spell"),
            ("3".into(), bits(2.0), "its mean is stored as 3"),
        ] {
            let error = read(&mean, &deviation).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn numbers_next_to_zero_give_a_design_that_can_be_read() {
        let tiny = Covariates::new().with_numbers("share", vec![1e-310, 3e-310]);
        let design = CovariateDesign::fit(&tiny).expect("finite");
        let text = serde_json::to_string(&design).expect("json");
        let read: CovariateDesign = serde_json::from_str(&text).expect(&text);
        assert_eq!(read, design);
    }

    #[test]
    fn a_design_survives_json_bit_for_bit() {
        let numbers: Vec<f64> = (1..50).map(|cell| 1.0 / f64::from(cell) + 1e-7).collect();
        let donors = (1..50).map(|cell| format!("donor {}", cell % 3)).collect();
        let covariates = Covariates::new()
            .with_numbers("share", numbers)
            .with_categories("donor", donors);
        let design = CovariateDesign::fit(&covariates).expect("finite");
        let text = serde_json::to_string(&design).expect("json");
        let read: CovariateDesign = serde_json::from_str(&text).expect(&text);
        assert_eq!(read, design);
    }
}
