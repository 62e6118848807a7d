//! Paths within a file, through links of every kind.

use super::group::Group;
use super::image::{Image, Problem};
use super::link::Target;

/// Links to follow; more are a circle.
const MOST_LINKS: usize = 40;

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(in crate::io) enum Found {
    /// An object, by a path without soft links.
    Object { path: String, address: u64 },
    /// Nothing.
    Nothing,
    /// Something in another file.
    External { file: String, path: String },
}

/// Follows a path from the root.
pub(in crate::io) fn follow(image: &Image, path: &str) -> Result<Found, Problem> {
    follow_by(image, path, |group, name| {
        let group = Group::at(image, group)?;
        group.map_or(Ok(None), |group| group.find(image, name))
    })
}

/// Follows a path from the root; `member` says what a member of the group at an address is, `None`
/// where that is no group or has no such member.
pub(in crate::io) fn follow_by(
    image: &Image,
    path: &str,
    member: impl Fn(u64, &str) -> Result<Option<Target>, Problem>,
) -> Result<Found, Problem> {
    let mut wanted: Vec<String> = components(path).rev().collect();
    let mut links_left = MOST_LINKS;
    let mut walked: Vec<String> = Vec::new();
    let root = image.superblock().root;
    let mut address = root;
    while let Some(name) = wanted.pop() {
        match member(address, &name)? {
            None | Some(Target::Other(_)) => return Ok(Found::Nothing),
            Some(Target::Object(object)) => {
                address = object;
                walked.push(name);
            }
            Some(Target::External { file, path }) => return Ok(Found::External { file, path }),
            Some(Target::Soft(target)) => {
                links_left = links_left
                    .checked_sub(1)
                    .ok_or_else(|| Problem::new("soft links form a circle"))?;
                // A path that does not start at the root starts at the link's own group.
                let start = match target.starts_with('/') {
                    true => Vec::new(),
                    false => std::mem::take(&mut walked),
                };
                wanted.extend(components(&target).rev());
                wanted.extend(start.into_iter().rev());
                walked.clear();
                address = root;
            }
        }
    }
    Ok(Found::Object {
        path: format!("/{}", walked.join("/")),
        address,
    })
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/')
        .filter(|name| !name.is_empty() && *name != ".")
        .map(str::to_string)
}
