//! New groups and datasets in a copy of a file, which move nothing that is there.
//!
//! `hdf5-pure` can add to the groups of some files only, and lays those groups out anew. Here it
//! writes all that is new into an empty root of its own behind the end of the copy; then the groups
//! of the file get links to it ([`structure`](crate::io::hdf5::structure)).

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::encode::{Part, without_lock, write_error};
use crate::error::{Error, Result};
use crate::io::atomic::Temporary;
use crate::io::hdf5::structure::{
    Changes, Found, Group, Header, Image, Message, Problem, Superblock, Target, follow, kind,
};

/// The attribute that names the columns of a frame.
const COLUMNS: &str = "column-order";

/// A group that was written, to become part of the file.
struct Added {
    /// Its name in the root.
    name: String,
    address: u64,
    members: Vec<(String, u64)>,
    /// The message of [`COLUMNS`], of a frame.
    columns: Option<Message>,
}

/// Adds what `fill` writes to a copy of a file. Members of its groups become members of the groups
/// of the same names, in place of members of the same names; groups that the file has not got, or
/// has as datasets, come whole. Some members of `uns` go. All of them lie in the group `within`;
/// empty for the root.
pub(super) fn extend(
    temporary: &Temporary,
    output: &Path,
    within: &str,
    removed: &[String],
    fill: impl FnOnce(&Part<'_>) -> Result<()>,
) -> Result<()> {
    let failed = |problem| refused(output, problem);
    let io_failed = |source| Error::io(output, source);
    let copy = File::options()
        .read(true)
        .write(true)
        .open(temporary.path());
    let copy = Arc::new(copy.map_err(io_failed)?);
    let mut image = Image::new(Arc::clone(&copy)).map_err(failed)?;
    image.superblock().check_plain().map_err(failed)?;
    let mut superblock = Superblock::stand_in(0, 0);
    image.fill(0, &mut superblock).map_err(io_failed)?;
    let root = image.append(Header::empty_group());
    let end = image.end();
    image.store(&copy).map_err(io_failed)?;
    put(&copy, &Superblock::stand_in(root, end)).map_err(io_failed)?;
    write(temporary, output, fill)?;

    let image = Image::new(Arc::clone(&copy)).map_err(failed)?;
    let added = added(&image).map_err(failed)?;
    put(&copy, &superblock).map_err(io_failed)?;
    let mut image = Image::new(Arc::clone(&copy)).map_err(failed)?;
    attach(&mut image, within, &added, removed).map_err(failed)?;
    image.store(&copy).map_err(io_failed)?;
    verify(temporary, output, within, &added)
}

/// Whether groups, each with these new members, can be added to a group of a file.
pub(super) fn rehearse(
    file: Arc<File>,
    path: &Path,
    within: &str,
    groups: &[(&str, Vec<String>)],
) -> Result<()> {
    let failed = |problem| refused(path, problem);
    let mut image = Image::new(file).map_err(failed)?;
    image.superblock().check_plain().map_err(failed)?;
    let added: Vec<Added> = groups
        .iter()
        .map(|(name, members)| Added {
            name: (*name).to_string(),
            address: 0,
            members: members.iter().map(|member| (member.clone(), 0)).collect(),
            columns: (*name == "obs").then(|| {
                let mut body = vec![3, 0];
                body.extend((COLUMNS.len() as u16 + 1).to_le_bytes());
                body.extend([0; 5]);
                body.extend(COLUMNS.as_bytes());
                body.push(0);
                Message::new(kind::ATTRIBUTE, body)
            }),
        })
        .collect();
    attach(&mut image, within, &added, &[]).map_err(failed)
}

fn refused(path: &Path, problem: Problem) -> Error {
    match problem {
        Problem::Io(source) => Error::io(path, source),
        Problem::Structure(reason) | Problem::Unsupported(reason) => Error::format(
            path,
            None,
            format!(
                "nothing can be added to this HDF5 file: {reason}; write it again with a current \
                 anndata in Python, or write results to other files"
            ),
        ),
    }
}

fn put(mut file: &File, superblock: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(superblock)
}

/// Lets `fill` write into the root that the superblock leads to.
fn write(
    temporary: &Temporary,
    output: &Path,
    fill: impl FnOnce(&Part<'_>) -> Result<()>,
) -> Result<()> {
    let failed = |error| write_error(output, "/", error);
    let access = without_lock(temporary);
    let file = hdf5_pure::File::open_rw_with_options(temporary.path(), access).map_err(failed)?;
    let root = Part::root(&file, output);
    fill(&root)?;
    // Handles keep the file open.
    drop(root);
    file.commit().map_err(failed)?;
    file.close().map_err(failed)
}

fn added(image: &Image) -> Result<Vec<Added>, Problem> {
    let mut added = Vec::new();
    for (name, address) in objects(image, &Group::root(image)?)? {
        let Some(group) = Group::at(image, address)? else {
            continue;
        };
        added.push(Added {
            members: objects(image, &group)?,
            columns: group.attribute(COLUMNS).cloned(),
            name,
            address,
        });
    }
    Ok(added)
}

fn objects(image: &Image, group: &Group) -> Result<Vec<(String, u64)>, Problem> {
    let links = group.links(image)?.into_iter();
    Ok(links
        .filter_map(|link| match link.target {
            Target::Object(address) => Some((link.name, address)),
            _ => None,
        })
        .collect())
}

/// Links the groups of a file to what was written.
fn attach(
    image: &mut Image,
    within: &str,
    added: &[Added],
    removed: &[String],
) -> Result<(), Problem> {
    let mut whole = Vec::new();
    for new in added {
        let there = match follow(image, &format!("{within}/{}", new.name))? {
            Found::Object { address, .. } => Group::at(image, address)?,
            Found::Nothing => None,
            Found::External { file, .. } => {
                return Err(Problem::Unsupported(format!(
                    "/{} is a link to another file, {file}",
                    new.name
                )));
            }
        };
        match there {
            Some(group) => group.change(
                image,
                Changes {
                    links: new.members.clone(),
                    removed: match new.name.as_str() {
                        "uns" => removed.to_vec(),
                        _ => Vec::new(),
                    },
                    attribute: new.columns.clone(),
                },
            )?,
            None => whole.push((new.name.clone(), new.address)),
        }
    }
    if whole.is_empty() {
        return Ok(());
    }
    let missing = || Problem::Structure(format!("{within} is missing"));
    let Found::Object { address, .. } = follow(image, within)? else {
        return Err(missing());
    };
    let group = Group::at(image, address)?.ok_or_else(missing)?;
    group.change(
        image,
        Changes {
            links: whole,
            ..Changes::default()
        },
    )
}

/// A file that cannot be read afterwards must not take the place of one that can.
fn verify(temporary: &Temporary, output: &Path, within: &str, added: &[Added]) -> Result<()> {
    let lost = |reason: String| {
        Error::format(
            output,
            None,
            format!(
                "the results were not found after they were added ({reason}); please report this"
            ),
        )
    };
    let failed = |error: hdf5_pure::Error| lost(error.to_string());
    let copy = File::open(temporary.path()).map_err(|source| Error::io(output, source))?;
    let image = Image::new(Arc::new(copy)).map_err(|problem| lost(problem.to_string()))?;
    let file = hdf5_pure::File::open_streaming(temporary.path()).map_err(failed)?;
    for new in added {
        let at = format!("{within}/{}", new.name);
        let found = follow(&image, &at).map_err(|problem| lost(problem.to_string()))?;
        let Found::Object { path, .. } = found else {
            return Err(lost(format!("{at} is missing")));
        };
        for (name, _) in &new.members {
            let path = format!("{path}/{name}");
            match file.dataset(&path) {
                Err(hdf5_pure::Error::NotADataset(_)) => file.group(&path).map(|_| ()),
                found => found.map(|_| ()),
            }
            .map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::CountMatrix;
    use crate::io::{AnnotatedCounts, write_h5ad};

    #[test]
    fn groups_that_cannot_be_read_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.h5ad");
        let counts = CountMatrix::from_dense(ndarray::array![[1.0, 2.0], [0.0, 3.0]].view());
        write_h5ad(&path, &AnnotatedCounts::new(counts.unwrap())).unwrap();
        let refusal = |path: &Path| {
            let file = Arc::new(File::open(path).unwrap());
            let groups = [("obs", vec!["found".to_string()])];
            rehearse(file, path, "", &groups).map_err(|error| error.to_string())
        };
        refusal(&path).unwrap();

        let image = Image::new(Arc::new(File::open(&path).unwrap())).unwrap();
        let Found::Object { address, .. } = follow(&image, "/obs").unwrap() else {
            panic!("no obs");
        };
        let mut bytes = std::fs::read(&path).unwrap();
        let version = address as usize + b"OHDR".len();
        assert_eq!(bytes[version], 2);
        bytes[version] = 9;
        std::fs::write(&path, &bytes).unwrap();
        let message = refusal(&path).unwrap_err();
        assert!(message.contains("version 9"), "{message}");
        assert!(message.contains("nothing can be added"), "{message}");
    }
}
