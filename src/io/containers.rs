//! Files and folders of other programs, named for what they are, with the line that converts them.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::input::open_file;
use crate::error::{Error, Result};

/// Enough of the start of a file to know it.
const START: u64 = 512;

/// A container that is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Zarr,
    #[cfg(feature = "h5ad")]
    Seurat,
    Workbook,
    Serialized,
    SavedWorkspace,
    Zip,
}

impl Container {
    /// What a folder is, `None` where it is none of these.
    pub fn of_folder(path: &Path) -> Option<Self> {
        let holds = |name: &str| path.join(name).is_file();
        [".zgroup", ".zattrs", ".zarray", ".zmetadata", "zarr.json"]
            .into_iter()
            .any(holds)
            .then_some(Self::Zarr)
    }

    /// What a file is by its first bytes, `None` where it is none of these.
    pub fn of_file(path: &Path) -> Result<Option<Self>> {
        let failed = |source| Error::io(path, source);
        let mut start = Vec::new();
        let (file, _) = open_file(path)?;
        file.take(START).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(b"\x1f\x8b") {
            let (file, _) = open_file(path)?;
            let mut inner = Vec::new();
            // What cannot be decompressed is none of these; its reader says what is wrong.
            let _ = MultiGzDecoder::new(file)
                .take(START)
                .read_to_end(&mut inner);
            return Ok(Self::of_r(&inner));
        }
        if start.starts_with(b"PK\x03\x04") {
            let contains = |name: &[u8]| start.windows(name.len()).any(|part| part == name);
            let zarr = [&b".zgroup"[..], b".zattrs", b"zarr.json", b".zmetadata"];
            return Ok(Some(if zarr.into_iter().any(contains) {
                Self::Zarr
            } else if contains(b"[Content_Types].xml") || contains(b"xl/") {
                Self::Workbook
            } else {
                Self::Zip
            }));
        }
        let name = path.to_string_lossy().to_ascii_lowercase();
        let compressed = start.starts_with(b"\xfd7zXZ\0") || start.starts_with(b"BZh");
        Ok(match Self::of_r(&start) {
            None if compressed && name.ends_with(".rds") => Some(Self::Serialized),
            None if compressed && name.ends_with(".rdata") => Some(Self::SavedWorkspace),
            found => found,
        })
    }

    /// Objects of R, by the start of their serialisation.
    fn of_r(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"RDX") || start.starts_with(b"RDA") {
            return Some(Self::SavedWorkspace);
        }
        // A format, then the version as four bytes (XDR) or a line (ASCII).
        let is_serialized = start.starts_with(b"X\n\0\0\0")
            || start.starts_with(b"A\n2\n")
            || start.starts_with(b"A\n3\n");
        is_serialized.then_some(Self::Serialized)
    }

    /// The refusal that names it.
    pub fn refusal(self, path: &Path) -> Error {
        let shown = path.display();
        let reason = match self {
            Self::Zarr => format!(
                "a Zarr store, which is not read here; convert it in Python: import anndata; \
                 anndata.read_zarr(\"{shown}\").write_h5ad(\"cells.h5ad\")"
            ),
            #[cfg(feature = "h5ad")]
            Self::Seurat => format!(
                "an h5Seurat file, which is not read here; convert it in R: \
                 SeuratDisk::Convert(\"{shown}\", dest = \"h5ad\")"
            ),
            Self::Workbook => "an Excel workbook, which is not read here (and Excel turns genes \
                 such as MARCH1 into dates); save the sheet as CSV, or in Python: import pandas; \
                 pandas.read_excel(…, index_col=0).to_csv(\"counts.csv\")"
                .to_string(),
            Self::Serialized => format!(
                "an object saved by R (.rds), which is not read here; write its counts in R: \
                 object <- readRDS(\"{shown}\"); DropletUtils::write10xCounts(\"counts\", \
                 Seurat::GetAssayData(object, layer = \"counts\"))"
            ),
            Self::SavedWorkspace => format!(
                "objects saved by R (.RData), which are not read here; in R: load(\"{shown}\"), then \
                 DropletUtils::write10xCounts(\"counts\", …) with the matrix of counts"
            ),
            Self::Zip => "a zip archive; unpack it and give what is in it".to_string(),
        };
        Error::format(path, None, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let serialized = gzip(b"X\n\0\0\0\x03\0\x04\x03\x01\0\x03\x05\0\0\0\0\x05UTF-8");
        let workspace = gzip(b"RDX3\nX\n\0\0\0\x03");
        for (name, bytes, word) in [
            (
                "a.csv",
                &b"PK\x03\x04\x14\0\x06\0[Content_Types].xml"[..],
                "Excel",
            ),
            ("b.csv", b"PK\x03\x04\0\0.zgroup", "Zarr"),
            ("c", b"PK\x03\x04\0\0readme", "unpack"),
            ("d", &serialized, "readRDS"),
            ("e.txt", &workspace, ".RData"),
            ("f.rds", b"\xfd7zXZ\0\0", "readRDS"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let container = Container::of_file(&path).unwrap().unwrap();
            let message = container.refusal(&path).to_string();
            assert!(message.contains(word), "{message}");
        }
        for (name, bytes) in [("g.csv", &b"A\nB\n"[..]), ("h", b""), ("i.csv", b"X\n\0")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Container::of_file(&path).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn stores_are_known_by_their_members() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Container::of_folder(folder.path()), None);
        std::fs::write(folder.path().join("zarr.json"), "{}").unwrap();
        assert_eq!(Container::of_folder(folder.path()), Some(Container::Zarr));
    }
}
