//! Row 32: a full disk.

use celldec::Error;
use celldec::io::{read_10x_mtx, write_10x_mtx};

use super::*;

/// Runs itself once more with a limit on the size of files, which fails as a full disk does.
#[test]
fn row_32_a_full_disk_leaves_files_that_belong_together() {
    const TEST: &str = "disk::row_32_a_full_disk_leaves_files_that_belong_together";
    const FOLDER: &str = "CELLDEC_FULL_DISK_TOGETHER";
    if let Some(folder) = folder_of(FOLDER) {
        let error = write_10x_mtx(&folder, &counts("B", 4000)).unwrap_err();
        assert!(
            matches!(&error, Error::Io { path, .. } if path.starts_with(&folder)),
            "{error}"
        );
        fs::write(folder.join("refused"), b"").unwrap();
        return;
    }
    // Room for nothing, for the first file and for the first two.
    for kilobytes in [0, 8, 12] {
        let folder = tempfile::tempdir().unwrap();
        let old = counts("A", 4000);
        write_10x_mtx(folder.path(), &old).unwrap();
        let child = again(TEST, FOLDER, folder.path());
        let mut limited = Command::new("bash");
        limited
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
            .arg(kilobytes.to_string())
            .arg(child.get_program())
            .args(child.get_args())
            .env(FOLDER, folder.path())
            .stdout(Stdio::null());
        let Ok(status) = limited.status() else {
            println!("skipped: needs bash to limit the size of files");
            return;
        };
        assert!(status.success());
        assert_eq!(read_10x_mtx(folder.path()).unwrap(), old);
        assert_eq!(
            names_in(folder.path()),
            [
                "barcodes.tsv.gz",
                "features.tsv.gz",
                "matrix.mtx.gz",
                "refused"
            ]
        );
    }
}
