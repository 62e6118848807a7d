//! Soft and external links, which `hdf5-pure` passes over.

use super::structure::{Found, Group, Target, follow};
use super::{Node, Store};
use crate::error::Result;

impl Store {
    /// The path without soft links of what a path with some leads to, `None` when that is nothing.
    ///
    /// # Errors
    /// [`crate::Error::Format`] for a link to another file.
    pub(super) fn linked(&self, at: &str) -> Result<Option<String>> {
        let image = self.image()?;
        let found =
            follow(&image, &self.whole_path(at)).map_err(|problem| self.problem(at, problem))?;
        match found {
            Found::Object { path, .. } => Ok(Some(path)),
            Found::Nothing => Ok(None),
            Found::External { file, path } => Err(self.error(
                at,
                format!(
                    "a link to {path} of another file, {file}, which is not read; write all into \
                     one file in Python: import anndata; \
                     anndata.read_h5ad(\"{}\").write_h5ad(\"whole.h5ad\")",
                    self.path.display()
                ),
            )),
        }
    }

    /// The names of everything within a group, sorted; links that lead nowhere are left out.
    pub(in crate::io) fn members(&self, at: &str) -> Result<Vec<String>> {
        let image = self.image()?;
        let problem = |problem| self.problem(at, problem);
        let group_at = self.whole_path(at);
        let address = match follow(&image, &group_at).map_err(problem)? {
            Found::Object { address, .. } => address,
            _ => return Err(self.error(at, "missing; the file is not complete")),
        };
        let Some(group) = Group::at(&image, address).map_err(problem)? else {
            return Err(self.error(at, "is a dataset, expected a group"));
        };
        let mut names = Vec::new();
        for link in group.links(&image).map_err(problem)? {
            let leads_somewhere = match &link.target {
                Target::Object(_) | Target::External { .. } => true,
                Target::Other(_) => false,
                Target::Soft(_) => {
                    let path = format!("{}/{}", group_at.trim_end_matches('/'), link.name);
                    follow(&image, &path).map_err(problem)? != Found::Nothing
                }
            };
            if leads_somewhere {
                names.push(link.name);
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
