//! Row 32: a full disk.

use celldec::Error;
use celldec::io::{read_10x_mtx, write_10x_mtx};

use super::*;

/// Runs itself once more with a limit on the size of files, which fails as a full disk does.
pub fn row_32_a_full_disk_leaves_files_that_belong_together() {
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

/// The same with a model: the old one stays.
pub fn row_32_a_full_disk_leaves_the_old_model() {
    const TEST: &str = "disk::row_32_a_full_disk_leaves_the_old_model";
    const FOLDER: &str = "CELLDEC_FULL_DISK_MODEL";
    let fit = |seed| {
        let plan = scdcc(3).with_epochs(1, 1).with_seed(seed);
        fitted(&plan, &simulated(40, 20, 1))
    };
    if let Some(folder) = folder_of(FOLDER) {
        let error = fit(2).model().save(folder.join("model")).unwrap_err();
        assert!(
            matches!(&error, Error::Io { path, .. } if path.starts_with(&folder)),
            "{error}"
        );
        fs::write(folder.join("refused"), b"").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    fit(1).model().save(&path).unwrap();
    let old = fs::read(&path).unwrap();
    for kilobytes in [0, 4] {
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
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(names_in(folder.path()), ["model", "refused"]);
    }
}
