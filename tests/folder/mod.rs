//! A new folder for a test, removed at the end.

use std::path::PathBuf;

pub struct Folder(pub PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("latentlab-{name}-")).tempdir().unwrap();
        Self(folder.path().to_owned(), folder)
    }

    #[allow(dead_code)]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    #[allow(dead_code)]
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
