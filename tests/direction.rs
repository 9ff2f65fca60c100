//! Data flows one way: a module uses only the modules to its left.

use std::{fs, path::Path};

const ORDER: [&str; 17] = [
    "error", "limit", "file", "format", "random", "relay", "progress", "stop", "data", "engine", "nn", "model",
    "measure", "train", "analyse", "show", "jupyter",
];

/// Every `crate::module` in the code of a folder or file, doc comments and tests aside, with the place.
fn uses(path: &Path, found: &mut Vec<(String, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            uses(&entry.unwrap().path(), found);
        }
        return;
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    for part in code.split("crate::").skip(1) {
        let names = match part.strip_prefix('{') {
            Some(list) => top_level_names(list),
            None => vec![leading_name(part)],
        };
        found.extend(names.into_iter().map(|name| (path.display().to_string(), name)));
    }
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
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (rank, module) in ORDER.iter().enumerate() {
        let mut found = Vec::new();
        let folder = source.join(module);
        uses(&if folder.is_dir() { folder } else { source.join(format!("{module}.rs")) }, &mut found);
        for (place, used) in found {
            let Some(other) = ORDER.iter().position(|name| *name == used) else { continue };
            seen += 1;
            assert!(other <= rank, "{place} uses {used}, which comes after {module} in {ORDER:?}");
        }
    }
    assert!(seen > 50, "only {seen} uses found: this test no longer reads the code as it is written");
    let declared = fs::read_to_string(source.join("lib.rs")).unwrap();
    for module in declared.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")) {
        assert!(ORDER.contains(&module.trim_end_matches(';')), "{module} has no place in {ORDER:?}");
    }
}

#[test]
fn the_reader_of_this_test_sees_nested_lists() {
    assert_eq!(top_level_names(" error::{Error, Result}, nn::Loss, train, }; rest"), ["error", "nn", "train"]);
}
