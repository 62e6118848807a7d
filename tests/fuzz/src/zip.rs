//! Zip archives of files that are stored as they are, as PyTorch writes them.

use flate2::Crc;

use crate::bytes;
use crate::random::Random;

/// The files of an archive; `None` for one that is compressed or damaged.
pub fn files(archive: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let number = |at: usize, width: usize| -> Option<usize> {
        let bytes = archive.get(at..at + width)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, &byte| (sum << 8) | usize::from(byte)),
        )
    };
    let end = archive
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")?;
    let (count, mut at) = (number(end + 10, 2)?, number(end + 16, 4)?);
    let mut files = Vec::with_capacity(count.min(1000));
    for _ in 0..count {
        let (method, size) = (number(at + 10, 2)?, number(at + 24, 4)?);
        let (name, extra, comment) = (
            number(at + 28, 2)?,
            number(at + 30, 2)?,
            number(at + 32, 2)?,
        );
        let header = number(at + 42, 4)?;
        let text = String::from_utf8(archive.get(at + 46..at + 46 + name)?.to_vec()).ok()?;
        let start = header + 30 + number(header + 26, 2)? + number(header + 28, 2)?;
        if method != 0 {
            return None;
        }
        files.push((text, archive.get(start..start + size)?.to_vec()));
        at += 46 + name + extra + comment;
    }
    Some(files)
}

/// The archive of files, with right checksums.
pub fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in files {
        let mut crc = Crc::new();
        crc.update(data);
        let mut common = Vec::new();
        for (width, number) in [
            (2, 0x14),
            (2, 0),
            (2, 0),
            (4, 0),
            (4, crc.sum() as usize),
            (4, data.len()),
            (4, data.len()),
            (2, name.len()),
            (2, 0),
        ] {
            common.extend(&number.to_le_bytes()[..width]);
        }
        let start = archive.len() as u32;
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = archive.len() as u32;
    let count = (files.len() as u16).to_le_bytes();
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count);
    archive.extend(count);
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

/// Changes the files of an archive, whose checksums stay right; seldom the archive itself.
pub fn change(random: &mut Random, archive: &mut Vec<u8>, other: &[u8], most: usize) {
    let Some(mut files) = files(archive).filter(|files| !files.is_empty() && !random.one_in(8))
    else {
        bytes::change(random, archive, other, most);
        return;
    };
    // The description says everything, the rest are numbers.
    let description = files.iter().position(|(name, _)| name.ends_with(".pkl"));
    let chosen = match description {
        Some(position) if !random.one_in(5) => position,
        _ => random.below(files.len()),
    };
    match random.below(20) {
        0 => drop(files.remove(chosen)),
        1 => files.push(files[chosen].clone()),
        2 => {
            let mut name = std::mem::take(&mut files[chosen].0).into_bytes();
            bytes::change(random, &mut name, b"../data/0.pkl", 60);
            files[chosen].0 = String::from_utf8_lossy(&name).into_owned();
        }
        3..6 => bytes::change(random, &mut files[chosen].1, other, most),
        _ => bytes::change_in_place(random, &mut files[chosen].1),
    }
    *archive = self::archive(&files);
}
