//! What a file is that is not a data file: a page, a pointer, an archive.

/// How many of a file's first bytes are enough for [`describe`].
pub(super) const BEGINNING: usize = 1024;

/// What a file is by its first bytes, and how to get the data file from it; `None` for unknown bytes.
pub(super) fn describe(bytes: &[u8]) -> Option<String> {
    let known = [
        (&b""[..], "an empty file"),
        (b"\xff\xfe", "UTF-16 text (what PowerShell's `>` writes)"),
        (b"\x1f\xef\xbf\xbd", "a gzip file that has been converted as if it were text (fetch it as a file)"),
        (b"\x1f\x8b", "a gzip file inside the gzip file (unpack it once)"),
        (b"PK\x03\x04", "a zip archive (unpack it first)"),
        (b"PK\x05\x06", "an empty zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive (unpack it first)"),
        (b"Rar!", "a RAR archive (unpack it first)"),
        (b"BZh", "a bzip2 file (unpack it first)"),
        (b"\xfd7zXZ\0", "an xz file (unpack it first)"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file (unpack it first)"),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF", "a PDF"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"MATLAB 5.0", "a MATLAB file (.mat)"),
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow file"),
        (b"SQLite format 3", "an SQLite data base"),
        (b"version https://git-lfs", "a Git LFS pointer (`git lfs pull` fetches the file itself)"),
        (b"/annex/objects/", "a git-annex pointer (`git annex get` fetches the file itself)"),
    ];
    // Archives of NumPy and PyTorch are zip archives, recognised by the names in them.
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if bytes.starts_with(b"PK\x03\x04") && holds(b".npy") {
        return Some("a NumPy archive (.npz)".into());
    }
    if bytes.starts_with(b"PK\x03\x04") && holds(b"data.pkl") {
        return Some("a PyTorch file".into());
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("a tar archive (unpack it first)".into());
    }
    let known =
        known.into_iter().find(|(start, _)| if start.is_empty() { bytes.is_empty() } else { bytes.starts_with(start) });
    if let Some((_, what)) = known {
        return Some(what.into());
    }
    match bytes {
        [0, 0, 8, 1, ..] => Some("an IDX file of labels".into()),
        [0, 0, 8, 3, ..] => Some("an IDX file of images".into()),
        [0, 0, kind, 1, ..] => Some(format!("an IDX file of {} in 1 dimension", element(*kind)?)),
        [0, 0, kind, dimensions @ 2..=9, ..] => {
            Some(format!("an IDX file of {} in {dimensions} dimensions", element(*kind)?))
        }
        [1 | 3, 8, 0, 0, ..] => Some("an IDX file with its numbers in reverse byte order".into()),
        [0x80, 2..=5, ..] => Some("a Python pickle".into()),
        [0, 0, 0, 0, ..] if bytes.iter().all(|byte| *byte == 0) => {
            Some("nothing but zeros (a file that was never filled?)".into())
        }
        _ => describe_text(bytes),
    }
}

/// The element type in an IDX file's third byte.
fn element(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x08 => "bytes",
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => return None,
    })
}

fn describe_text(bytes: &[u8]) -> Option<String> {
    // It may end within a character.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.chars().count() < 4 || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let lower = text.to_lowercase();
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.starts_with(tag)) || lower.contains("<html")
    {
        return Some("an HTML page (what a server showed in place of the file)".into());
    }
    if text.starts_with("<?xml") || text.starts_with("<Error>") {
        return Some("an XML document (what a server answered in place of the file)".into());
    }
    if text.starts_with("../") && text.contains("annex/objects/") {
        return Some("a git-annex pointer (`git annex get` fetches the file itself)".into());
    }
    let line: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
    Some(format!("text that begins with {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_other_files_are_recognised() {
        let tar = [vec![b'x'; 257], b"ustar\0".to_vec()].concat();
        let npz = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0x_train.npy";
        let torch = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0archive/data.pkl";
        let cases: [(&[u8], &str); 26] = [
            (b"", "an empty file"),
            (b"<!DOCTYPE html>\n<html lang=\"en\">", "an HTML page (what"),
            (b"\xef\xbb\xbf\r\n<HTML>", "an HTML page (what"),
            (b"<!-- moved -->\n<html>", "an HTML page (what"),
            (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey", "an XML document (what"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer (`git lfs pull`"),
            (b"/annex/objects/MD5E-s9912422--f68b3c2d.gz\n", "a git-annex pointer (`git annex get`"),
            (b"../.git/annex/objects/Xx/9z/MD5E-s9912422", "a git-annex pointer (`git annex get`"),
            (b"PK\x03\x04\x14\0\0\0", "a zip archive (unpack it first)"),
            (npz, "a NumPy archive (.npz)"),
            (torch, "a PyTorch file"),
            (&tar, "a tar archive (unpack it first)"),
            (b"\x1f\x8b\x08\0", "a gzip file inside the gzip file (unpack it once)"),
            (b"\x1f\xef\xbf\xbd\x08\x08", "a gzip file that has been converted"),
            (b"\xff\xfe<\0!\0D\0O\0", "UTF-16 text"),
            (b"\x89PNG\r\n\x1a\n", "a PNG image"),
            (b"\x80\x04\x95\0\0", "a Python pickle"),
            (b"\x93NUMPY\x01\0", "a NumPy array (.npy)"),
            (&[0, 0, 0x0d, 3, 0, 0], "an IDX file of 32-bit floats in 3 dimensions"),
            (&[0, 0, 0x0c, 1, 0, 0], "an IDX file of 32-bit integers in 1 dimension"),
            (&[0, 0, 8, 4, 0, 0], "an IDX file of bytes in 4 dimensions"),
            (&[3, 8, 0, 0, 2, 0], "an IDX file with its numbers in reverse byte order"),
            (&[0; 16], "nothing but zeros"),
            (b"label,pixel0,pixel1\r\n5,0,0", "text that begins with \"label,pixel0,pixel1\""),
            ("5 ä ö ü".as_bytes(), "text that begins with \"5 ä ö ü\""),
            (&"ää".as_bytes()[..3], ""),
        ];
        for (bytes, expected) in cases {
            let what = describe(bytes).unwrap_or_default();
            assert!(what.starts_with(expected) && what.is_empty() == expected.is_empty(), "{expected:?}: {what:?}");
        }
        // Control characters are not shown.
        assert_eq!(describe(b"Not found\x1b[2J"), None);
        assert_eq!(describe(&[7; 100]), None);
        // Cut within a character.
        let cut = "Fehler: nicht gefunden ä".as_bytes();
        assert!(describe(&cut[..cut.len() - 1]).unwrap().starts_with("text that begins with"));
    }
}
