//! The links of groups that were read, so that no group is read for every one of its members.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::structure::{Found, Group, Image, Problem, Target, follow_by};

/// What a link takes besides its texts: twice its place in a table that may be half empty.
const OF_LINK: usize = 2 * size_of::<(String, Target)>();

/// The members of a group by name.
pub(super) type Links = HashMap<String, Target>;

/// Groups by address; `None` for what is no group.
#[derive(Default)]
struct Known {
    groups: HashMap<u64, Option<Arc<Links>>>,
    bytes: u64,
}

/// The links of the groups of one file.
pub(super) struct KnownLinks {
    known: Mutex<Known>,
    /// Bytes that may be kept, besides those of one group.
    most_bytes: u64,
}

impl KnownLinks {
    pub fn new(most_bytes: u64) -> Self {
        Self {
            known: Mutex::default(),
            most_bytes,
        }
    }

    /// The members of the group at an address, `None` where there is a dataset.
    pub fn of(&self, image: &Image, address: u64) -> Result<Option<Arc<Links>>, Problem> {
        // Nothing is changed half-way, so what another thread left behind is sound.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = known.groups.get(&address) {
            return Ok(links.clone());
        }
        let links = match Group::at(image, address)? {
            None => None,
            Some(group) => {
                let mut links = Links::new();
                for link in group.links(image)? {
                    links.entry(link.name).or_insert(link.target);
                }
                Some(Arc::new(links))
            }
        };
        let bytes = links.as_deref().map_or(OF_LINK as u64, bytes_of);
        if known.bytes.saturating_add(bytes) > self.most_bytes {
            *known = Known::default();
        }
        known.bytes += bytes;
        known.groups.insert(address, links.clone());
        Ok(links)
    }

    /// Follows a path from the root.
    pub fn follow(&self, image: &Image, path: &str) -> Result<Found, Problem> {
        follow_by(image, path, |group, name| {
            let links = self.of(image, group)?;
            Ok(links.and_then(|links| links.get(name).cloned()))
        })
    }
}

fn bytes_of(links: &Links) -> u64 {
    let text = |target: &Target| match target {
        Target::Soft(path) => path.len(),
        Target::External { file, path } => file.len() + path.len(),
        Target::Object(_) | Target::Other(_) => 0,
    };
    links.iter().fold(OF_LINK as u64, |bytes, (name, target)| {
        bytes + (name.len() + text(target) + OF_LINK) as u64
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn groups_are_read_once_whatever_leads_to_them() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
        let file = Arc::new(std::fs::File::open(fixtures.join("links.h5ad")).unwrap());
        let image = Image::new(file).unwrap();
        for (most_bytes, is_kept) in [(1 << 20, true), (0, false)] {
            let links = KnownLinks::new(most_bytes);
            let Found::Object { path, address } = links.follow(&image, "/layers").unwrap() else {
                panic!("no layers");
            };
            assert_eq!(path, "/elsewhere/layers");
            let first = links.of(&image, address).unwrap().unwrap();
            assert!(matches!(first["counts"], Target::Object(_)));
            assert_ne!(
                links.follow(&image, "/layers/counts/data").unwrap(),
                Found::Nothing
            );
            assert_eq!(
                links.follow(&image, "/layers/absent").unwrap(),
                Found::Nothing
            );
            let again = links.of(&image, address).unwrap().unwrap();
            assert_eq!(Arc::ptr_eq(&first, &again), is_kept);
            assert_eq!(first, again);
        }
    }
}
