//! `latentlab data`: what is found of MNIST and Fashion-MNIST, and fetching what is missing.

use latentlab::{DataFile, DataFileState, data_files, fetch_data};

/// Lists the files, fetches the missing ones and lists them again. An error if they are not complete and sound then.
pub fn run() -> latentlab::Result<()> {
    let files = data_files();
    if files.is_empty() {
        println!("LATENTLAB_DATA is \"built-in\": the built-in digits and garments are used, nothing is looked for.");
        return Ok(());
    }
    list(&files);
    if files.iter().any(|file| file.state == DataFileState::Missing) {
        println!();
        fetch_data()?;
        println!();
        list(&data_files());
    }
    fetch_data()
}

fn list(files: &[DataFile]) {
    for of_collection in files.chunk_by(|a, b| a.collection == b.collection) {
        println!("{}", of_collection[0].collection);
        for file in of_collection {
            let path = file.path.display();
            match &file.state {
                DataFileState::Sound { bytes } => println!("  ok       {:>9} kB  {path}", bytes.div_ceil(1000)),
                DataFileState::Damaged(_) => println!("  damaged  {:>12}  {path}", ""),
                DataFileState::Missing => println!("  missing  {:>12}  {path}", ""),
            }
        }
    }
}
