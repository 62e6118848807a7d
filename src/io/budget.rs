//! How much memory a reader may take: in proportion to the file, not to what the file claims.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::counts::CountMatrix;
use crate::error::Error;

/// What a file of any size may take.
const FREE_BYTES: u64 = 40 << 20;

/// What a byte of plain text may take: the shortest lines of real tables hold a short name and a
/// number, and a list of names takes 24 bytes for each besides its text.
pub(super) const OF_PLAIN_TEXT: u64 = 25;

/// What a byte of a compressed file may take. Numbered names and sorted indices compress best, to
/// two or three bytes each; a list that holds them takes up to 150 while it grows.
pub(super) const OF_COMPRESSED: u64 = 100;

/// From here on the system is asked whether it has so much: where it has not, a list of this length
/// would end the process.
const ASKED_FOR: u64 = 1 << 28;

/// The memory that the reader of a file, or of files that belong together, may hold at a time.
///
/// Everything whose size the file decides is counted at the size that it has in memory, capacity
/// of lists included, before it is allocated.
pub(super) struct Budget {
    file_bytes: u64,
    limit: u64,
    used: AtomicU64,
}

/// Why memory was refused.
#[derive(Debug)]
pub(super) enum Shortage {
    /// The budget is used up.
    Budget {
        needed: u64,
        limit: u64,
        file_bytes: u64,
    },
    /// The system has no more.
    System { bytes: u64 },
}

impl Shortage {
    /// The error at a place of a file.
    pub fn at(self, path: &Path, place: impl Into<String>) -> Error {
        match self {
            Self::Budget {
                needed,
                limit,
                file_bytes,
            } => Error::MemoryLimit {
                path: path.into(),
                place: place.into(),
                needed,
                limit,
                file_bytes,
            },
            Self::System { bytes } => Error::io(
                path,
                std::io::Error::new(
                    std::io::ErrorKind::OutOfMemory,
                    format!(
                        "{}: the system has no {bytes} bytes of memory left; close other programs \
                         or use a larger machine",
                        place.into()
                    ),
                ),
            ),
        }
    }
}

impl Budget {
    /// For files of so many bytes, each of which may take `per_byte`.
    pub fn new(files: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let (mut file_bytes, mut limit) = (0u64, FREE_BYTES);
        for (bytes, per_byte) in files {
            file_bytes = file_bytes.saturating_add(bytes);
            limit = limit.saturating_add(bytes.saturating_mul(per_byte));
        }
        Self {
            file_bytes,
            limit,
            used: AtomicU64::new(0),
        }
    }

    /// Counts bytes that are about to be allocated and kept.
    pub fn take(&self, bytes: u64) -> Result<(), Shortage> {
        let shortage = |needed| Shortage::Budget {
            needed,
            limit: self.limit,
            file_bytes: self.file_bytes,
        };
        if bytes > self.limit {
            return Err(shortage(bytes));
        }
        if bytes >= ASKED_FOR && !is_available(bytes) {
            return Err(Shortage::System { bytes });
        }
        let needed = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if needed > self.limit {
            self.give_back(bytes);
            return Err(shortage(needed));
        }
        Ok(())
    }

    /// As [`take`](Self::take), for so many elements.
    pub fn take_list<T>(&self, elements: usize) -> Result<(), Shortage> {
        self.take(bytes_of::<T>(elements))
    }

    /// Whether bytes that are soon freed again may be allocated.
    pub fn allow(&self, bytes: u64) -> Result<(), Shortage> {
        self.take(bytes)?;
        self.give_back(bytes);
        Ok(())
    }

    /// Counts bytes that were freed.
    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An empty list with room for so many elements.
    pub fn list<T>(&self, capacity: usize) -> Result<Vec<T>, Shortage> {
        let mut list = Vec::new();
        self.reserve(&mut list, capacity)?;
        Ok(list)
    }

    /// Adds to a list whose room is counted here.
    #[inline]
    pub fn push<T>(&self, list: &mut Vec<T>, value: T) -> Result<(), Shortage> {
        if list.len() == list.capacity() {
            self.reserve(list, 1)?;
        }
        list.push(value);
        Ok(())
    }

