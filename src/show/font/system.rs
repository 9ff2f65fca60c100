//! Fonts of the system, for characters that the embedded one lacks: searched for once, in the usual folders, and read
//! when needed.

use std::{
    collections::HashMap,
    env,
    ffi::OsStr,
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ab_glyph::{Font, FontArc, FontVec, GlyphId};
use walkdir::WalkDir;

use crate::panics::caught;

/// Parts of the names of fonts with many characters, in small letters and without spaces, the best first.
const NAMES: &str = "notosanscjk notosansjp notosanssc notosanskr notosanstc sourcehansans hiraginosansgb ヒラギノ角ゴシックw3 \
    applesdgothicneo pingfang yugothr yugothm meiryo msgothic msyh simsun malgun msjh wqy- \
    droidsansfallback ipag ipaexg takaogothic vl-gothic nanumgothic baekmuk uming arialunicode \
    notoserifcjk notosanssymbols notosansmath notoemoji-regular seguisym seguiemj applesymbols \
    symbola notosansdevanagari notosansthai nirmala leelawui kohinoor thonburi freesans freeserif \
    unifont";
/// The most that one process reads and searches.
const MOST_BYTES: u64 = 400 << 20;
const MOST_ENTRIES: usize = 20_000;
const MOST_FILES: usize = 40;
const DEEPEST: usize = 5;
/// A collection (`.ttc`) holds several fonts; one of the first of them has what any of them has.
const IN_COLLECTION: u32 = 10;

type Found = Option<(FontArc, GlyphId)>;

/// A font of the system that has an outline for a character.
pub(super) fn find(character: char) -> Found {
    static SYSTEM: Mutex<Option<System>> = Mutex::new(None);
    let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    system.get_or_insert_with(|| System::new(&folders())).find(character)
}

struct System {
    files: Vec<PathBuf>,
    /// Those that had a character.
    fonts: Vec<FontArc>,
    found: HashMap<char, Found>,
    bytes_left: u64,
}

impl System {
    fn new(folders: &[PathBuf]) -> Self {
        let entries = folders.iter().flat_map(|folder| WalkDir::new(folder).max_depth(DEEPEST));
        let entries = entries.take(MOST_ENTRIES).flatten().filter(|entry| !entry.file_type().is_dir());
        let mut files: Vec<_> = entries.filter_map(|file| Some((rank(file.file_name())?, file.into_path()))).collect();
        files.sort();
        files.truncate(MOST_FILES);
        let files = files.into_iter().map(|(_, path)| path).collect();
        Self { files, fonts: Vec::new(), found: HashMap::new(), bytes_left: MOST_BYTES }
    }

    fn find(&mut self, character: char) -> Found {
        if let Some(found) = self.found.get(&character) {
            return found.clone();
        }
        let known = self.fonts.iter().find_map(|font| has(font, character));
        let found = known.or_else(|| self.read_until(character));
        self.found.insert(character, found.clone());
        found
    }

    fn read_until(&mut self, character: char) -> Found {
        for path in &self.files {
            let size = fs::metadata(path).map_or(u64::MAX, |file| file.len());
            if size > self.bytes_left {
                continue;
            }
            self.bytes_left -= size;
            let Ok(bytes) = fs::read(path) else { continue };
            for index in 0..fonts_in(&bytes).min(IN_COLLECTION) {
                // A damaged file may make its reader panic; the figure is drawn all the same.
                let read = || FontVec::try_from_vec_and_index(bytes.clone(), index).map(FontArc::new);
                let Ok(Ok(font)) = caught(read) else { break };
                if let Some(found) = has(&font, character) {
                    self.fonts.push(font);
                    return Some(found);
                }
            }
        }
        None
    }
}

/// How many fonts a file claims to hold; none if it is too small for that many.
fn fonts_in(file: &[u8]) -> u32 {
    let Some(collection) = file.strip_prefix(b"ttcf") else { return 1 };
    match collection.get(4..8).and_then(|number| number.try_into().ok()).map(u32::from_be_bytes) {
        Some(count) if u64::from(count) * 4 <= file.len() as u64 => count,
        _ => 0,
    }
}

/// The glyph for a character, if the font has an outline of it (colour fonts have images instead).
fn has(font: &FontArc, character: char) -> Found {
    let glyph = font.glyph_id(character);
    (glyph.0 != 0 && font.outline(glyph).is_some()).then(|| (font.clone(), glyph))
}

/// The place of a font among [`NAMES`], and whether it is an unusual one, by its file's name; `None` for other files.
fn rank(name: &OsStr) -> Option<(usize, bool)> {
    let name = name.to_string_lossy().to_lowercase().replace(' ', "");
    let is_font = [".ttf", ".otf", ".ttc", ".otc"].iter().any(|end| name.ends_with(end));
    let rank = NAMES.split(' ').position(|part| name.contains(part)).filter(|_| is_font)?;
    let unusual = ["bold", "black", "light", "thin", "italic", "oblique", "bd.", "mono"];
    Some((rank, unusual.iter().any(|weight| name.contains(weight))))
}

/// Where operating systems keep fonts.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "/run/current-system/sw/share/X11/fonts",
        "/System/Library/Fonts",
        "/Library/Fonts",
    ]
    .map(PathBuf::from)
    .to_vec();
    let below = |variable: &str, folder: &str| env::var_os(variable).map(|value| PathBuf::from(value).join(folder));
    folders.extend(
        [
            below("HOME", ".local/share/fonts"),
            below("HOME", ".fonts"),
            below("HOME", "Library/Fonts"),
            below("CONDA_PREFIX", "fonts"),
            below("WINDIR", "Fonts"),
            below("LOCALAPPDATA", "Microsoft/Windows/Fonts"),
        ]
        .into_iter()
        .flatten(),
    );
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A collection of two fonts; the offset of each table counts from the start of the file.
    fn collection(font: &[u8]) -> Vec<u8> {
        let number = |at: usize| u32::from_be_bytes(font[at..at + 4].try_into().unwrap());
        let tables = usize::from(u16::from_be_bytes([font[4], font[5]]));
        let mut moved = font.to_vec();
        for table in 0..tables {
            let at = 12 + 16 * table + 8;
            moved[at..at + 4].copy_from_slice(&(number(at) + 20).to_be_bytes());
        }
        let mut file = b"ttcf\0\x01\0\0\0\0\0\x02\0\0\0\x14\0\0\0\x14".to_vec();
        file.extend(moved);
        file
    }

    #[test]
    fn fonts_and_collections_are_found_and_damaged_ones_are_passed_over() {
        let folder = env::temp_dir().join(format!("latentlab-fonts-{}", std::process::id()));
        let deep = folder.join("truetype/droid");
        fs::create_dir_all(&deep).unwrap();
        fs::write(folder.join("NotoSansCJK-Regular.ttc"), b"ttcf\0\x01\0\0\xff\xff\xff\xff").unwrap();
        fs::write(folder.join("Meiryo.ttc"), &super::super::EMBEDDED[..5_000]).unwrap();
        fs::write(folder.join("Other.ttf"), super::super::EMBEDDED).unwrap();
        let mut none = System::new(std::slice::from_ref(&folder));
        assert_eq!(none.files.len(), 2, "{:?}", none.files);
        assert!(none.find('ж').is_none());
        fs::write(deep.join("DroidSansFallbackFull.ttc"), collection(super::super::EMBEDDED)).unwrap();
        let mut some = System::new(std::slice::from_ref(&folder));
        assert!(some.find('ж').is_some() && some.find('お').is_none());
        fs::remove_dir_all(&folder).unwrap();
        assert!(some.find('ж').is_some() && some.find('β').is_some(), "read once");
        assert!(System::new(&[folder]).find('ж').is_none());
    }
}
