//! `latentlab data`: lists the files of MNIST and Fashion-MNIST, and downloads the missing ones.

use std::io::Write;

use latentlab::{DataFile, DataFileState, data_files, fetch_data};

/// Lists the files, downloads the missing ones and lists them again. An error if they are then not complete and intact.
pub fn run() -> latentlab::Result<()> {
    let files = data_files();
    if files.is_empty() {
        say("LATENTLAB_DATA is \"built-in\": the built-in digits and garments are used, nothing is looked for.");
        return Ok(());
    }
    list(&files);
    if files.iter().any(|file| file.state == DataFileState::Missing) {
        say("");
        fetch_data()?;
        say("");
        list(&data_files());
    }
    fetch_data()
}

fn list(files: &[DataFile]) {
    for of_collection in files.chunk_by(|a, b| a.collection == b.collection) {
        say(&of_collection[0].collection);
        for file in of_collection {
            let path = file.path.display();
            match &file.state {
                DataFileState::Sound { bytes } => {
                    say(format_args!("  ok       {:>9} kB  {path}", bytes.div_ceil(1000)))
                }
                DataFileState::Damaged(reason) => say(format_args!("  damaged  {:>12}  {path}\n    {reason}", "")),
                DataFileState::Missing => say(format_args!("  missing  {:>12}  {path}", "")),
            }
        }
    }
}

/// Prints a line, also where `head` has closed the standard output.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
