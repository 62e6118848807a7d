//! Soft and external links, which `hdf5-pure` passes over.

use super::structure::{Found, Target};
use super::{Node, Store};
use crate::error::Result;

/// What a path leads to.
pub(super) struct Object {
    /// Its path without soft links.
    pub path: String,
    pub address: u64,
}

impl Store {
    /// What a path leads to, also through soft links, `None` when that is nothing.
    ///
    /// # Errors
    /// [`crate::Error::Format`] for a link to another file.
    pub(super) fn linked(&self, at: &str) -> Result<Option<Object>> {
        let found = self
            .links
            .follow(&self.image()?, &self.whole_path(at))
            .map_err(|problem| self.problem(at, problem))?;
        match found {
            Found::Object { path, address } => Ok(Some(Object { path, address })),
            Found::Nothing => Ok(None),
            Found::External { file, path } => Err(self.to_rewrite(
                at,
                format!(
                    "a link to {path} of another file, {file}, which is not read; write all into \
                     one file"
                ),
            )),
        }
    }

    /// The names of everything within a group, sorted; links that lead nowhere are left out.
    pub(in crate::io) fn members(&self, at: &str) -> Result<Vec<String>> {
        let image = self.image()?;
        let problem = |problem| self.problem(at, problem);
        let group_at = self.whole_path(at);
        let Found::Object { address, .. } =
            self.links.follow(&image, &group_at).map_err(problem)?
        else {
            return Err(self.error(at, "missing; the file is not complete"));
        };
        let Some(links) = self.links.of(&image, address).map_err(problem)? else {
            return Err(self.error(at, "is a dataset, expected a group"));
        };
        let mut names = Vec::new();
        for (name, target) in links.iter() {
            let leads_somewhere = match target {
                Target::Object(_) | Target::External { .. } => true,
                Target::Other(_) => false,
                Target::Soft(_) => {
                    let path = format!("{}/{name}", group_at.trim_end_matches('/'));
                    self.links.follow(&image, &path).map_err(problem)? != Found::Nothing
                }
            };
            if leads_somewhere {
                names.push(name.clone());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether a node is a group.
    pub(in crate::io) fn is_group(&self, at: &str) -> Result<bool> {
        Ok(matches!(self.stored(at)?, Some(Node::Group(_))))
    }
}
