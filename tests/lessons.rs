//! The form of the lessons in `notebooks`: what a reader can rely on in each of them.

use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

const INDEX: &str = "00_start_here.ipynb";

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/notebooks"))
}

/// The files `NN_….ipynb`.
fn notebooks() -> BTreeSet<String> {
    let is_numbered = |name: &String| name.len() > 3 && name[..2].parse::<u8>().is_ok() && name.ends_with(".ipynb");
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(is_numbered).collect()
}

fn solutions(lesson: &str) -> String {
    lesson.replace(".ipynb", "_solutions.ipynb")
}

/// The lessons: all but the index and the solutions.
fn lessons() -> Vec<String> {
    notebooks().into_iter().filter(|name| name != INDEX && !name.ends_with("_solutions.ipynb")).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

struct Cell {
    is_code: bool,
    source: String,
    tags: Value,
    smoke: Value,
    outputs: Vec<Value>,
}

fn cells(name: &str) -> Vec<Cell> {
    let content = fs::read_to_string(folder().join(name)).unwrap();
    let notebook: Value = serde_json::from_str(&content).unwrap_or_else(|error| panic!("{name}: {error}"));
    let cell = |cell: &Value| Cell {
        is_code: cell["cell_type"] == "code",
        source: text(&cell["source"]),
        tags: cell["metadata"]["tags"].clone(),
        smoke: cell["metadata"]["latentlab"]["smoke"].clone(),
        outputs: cell["outputs"].as_array().cloned().unwrap_or_default(),
    };
    notebook["cells"].as_array().unwrap_or_else(|| panic!("{name}: no cells")).iter().map(cell).collect()
}

#[test]
fn the_index_links_every_lesson_and_each_lesson_its_solutions() {
    let links = |name: &str, to: &str| {
        let linked = cells(name).iter().any(|cell| !cell.is_code && cell.source.contains(&format!("]({to})")));
        assert!(linked, "{name} has no link to {to}");
    };
    for lesson in lessons() {
        links(INDEX, &lesson);
        assert!(notebooks().contains(&solutions(&lesson)), "{lesson} has no solutions");
        links(&lesson, &solutions(&lesson));
        links(&solutions(&lesson), &lesson);
    }
    for notebook in notebooks().iter().filter(|name| name.ends_with("_solutions.ipynb")) {
        let lesson = notebook.replace("_solutions", "");
        assert!(notebooks().contains(&lesson), "{notebook} belongs to no lesson");
    }
}

#[test]
fn lessons_are_short_steps_with_text_before_each() {
    for lesson in lessons() {
        let cells = cells(&lesson);
        let code_cells = cells.iter().filter(|cell| cell.is_code).count();
        assert!((11..=18).contains(&code_cells), "{lesson}: {code_cells} code cells");
        assert!(!cells[0].is_code && cells[0].source.starts_with("# "), "{lesson} begins without a headline");
        // The first code cell imports, the second holds the settings; each follows a text.
        for pair in cells.windows(2).filter(|pair| pair[1].is_code) {
            assert!(!pair[0].is_code, "{lesson}: no text before the cell {:?}", pair[1].source);
        }
    }
    for notebook in notebooks() {
        for cell in cells(&notebook).iter().filter(|cell| cell.is_code) {
            let lines = cell.source.lines().count();
            assert!(lines <= 15, "{notebook}: {lines} lines in the cell {:?}", cell.source);
        }
    }
}

/// `cargo latentlab run --smoke` finds what it replaces, and `--parameter` its cell.
#[test]
fn the_settings_have_smoke_values() {
    for notebook in notebooks() {
        let cells = cells(&notebook);
        let settings: Vec<&Cell> = cells.iter().filter(|cell| !cell.smoke.is_null()).collect();
        let is_lesson = notebook != INDEX && !notebook.ends_with("_solutions.ipynb");
        assert!(settings.len() <= 1 && (settings.len() == 1 || !is_lesson), "{notebook}: {} settings", settings.len());
        for cell in settings {
            assert_eq!(
                cell.tags,
                serde_json::json!(["parameters"]),
                "{notebook}: its settings are not tagged `parameters`"
            );
            for (name, value) in cell.smoke.as_object().unwrap_or_else(|| panic!("{notebook}: {}", cell.smoke)) {
                assert!(value.is_string(), "{notebook}: the smoke setting of {name} is not a string");
                let declared = |line: &str| {
                    let rest = line
                        .strip_prefix("let ")
                        .and_then(|line| line.trim_start_matches("mut ").strip_prefix(name.as_str()));
                    rest.is_some_and(|rest| rest.trim_start().starts_with([':', '=']))
                };
                assert!(cell.source.lines().any(declared), "{notebook}: no `let {name}` among the settings");
            }
        }
    }
}

#[test]
fn committed_outputs_are_complete_small_and_name_no_machine() {
    for notebook in notebooks() {
        let size = fs::metadata(folder().join(&notebook)).unwrap().len();
        assert!(size < 2_000_000, "{notebook} has {size} bytes");
        let cells = cells(&notebook);
        assert!(cells.iter().any(|cell| !cell.outputs.is_empty()), "{notebook} has no outputs");
        for output in cells.iter().flat_map(|cell| &cell.outputs) {
            assert!(output["output_type"] != "error" && output["name"] != "stderr", "{notebook}: {output}");
            let plain = text(&output["data"]["text/plain"]);
            assert!(!plain.starts_with("Figure("), "{notebook}: a figure is followed by its text: {plain}");
            let mut shown = text(&output["text"]);
            for (kind, data) in output["data"].as_object().into_iter().flatten() {
                assert!(!kind.contains("latentlab.error"), "{notebook}: {data}");
                if !kind.starts_with("image/png") {
                    shown += &text(data);
                }
            }
            for path in ["/home/", "/Users/", "/root/", "/tmp/", ":\\"] {
                assert!(!shown.contains(path), "{notebook} shows a path of a machine: {path}");
            }
        }
    }
}
