//! Feature types of 10x files: gene expression beside antibodies, guides or peaks.

use std::collections::BTreeMap;

use super::text::shown;

const GENE_EXPRESSION: &str = "Gene Expression";

/// Types that programs of 10x Genomics write.
const KNOWN: &[&str] = &[
    GENE_EXPRESSION,
    "Antibody Capture",
    "Antigen Capture",
    "CRISPR Guide Capture",
    "Chromatin Accessibility",
    "Custom",
    "Multiplexing Capture",
    "Peaks",
    "VDJ",
    "VDJ-B",
    "VDJ-T",
    "VDJ-T-GD",
];

/// Whether a text is a type of features and not something else that is known of genes.
pub(super) fn is_feature_type(text: &str) -> bool {
    KNOWN.contains(&text)
}

/// Which features of a file to keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum FeatureTypes {
    #[default]
    GeneExpression,
    All,
    Only(String),
}

impl FeatureTypes {
    /// Features of every type, or gene expression only.
    pub fn every(all: bool) -> Self {
        if all { Self::All } else { Self::GeneExpression }
    }

    fn wanted(&self) -> Option<&str> {
        match self {
            Self::GeneExpression => Some(GENE_EXPRESSION),
            Self::Only(name) => Some(name),
            Self::All => None,
        }
    }

    /// Whether this is the one type that is asked for.
    pub fn is_wanted(&self, feature_type: &str) -> bool {
        self.wanted() == Some(feature_type)
    }

    /// Bytes that [`select`](Self::select) takes at most for so many features.
    pub fn memory(features: usize) -> u64 {
        // An entry for every type, in nodes that may be half empty, and a position.
        features as u64 * 64
    }

    /// Positions of the features to keep, given the type of each; `None` for a feature without
    /// one, as in the files of Cell Ranger 2, which hold genes only.
    ///
    /// Fails with the reason when features have types and none is the wanted one; `options` is the
    /// name of the options that can ask for another.
    pub fn select<'a>(
        &self,
        types: impl IntoIterator<Item = Option<&'a str>>,
        options: &str,
    ) -> Result<Vec<usize>, String> {
        let wanted = self.wanted();
        let untyped_is_wanted = !matches!(self, Self::Only(_));
        let mut kept = Vec::new();
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        let mut features = 0;
        for (position, feature_type) in types.into_iter().enumerate() {
            features += 1;
            let keep = match (feature_type, wanted) {
                (_, None) => true,
                (None, Some(_)) => untyped_is_wanted,
                (Some(name), Some(wanted)) => {
                    *found.entry(name).or_default() += 1;
                    name == wanted
                }
            };
            if keep {
                kept.push(position);
            }
        }
        match wanted {
            Some(wanted) if kept.is_empty() && features > 0 => {
                const SHOWN: usize = 20;
                let mut there: Vec<String> = found
                    .iter()
                    .take(SHOWN)
                    .map(|(name, count)| format!("\"{}\" ({count})", shown(name.as_bytes())))
                    .collect();
                if found.len() > SHOWN {
                    there.push(format!("{} more", found.len() - SHOWN));
                }
                let there = if there.is_empty() {
                    "the file gives no types, its features are genes".to_string()
                } else {
                    format!("there are: {}", there.join(", "))
                };
                Err(format!(
                    "no feature has the type \"{wanted}\"; {there}; to read another type use \
                     `{options}::with_feature_type`, to read all \
                     `{options}::with_all_feature_types(true)`"
                ))
            }
            _ => {
                if kept.len() < features {
                    tracing::info!(
                        kept = kept.len(),
                        of = features,
                        feature_type = wanted,
                        "kept the features of one type"
                    );
                }
                Ok(kept)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_all_types_and_none() {
        let types = [Some("Gene Expression"), Some("Antibody Capture"), None];
        let select = |choice: FeatureTypes| choice.select(types, "Options");
        assert_eq!(select(FeatureTypes::GeneExpression).unwrap(), [0, 2]);
        assert_eq!(select(FeatureTypes::All).unwrap(), [0, 1, 2]);
        let antibodies = FeatureTypes::Only("Antibody Capture".into());
        assert_eq!(select(antibodies).unwrap(), [1]);
        let reason = select(FeatureTypes::Only("Peaks".into())).unwrap_err();
        assert!(
            reason.contains("no feature has the type \"Peaks\""),
            "{reason}"
        );
        assert!(
            reason.contains("there are: \"Antibody Capture\" (1), \"Gene Expression\" (1)"),
            "{reason}"
        );
        assert!(reason.contains("Options::with_feature_type"), "{reason}");
    }
}
