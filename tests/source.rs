//! Rules for the source code: a module uses only the modules before it, so that data flows one way, and no line is too
//! long.

use std::{fs, path::Path};

/// The modules of the library and of the tool, in their folders.
const ORDERS: [(&str, &str); 2] = [
    (
        "src",
        "error panics limit finite file format random channel progress stop data engine nn model measure train analyse \
         exchange show jupyter",
    ),
    (
        "src/bin/latentlab",
        "error whole protocol mutate folder command project user ipynb knobs execute library warm relay cell_compiler \
         cell_cargo kernel lessons setup prefix timings run lab data bench reproduce worker with_library",
    ),
];

/// The Rust files of a folder and its subfolders, or the one file, with their text.
fn rust_files(path: &Path, files: &mut Vec<(String, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), files);
        }
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
        files.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
    }
}

/// The module of every `crate::module` in the code, without comments and tests.
fn uses(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    let names = code.split("crate::").skip(1).map(|part| match part.strip_prefix('{') {
        Some(list) => top_level_names(list),
        None => vec![leading_name(part)],
    });
    names.flatten().collect()
}

fn leading_name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The names at the first level of `a::{x, y}, b::c}`.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (index, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(leading_name(&list[start..index]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(leading_name(&list[start..index]));
                start = index + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn modules_use_only_what_comes_before_them() {
    let mut seen = 0;
    for (source, order) in ORDERS {
        let order: Vec<&str> = order.split(' ').collect();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        for (rank, module) in order.iter().enumerate() {
            let (mut files, folder) = (Vec::new(), source.join(module));
            rust_files(&if folder.is_dir() { folder } else { source.join(format!("{module}.rs")) }, &mut files);
            for (place, text) in files {
                for used in uses(&text) {
                    let Some(other) = order.iter().position(|name| *name == used) else { continue };
                    seen += 1;
                    assert!(other <= rank, "{place} uses {used}, which comes after {module} in {order:?}");
                }
            }
        }
        let root = ["lib.rs", "main.rs"].map(|name| source.join(name)).into_iter().find(|root| root.is_file());
        let declared = fs::read_to_string(root.unwrap()).unwrap();
        for module in declared.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")) {
            assert!(order.contains(&module.trim_end_matches(';')), "{module} is missing in {order:?}");
        }
    }
    assert!(seen > 80, "only {seen} uses found: this test no longer reads the code as it is written");
}

#[test]
fn nested_use_lists_are_parsed() {
    assert_eq!(top_level_names(" error::{Error, Result}, nn::Loss, train, }; rest"), ["error", "nn", "train"]);
}

/// rustfmt does not enforce its width in comments and strings.
#[test]
fn no_line_is_longer_than_rustfmts_width() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = fs::read_to_string(project.join("rustfmt.toml")).unwrap();
    let width: usize = settings.lines().find_map(|line| line.strip_prefix("max_width = ")).unwrap().parse().unwrap();
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        rust_files(&project.join(folder), &mut files);
    }
    assert!(files.len() > 100, "only {} files found", files.len());
    let mut long = Vec::new();
    for (path, text) in &files {
        // A table in documentation has a line a row.
        let is_long = |line: &str| line.chars().count() > width && !line.trim_start().starts_with("/// |");
        for (index, line) in text.lines().enumerate().filter(|(_, line)| is_long(line)) {
            long.push(format!("{path}:{}: {} characters", index + 1, line.chars().count()));
        }
    }
    assert!(long.is_empty(), "{} lines are longer than {width} characters:\n{}", long.len(), long.join("\n"));
}