    /// Makes room for more elements; lists double, or grow by less when memory is short.
    pub fn reserve<T>(&self, list: &mut Vec<T>, additional: usize) -> Result<(), Shortage> {
        let (length, capacity) = (list.len(), list.capacity());
        let needed = length.saturating_add(additional);
        if needed <= capacity {
            return Ok(());
        }
        let smallest = needed.max(8);
        let mut refused = None;
        for wanted in [
            capacity.saturating_mul(2),
            capacity + capacity / 4,
            smallest,
        ] {
            // The old list lives until the new one is filled, so both count for a moment.
            let wanted = wanted.max(smallest);
            match self.take_list::<T>(wanted) {
                Ok(()) => {
                    if list.try_reserve_exact(wanted - length).is_err() {
                        let bytes = bytes_of::<T>(wanted);
                        self.give_back(bytes);
                        return Err(Shortage::System { bytes });
                    }
                    self.give_back(bytes_of::<T>(capacity));
                    return Ok(());
                }
                Err(shortage) => refused = Some(shortage),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// A name; text in other encodings than UTF-8 is kept readable.
    pub fn name(&self, field: &[u8]) -> Result<String, Shortage> {
        self.allow(field.len() as u64)?;
        let name = super::text::name_of(field);
        self.take(name.capacity() as u64)?;
        Ok(name)
    }

    /// Whether giving a matrix its names is within the budget: a set of them, the positions that
    /// stand for names until then, and new names for genes that occur twice.
    pub fn allow_naming(&self, cells: usize, genes: &[String]) -> Result<(), Shortage> {
        /// An entry of a set of references, at the lowest load of its table.
        const IN_SET: u64 = 40;
        const POSITION: u64 = size_of::<String>() as u64 + 8;
        const RENAMED: u64 = 128;
        let text: usize = genes.iter().map(String::len).sum();
        let (cells, genes) = (cells as u64, genes.len() as u64);
        self.allow((cells + genes) * (IN_SET + POSITION) + genes * RENAMED + 2 * text as u64)
    }

    /// Whether some genes of a matrix may be copied to a new one.
    pub fn allow_selection(&self, counts: &CountMatrix) -> Result<(), Shortage> {
        let names = counts.cell_names().iter().chain(counts.gene_names());
        let text: usize = names.map(|name| size_of::<String>() + name.len()).sum();
        self.allow(
            bytes_of::<(u32, f32)>(counts.stored())
                + bytes_of::<usize>(counts.cells() + 2 * counts.genes())
                + text as u64,
        )
    }
}

/// Whether the system has so many bytes of memory.
fn is_available(bytes: u64) -> bool {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// Bytes that so many elements take.
pub(super) fn bytes_of<T>(elements: usize) -> u64 {
    (elements as u64).saturating_mul(size_of::<T>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_until_the_budget_is_used_up() {
        let budget = Budget::new([(0, OF_COMPRESSED)]);
        let mut list = Vec::new();
        let refused = loop {
            if let Err(shortage) = budget.push(&mut list, 7u64) {
                break shortage;
            }
        };
        assert!(bytes_of::<u64>(list.capacity()) <= FREE_BYTES);
        // The last steps are small ones: most of the budget is used.
        assert!(bytes_of::<u64>(list.len()) > FREE_BYTES / 3);
        let message = refused.at(Path::new("a.csv"), "line 3").to_string();
        assert!(message.starts_with("a.csv, line 3: "), "{message}");
    }

    #[test]
    fn more_than_the_system_has_is_refused() {
        // A file that may take this much, as a sparse one of terabytes may.
        let budget = Budget::new([(1 << 60, 1)]);
        for refused in [
            budget.take(1 << 60),
            budget.allow(1 << 60),
            budget.take_list::<u64>(1 << 57),
        ] {
            assert!(matches!(refused, Err(Shortage::System { bytes }) if bytes == 1 << 60));
        }
        budget.take(ASKED_FOR).unwrap();
    }

    #[test]
    fn freed_memory_can_be_used_again() {
        let budget = Budget::new([(1000, OF_PLAIN_TEXT)]);
        let all = FREE_BYTES + 1000 * OF_PLAIN_TEXT;
        budget.allow(all).unwrap();
        budget.take(all - 10).unwrap();
        assert!(budget.allow(11).is_err());
        budget.give_back(1);
        budget.allow(11).unwrap();
        assert!(budget.take_list::<u64>(usize::MAX).is_err());
    }
}
