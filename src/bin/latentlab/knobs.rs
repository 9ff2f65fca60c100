//! The knobs of a notebook, its parameters for a reader to change: set from outside for one run.
//!
//! They are lines `let NAME: TYPE = VALUE;` in one cell, which has the tag `parameters` (as for papermill).
//! `--parameter NAME=VALUE` replaces a value. The cell may also have a smoke setting, values with which the notebook
//! runs in a minute, for tests: the metadata `{"latentlab": {"smoke": {"epochs": "1", "(rate, size)": "(0.1, 500)"}}}`.

use crate::ipynb::{cells, has_tag, source};
use crate::project::Outcome;
use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;
use std::ops::Range;

/// A knob's name, and its value for this run as Rust code.
pub type Parameter = (String, String);

/// Parses `NAME=VALUE` from the command line.
pub fn parameter(text: &str) -> Result<Parameter, String> {
    match text.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as epochs=5".to_owned()),
    }
}

/// The cells to change before a notebook is run: index and new source.
pub fn changed_cells(notebook: &Value, smoke: bool, parameters: &[Parameter]) -> Outcome<Vec<(usize, String)>> {
    let cells = cells(notebook);
    let mut changed = Vec::new();
    for (index, cell) in cells.iter().enumerate().filter(|_| smoke) {
        if let Some(setting) = smoke_of(cell) {
            changed.push((index, with_smoke(&source(cell), setting)?));
        }
    }
    if parameters.is_empty() {
        return Ok(changed);
    }
    let knobs = cells
        .iter()
        .position(|cell| cell["cell_type"] == "code" && has_tag(cell, "parameters"))
        .or_else(|| cells.iter().position(|cell| cell["cell_type"] == "code" && smoke_of(cell).is_some()))
        .ok_or("--parameter: it has no knobs, which are the code cell with the tag `parameters`")?;
    let smoked = changed.iter().position(|(index, _)| *index == knobs).map(|place| changed.swap_remove(place).1);
    let mut code = smoked.unwrap_or_else(|| source(&cells[knobs]));
    for (name, value) in parameters {
        code = with_value(&code, name, value).ok_or_else(|| {
            let names: Vec<String> = declarations(&code).into_iter().map(|knob| knob.pattern).collect();
            format!("--parameter: it has no knob {name}; its knobs are {}", names.join(", "))
        })?;
    }
    changed.push((knobs, code));
    Ok(changed)
}

fn smoke_of(cell: &Value) -> Option<&Value> {
    cell["metadata"]["latentlab"].get("smoke")
}

/// The source with the values of the setting.
fn with_smoke(source: &str, setting: &Value) -> Outcome<String> {
    let setting = setting.as_object().ok_or_else(|| format!("a smoke setting is an object of names, not {setting}"))?;
    setting.iter().try_fold(source.to_owned(), |source, (name, value)| {
        let value = value
            .as_str()
            .ok_or_else(|| format!("the smoke setting of {name} is Rust code in quotes, such as \"1\", not {value}"))?;
        with_value(&source, name, value)
            .ok_or_else(|| format!("the smoke setting names {name}, but its cell has no line `let {name} = …;`"))
    })
}

/// The source with another value of a knob: of the last `let` with this pattern, or with this name in a tuple pattern.
fn with_value(source: &str, name: &str, value: &str) -> Option<String> {
    let declarations = declarations(source);
    let replaced = |Declaration { value: old, .. }: &Declaration, value: &str| {
        format!("{}{value}{}", &source[..old.start], &source[old.end..])
    };
    if let Some(knob) = declarations.iter().rev().find(|knob| knob.pattern == name) {
        return Some(replaced(knob, value));
    }
    declarations.iter().rev().find_map(|knob| {
        let names: Vec<&str> = knob.pattern.strip_prefix('(')?.strip_suffix(')')?.split(',').map(str::trim).collect();
        let is_name =
            |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ' ');
        let is_named = |part: &&str| part.trim_start_matches("mut ") == name;
        if !names.iter().all(is_name) || !names.iter().any(is_named) {
            return None;
        }
        // The other names keep their values, however they are computed.
        let parts = names.iter().enumerate().map(|(index, part)| match is_named(part) {
            true => value.to_owned(),
            false => format!("knobs.{index}"),
        });
        let parts = parts.collect::<Vec<_>>().join(", ");
        Some(replaced(knob, &format!("{{ let knobs = {}; ({parts}) }}", &source[knob.value.clone()])))
    })
}

/// A line `let PATTERN: TYPE = VALUE;`, with the byte range of its value.
struct Declaration {
    pattern: String,
    value: Range<usize>,
}

