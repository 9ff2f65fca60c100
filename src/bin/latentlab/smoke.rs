//! The smoke setting of a notebook: the values of its knobs with which it runs through in a minute, for tests.
//!
//! The knobs' cell carries it as metadata, `{"latentlab": {"smoke": {"epochs": "1", "(rate, size)": "(0.1, 500)"}}}`: what
//! stands between `let` and the type or the `=` of a line in that cell, and the value that it gets instead of its own.

use crate::project::Outcome;
use serde_json::Value;
use std::path::Path;

/// The cells of a notebook that its smoke setting changes: the place among all cells, and the new source. None for a notebook
/// without one.
pub fn changed_cells(notebook: &Path) -> Outcome<Vec<(usize, String)>> {
    let text = std::fs::read_to_string(notebook).map_err(|error| format!("cannot read it ({error})"))?;
    let notebook: Value = serde_json::from_str(&text).map_err(|error| format!("not a notebook ({error})"))?;
    let cells = notebook["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
    let with_setting = cells.iter().enumerate().filter_map(|(index, cell)| {
        let setting = cell["metadata"]["latentlab"].get("smoke")?;
        Some(changed(&source(cell), setting).map(|source| (index, source)))
    });
    with_setting.collect()
}

/// A cell's source, which may be stored in lines.
fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        source => source.as_str().unwrap_or_default().to_owned(),
    }
}

/// The source with the values that the setting names.
fn changed(source: &str, setting: &Value) -> Outcome<String> {
    let setting = setting.as_object().ok_or_else(|| format!("a smoke setting is an object of names, not {setting}"))?;
    setting.iter().try_fold(source.to_owned(), |source, (name, value)| {
        let value = value
            .as_str()
            .ok_or_else(|| format!("the smoke setting of {name} is Rust code in quotes, such as \"1\", not {value}"))?;
        let (start, end) = value_of(&source, name)
            .ok_or_else(|| format!("the smoke setting names {name}, but its cell has no line `let {name} = …;`"))?;
        Ok(format!("{}{value}{}", &source[..start], &source[end..]))
    })
}

/// Where the value of `let NAME: TYPE = VALUE;` begins and ends. The line begins with `let`; the value may go on over several.
fn value_of(source: &str, name: &str) -> Option<(usize, usize)> {
    let mut line_start = 0;
    for line in source.split_inclusive('\n') {
        let declared = line.trim_start().strip_prefix("let ").map(|rest| rest.strip_prefix("mut ").unwrap_or(rest));
        let rest = declared.and_then(|declared| declared.strip_prefix(name)).map(str::trim_start);
        if let Some(rest) = rest
            && rest.starts_with([':', '='])
        {
            let start = line_start + line.len() - rest.len() + rest.find('=')? + 1;
            let start = start + source[start..].len() - source[start..].trim_start().len();
            return Some((start, start + end_of_statement(&source[start..])?));
        }
        line_start += line.len();
    }
    None
}

/// The first semicolon outside all brackets.
fn end_of_statement(code: &str) -> Option<usize> {
    let mut depth = 0;
    code.char_indices().find_map(|(index, character)| {
        depth += match character {
            '(' | '[' | '{' => 1,
            ')' | ']' | '}' => -1,
            _ => 0,
        };
        (character == ';' && depth == 0).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KNOBS: &str = "// let epochs = 7;\nlet epochs: usize = 20; // rounds\nlet epochs_of_all = [1; 3];\n\
        let (rate, size): (f64, usize) = if full { (0.1, 2); (0.2, 1) } else {\n    (0.3, 4)\n};\nlet mut last=1;";

    #[test]
    fn values_are_replaced_and_nothing_else() {
        let setting = json!({ "epochs": "1", "(rate, size)": "(0.5, 9)", "last": "2", "epochs_of_all": "[0; 3]" });
        let expected = "// let epochs = 7;\nlet epochs: usize = 1; // rounds\nlet epochs_of_all = [0; 3];\n\
            let (rate, size): (f64, usize) = (0.5, 9);\nlet mut last=2;";
        assert_eq!(changed(KNOBS, &setting).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_replaced_is_named() {
        for (setting, expected) in [
            (json!({ "epoch": "1" }), "the smoke setting names epoch, but its cell has no line `let epoch = …;`"),
            (json!({ "epochs": 1 }), "the smoke setting of epochs is Rust code in quotes, such as \"1\", not 1"),
            (json!(["epochs"]), "a smoke setting is an object of names, not [\"epochs\"]"),
        ] {
            assert_eq!(changed(KNOBS, &setting).unwrap_err(), expected);
        }
    }

    #[test]
    fn only_cells_with_a_setting_change() {
        let path = std::env::temp_dir().join(format!("latentlab-smoke-{}.ipynb", std::process::id()));
        let lines = json!(["let a = 5;\n", "let b = 6;"]);
        let cells = json!([
            { "cell_type": "markdown", "metadata": {}, "source": "let a = 1;" },
            { "cell_type": "code", "metadata": { "latentlab": { "smoke": { "b": "0" } } }, "source": lines },
            { "cell_type": "code", "metadata": { "latentlab": {} }, "source": "let b = 1;" },
        ]);
        let cells_of = |content: &str| {
            std::fs::write(&path, content).unwrap();
            changed_cells(&path)
        };
        assert_eq!(
            cells_of(&json!({ "cells": cells }).to_string()),
            Ok(vec![(1, "let a = 5;\nlet b = 0;".to_owned())])
        );
        assert_eq!(cells_of(&json!({ "cells": [] }).to_string()), Ok(vec![]));
        assert!(cells_of("no").unwrap_err().contains("not a notebook"));
        std::fs::remove_file(path).unwrap();
    }
}