/// The declarations outside all brackets. Each begins its line with `let`; the value may span several lines. There are
/// none in code that is not even made of Rust's tokens.
fn declarations(source: &str) -> Vec<Declaration> {
    let tokens: Vec<TokenTree> = source.parse::<TokenStream>().into_iter().flatten().collect();
    let begins_line = |token: &TokenTree| {
        let before = source[..token.span().byte_range().start].rsplit('\n').next();
        before.is_none_or(|before| before.trim().is_empty())
    };
    let is_let = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "let") && begins_line(token);
    let starts = tokens.iter().enumerate().filter(|(_, token)| is_let(token));
    starts.filter_map(|(start, _)| declaration(source, &tokens[start + 1..])).collect()
}

/// The declaration whose tokens follow this `let`.
fn declaration(source: &str, tokens: &[TokenTree]) -> Option<Declaration> {
    let tokens = match tokens {
        [TokenTree::Ident(word), rest @ ..] if word == "mut" => rest,
        _ => tokens,
    };
    let find = |within: &[TokenTree], wanted: char| {
        within.iter().position(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == wanted))
    };
    let end = find(tokens, ';')?;
    let equals = find(&tokens[..end], '=').filter(|equals| equals + 1 < end)?;
    let colon = find(&tokens[..equals], ':').unwrap_or(equals);
    let start_of = |index: usize| tokens[index].span().byte_range().start;
    let pattern = source[start_of(0)..start_of(colon)].trim().to_owned();
    Some(Declaration { pattern, value: start_of(equals + 1)..start_of(end) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipynb::parse;
    use crate::mutate::Mutator;
    use serde_json::json;

    const KNOBS: &str = "// let epochs = 7;\nlet epochs: usize = 20; // rounds\nlet epochs_of_all = [1; 3];\n\
        let (rate, size): (f64, usize) = if full { (0.1, 2); (0.2, 1) } else {\n    (0.3, 4)\n};\nlet mut last=1;";

    fn set(source: &str, name: &str, value: &str) -> String {
        with_value(source, name, value).unwrap_or_else(|| panic!("no {name} in {source}"))
    }

    #[test]
    fn only_values_are_replaced() {
        let setting = json!({ "epochs": "1", "(rate, size)": "(0.5, 9)", "last": "2", "epochs_of_all": "[0; 3]" });
        let expected = "// let epochs = 7;\nlet epochs: usize = 1; // rounds\nlet epochs_of_all = [0; 3];\n\
            let (rate, size): (f64, usize) = (0.5, 9);\nlet mut last=2;";
        assert_eq!(with_smoke(KNOBS, &setting).unwrap(), expected);
    }

    #[test]
    fn in_a_tuple_pattern_the_other_names_keep_their_values() {
        let source = "let (a, mut b, c): (u8, u8, u8) = if full { (1, 2, 3) } else { (4, 5, 6) };";
        assert_eq!(
            set(source, "b", "9"),
            "let (a, mut b, c): (u8, u8, u8) = { let knobs = if full { (1, 2, 3) } else { (4, 5, 6) }; \
             (knobs.0, 9, knobs.2) };"
        );
        for (source, name) in [("let (a, (b, c)) = x;", "a"), ("let (a, ..) = x;", "a"), ("let [a, b] = x;", "a")] {
            assert_eq!(with_value(source, name, "1"), None, "{source}");
        }
    }

    #[test]
    fn semicolons_brackets_and_declarations_in_literals_and_comments_are_ignored() {
        for (source, expected) in [
            ("let a = \"x; (\"; // }", "let a = 1; // }"),
            ("let a = r#\"\"; {\"#; let b = 2;", "let a = 1; let b = 2;"),
            ("let a = [';', '\\'', '\"', '('];", "let a = 1;"),
            ("let a: &'static str = \"é;\\\";\";", "let a: &'static str = 1;"),
            ("/* let a = 3; /* } */ */\nlet a = 2;", "/* let a = 3; /* } */ */\nlet a = 1;"),
            ("let b = \"\nlet a = 2;\";\nlet a = 4;", "let b = \"\nlet a = 2;\";\nlet a = 1;"),
            ("fn f() {\n    let a = 2;\n}\nlet a = 4;", "fn f() {\n    let a = 2;\n}\nlet a = 1;"),
            ("let a = 2;\nlet a = a + 1;", "let a = 2;\nlet a = 1;"),
            ("let mut a: [u8; 2]\n    = [2; 2];", "let mut a: [u8; 2]\n    = 1;"),
            ("let a = br\"\\\"; let b = 1;", "let a = 1; let b = 1;"),
        ] {
            assert_eq!(set(source, "a", "1"), expected);
        }
        for source in
            ["let a;", "let a = 1", "let", "let a", "// let a = 1;", "\"let a = 1;", "let ab = 1;", "'", "let a = r#\""]
        {
            assert_eq!(with_value(source, "a", "2"), None, "{source}");
        }
    }

    #[test]
    fn an_unknown_knob_is_named() {
        for (setting, expected) in [
            (json!({ "epoch": "1" }), "the smoke setting names epoch, but its cell has no line `let epoch = …;`"),
            (json!({ "epochs": 1 }), "the smoke setting of epochs is Rust code in quotes, such as \"1\", not 1"),
            (json!(["epochs"]), "a smoke setting is an object of names, not [\"epochs\"]"),
        ] {
            assert_eq!(with_smoke(KNOBS, &setting).unwrap_err(), expected);
        }
    }

    fn cell(kind: &str, source: Value, metadata: Value) -> Value {
        json!({ "cell_type": kind, "metadata": metadata, "source": source })
    }

    #[test]
    fn only_cells_with_a_setting_change() {
        let smoke = |setting: Value| json!({ "latentlab": { "smoke": setting } });
        let notebook = json!({ "cells": [
            cell("markdown", json!("let a = 1;"), json!({ "tags": ["parameters"] })),
            cell("code", json!(["let a = 5;\n", "let b = 6;"]), smoke(json!({ "b": "0" }))),
            cell("code", json!("let b = 1;"), json!({ "latentlab": {} })),
        ] });
        let parameters = |pairs: &[&str]| pairs.iter().map(|pair| parameter(pair).unwrap()).collect::<Vec<_>>();
        let changed = |smoke, pairs: &[&str]| changed_cells(&notebook, smoke, &parameters(pairs));
        assert_eq!(changed(true, &[]), Ok(vec![(1, "let a = 5;\nlet b = 0;".to_owned())]));
        assert_eq!(changed(false, &[]), Ok(vec![]));
        // A parameter overrides the smoke setting, and a later parameter an earlier one.
        let expected = Ok(vec![(1, "let a = 7;\nlet b = 8;".to_owned())]);
        assert_eq!(changed(true, &["a = 1", "b=8", "a=7"]), expected);
        assert_eq!(changed(false, &["c=1"]).unwrap_err(), "--parameter: it has no knob c; its knobs are a, b");
    }

    #[test]
    fn the_knobs_are_in_the_cell_tagged_parameters() {
        let tagged = |tag: &str| {
            let smoked = cell("code", json!("let a = 1;"), json!({ "latentlab": { "smoke": {} } }));
            json!({ "cells": [smoked, cell("code", json!("let a = 2;"), json!({ "tags": [tag] }))] })
        };
        let changed = |tag| changed_cells(&tagged(tag), false, &[("a".to_owned(), "9".to_owned())]).unwrap();
        assert_eq!(changed("parameters"), [(1, "let a = 9;".to_owned())]);
        assert_eq!(changed("other"), [(0, "let a = 9;".to_owned())]);
        let none = json!({ "cells": [cell("code", json!("let a = 1;"), json!({}))] });
        let error = changed_cells(&none, false, &[("a".to_owned(), "9".to_owned())]).unwrap_err();
        assert!(error.contains("no knobs") && error.contains("`parameters`"), "{error}");
    }

    #[test]
    fn a_parameter_is_a_name_with_a_value() {
        assert_eq!(parameter("a=b == c"), Ok(("a".to_owned(), "b == c".to_owned())));
        for wrong in ["a", "=1", "a=", "a = ", ""] {
            assert!(parameter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn damaged_notebooks_are_refused_or_valid() {
        let code = "let epochs: usize = 5; // \"é\nlet (a, b) = if x { (1, 2) } else { ('\\'', r#\"\"#) };";
        let mut original = json!({ "nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            { "cell_type": "code", "id": "a", "metadata": {}, "source": code, "outputs": [], "execution_count": null }
        ] });
        original["cells"][0]["metadata"] =
            json!({ "tags": ["parameters"], "latentlab": { "smoke": { "epochs": "1" } } });
        original["cells"][0]["outputs"] = json!([{ "output_type": "stream", "name": "stdout", "text": ["1\n", "2"] }]);
        let text = serde_json::to_vec_pretty(&original).unwrap();
        let other = include_bytes!("../../../notebooks/00_start_here.ipynb");
        let (mut mutator, mut counts) = (Mutator::new(13), [0; 3]);
        let parameters = [("a".to_owned(), "7".to_owned())];
        for _ in 0..10_000 {
            let damaged = mutator.damage(&text, &other[..4_000]);
            let outcome = parse(&damaged);
            counts[match &outcome {
                Err(_) => 0,
                Ok(read) if *read == original => 1,
                Ok(_) => 2,
            }] += 1;
            if let Ok(read) = outcome {
                for (index, source) in
                    [true, false].into_iter().flat_map(|smoke| changed_cells(&read, smoke, &parameters)).flatten()
                {
                    assert!(index < cells(&read).len() && !source.is_empty());
                }
                assert_eq!(parse(read.to_string().as_bytes()), Ok(read), "what was read can be read again");
            }
        }
        let [refused, equal, changed] = counts;
        println!("10000 mutations: {refused} refused, {equal} read as the same notebook, {changed} as another one");
        assert!(refused > 4_000 && equal > 100, "{counts:?}");
    }
}
