//! Notebook files: validates those that are read, and marks those that `latentlab run` writes, to recognise them later.

use crate::project::{Outcome, cannot, read_bytes, write};
use crate::whole::hex;
use same_file::is_same_file;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// A notebook of format 4 whose cells have a type, a source and metadata. The error does not name the file.
pub fn read(path: &Path) -> Outcome<Value> {
    parse(&read_bytes(path)?)
}

pub fn parse(bytes: &[u8]) -> Outcome<Value> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not a notebook: not UTF-8 ({error})"))?;
    // Some editors on Windows write a byte-order mark.
    let mut notebook = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
        .map_err(|error| format!("not a notebook: it cannot be read as JSON ({error})"))?;
    complete(&mut notebook)?;
    Ok(notebook)
}

/// Validates a notebook, and adds optional fields that are missing: metadata, a code cell's outputs and count.
fn complete(notebook: &mut Value) -> Outcome<()> {
    let wrong =
        |what: &str, expected: &str, got: &Value| Err(format!("{what}: expected {expected}, got {}", kind(got)));
    let Some(notebook) = notebook.as_object_mut() else {
        return wrong("not a notebook", "an object with nbformat and cells", notebook);
    };
    match notebook.get("nbformat").unwrap_or(&Value::Null) {
        Value::Number(format) if format.as_u64() == Some(4) => {}
        Value::Number(format) => {
            return Err(format!(
                "expected a notebook of nbformat 4, got {format}. Open it in JupyterLab and save it: that converts it"
            ));
        }
        other => return wrong("not a notebook: nbformat", "the number 4", other),
    }
    let minor = notebook.entry("nbformat_minor").or_insert(json!(5));
    if minor.as_u64().is_none_or(|minor| minor >= 1000) {
        return wrong("nbformat_minor", "a small whole number", minor);
    }
    complete_metadata(notebook, "the notebook's metadata")?;
    let cells = notebook.entry("cells").or_insert(Value::Null);
    let Some(cells) = cells.as_array_mut() else { return wrong("not a notebook: cells", "a list", cells) };
    for (index, cell) in cells.iter_mut().enumerate() {
        let place = |what: &str| format!("cell {}{what}", index + 1);
        let Some(cell) = cell.as_object_mut() else { return wrong(&place(""), "an object", cell) };
        let kind = cell.get("cell_type").unwrap_or(&Value::Null);
        let is_code = kind == "code";
        if !is_code && kind != "markdown" && kind != "raw" {
            let got = kind.as_str().map_or_else(|| self::kind(kind), |kind| format!("{kind:.40?}"));
            return Err(format!("{}: expected code, markdown or raw, got {got}", place(", cell_type")));
        }
        let source = cell.get("source").unwrap_or(&Value::Null);
        if !is_text(source) {
            return wrong(&place(", source"), "text or a list of lines", source);
        }
        complete_metadata(cell, &place(", metadata"))?;
        let tags = &cell["metadata"]["tags"];
        if !tags.is_null() && !tags.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)) {
            return wrong(&place(", tags"), "a list of names", tags);
        }
        if is_code {
            let outputs = cell.entry("outputs").or_insert_with(|| json!([]));
            if !outputs.as_array().is_some_and(|outputs| outputs.iter().all(|output| output["output_type"].is_string()))
            {
                return wrong(&place(", outputs"), "a list of objects with an output_type", outputs);
            }
            let count = cell.entry("execution_count").or_insert(Value::Null);
            if !count.is_null() && !count.is_u64() {
                return wrong(&place(", execution_count"), "a count or null", count);
            }
        }
    }
    Ok(())
}

fn complete_metadata(object: &mut Map<String, Value>, place: &str) -> Outcome<()> {
    match object.entry("metadata").or_insert_with(|| json!({})) {
        Value::Object(_) => Ok(()),
        other => Err(format!("{place}: expected an object, got {}", kind(other))),
    }
}

fn is_text(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|lines| lines.iter().all(Value::is_string))
}

/// Describes a JSON value.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The cells of a notebook that has been read.
pub fn cells(notebook: &Value) -> &[Value] {
    notebook["cells"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A cell's source, which may be stored as a list of lines.
pub fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        source => source.as_str().unwrap_or_default().to_owned(),
    }
}

pub fn has_tag(cell: &Value, tag: &str) -> bool {
    cell["metadata"]["tags"].as_array().is_some_and(|tags| tags.iter().any(|name| name == tag))
}

/// The two files that a notebook is executed into.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    pub ipynb: PathBuf,
    pub html: PathBuf,
}

impl Outputs {
    /// In this folder, with the stem of the notebook's name: `v1.0.ipynb` becomes `v1.0.ipynb` and `v1.0.html`.
    pub fn of(notebook: &Path, folder: &Path) -> Self {
        let with = |extension: &str| {
            let mut name = notebook.file_stem().unwrap_or_default().to_owned();
            name.push(extension);
            folder.join(name)
        };
        Self { ipynb: with(".ipynb"), html: with(".html") }
    }

    pub fn both(&self) -> [&Path; 2] {
        [&self.ipynb, &self.html]
    }

    /// Refuses to replace files that `run` has not written for the same notebook, and files edited since.
    pub fn may_be_written(&self, notebook: &Path) -> Outcome<()> {
        self.both().into_iter().try_for_each(|output| {
            may_replace(output, notebook).map_err(|reason| {
                format!("{}: {reason}. Move or delete it, or choose another folder by --out", output.display())
            })
        })
    }

    /// Writes the results of `execute.py`.
    pub fn write(&self, notebook: &Path, executed: &Value) -> Outcome<()> {
        // Checked again, because an hour may have passed since the first check.
        self.may_be_written(notebook)?;
        if let Some(text) = executed["ipynb"].as_str() {
            write(&self.ipynb, text)?;
        }
        if let Some(page) = executed["html"].as_str() {
            let page = format!("{}\n", page.trim_end());
            let place = place(notebook, &self.html);
            write(&self.html, &format!("{page}{HTML_MARK}{place} {} -->\n", hex(&Sha256::digest(&page))))?;
        }
        executed["reason"].as_str().map_or(Ok(()), |reason| Err(reason.to_owned()))
    }
}

/// The metadata `latentlab` of an executed notebook. The paths of both files are only in a digest: a notebook that is
/// passed on does not reveal anyone's folders.
pub fn mark(executed: &Value, notebook: &Path, output: &Path) -> Value {
    let name = notebook.file_name().unwrap_or_default().to_string_lossy();
    json!({ "executed_from": name, "place": place(notebook, output), "cells": digest_of_cells(executed) })
}

/// A digest of the notebook's path relative to its output's folder, which does not change when a project is moved.
pub fn place(notebook: &Path, output: &Path) -> String {
    let folder = output.parent().unwrap_or(Path::new(""));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let shared = notebook.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let mut sum = Sha256::new();
    for part in up.chain(notebook.components().skip(shared)) {
        sum.update(part.as_os_str().as_encoded_bytes());
        sum.update("/");
    }
    short(sum)
}

/// A digest of what people edit in a notebook: the cells' types and sources.
fn digest_of_cells(notebook: &Value) -> String {
    let mut sum = Sha256::new();
    for cell in cells(notebook) {
        let source = source(cell);
        sum.update(format!("{} {}\n", cell["cell_type"], source.len()));
        sum.update(source);
    }
    short(sum)
}

fn short(sum: Sha256) -> String {
    hex(&sum.finalize()[..16])
}

/// Begins the last line of an HTML page, before the digest of the notebook's path and the SHA-256 of all earlier lines.
const HTML_MARK: &str = "<!-- latentlab run ";

fn may_replace(output: &Path, notebook: &Path) -> Outcome<()> {
    match fs::symlink_metadata(output) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot read it ({error})")),
        Ok(found) if !found.is_file() => return Err("`latentlab run` has not written it: it is not a file".to_owned()),
        Ok(_) => {}
    }
    let bytes = read_bytes(output)?;
    let foreign = || "`latentlab run` has not written it".to_owned();
    let changed = || "it has been changed since `latentlab run` wrote it".to_owned();
    let is_html = output.extension().is_some_and(|extension| extension == "html");
    let (from, whole) = if is_html {
        let text = std::str::from_utf8(&bytes).map_err(|_| foreign())?;
        let start = text.rfind(HTML_MARK).ok_or_else(foreign)?;
        let mut words = text[start + HTML_MARK.len()..].split_whitespace();
        let (from, sum) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let found = hex(&Sha256::digest(&bytes[..start]));
        (from.to_owned(), sum == found && words.next() == Some("-->") && words.next().is_none())
    } else {
        let executed = parse(&bytes).map_err(|_| foreign())?;
        let mark = &executed["metadata"]["latentlab"];
        let from = mark["executed_from"].as_str().and_then(|_| mark["place"].as_str()).ok_or_else(foreign)?;
        (from.to_owned(), mark["cells"] == digest_of_cells(&executed))
    };
    if !whole {
        return Err(changed());
    }
    if from != place(notebook, output) {
        return Err("`latentlab run` wrote it for a notebook elsewhere".to_owned());
    }
    Ok(())
}

/// The outputs of each notebook. Refused are two outputs of the same name, an output that would replace a notebook, and
/// one that would replace a file that `run` has not written.
pub fn outputs(notebooks: &[PathBuf], out: Option<&Path>) -> Outcome<Vec<(PathBuf, Outputs)>> {
    let mut planned: Vec<(PathBuf, Outputs)> = Vec::new();
    for notebook in notebooks {
        let path = notebook.canonicalize().map_err(cannot("find", notebook))?;
        let beside = path.parent().unwrap_or(Path::new("")).join("executed");
        let folder = out.unwrap_or(&beside);
        if folder.exists() && !folder.is_dir() {
            return Err(format!("{}: it is a file; the executed notebooks go into a folder.", folder.display()));
        }
        let outputs = Outputs::of(&path, folder);
        // In some file systems, `A` and `a` are the same name.
        let name = |outputs: &Outputs| outputs.ipynb.to_string_lossy().to_lowercase();
        if let Some((other, _)) = planned.iter().find(|(_, other)| name(other) == name(&outputs)) {
            return Err(format!(
                "{} and {} would both be executed into {}. Rename one, or run them separately, each with its own --out \
                 folder.",
                other.display(),
                path.display(),
                outputs.ipynb.display()
            ));
        }
        planned.push((path, outputs));
    }
    for (notebook, outputs) in &planned {
        for output in outputs.both() {
            if let Some((replaced, _)) = planned.iter().find(|(input, _)| is_same_file(output, input).unwrap_or(false))
            {
                return Err(format!(
                    "{}: the executed notebook would replace {}. Choose another folder by --out.",
                    output.display(),
                    replaced.display()
                ));
            }
        }
        outputs.may_be_written(notebook).map_err(|error| format!("{error}."))?;
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    /// A folder for this test, by its real path.
    fn folder(test: &str) -> Folder {
        let mut folder = Folder::new(&format!("notebook-{test}"));
        folder.0 = folder.0.canonicalize().unwrap();
        folder
    }

    fn notebook(source: &str) -> Value {
        json!({ "nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            { "cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": [], "execution_count": null }
        ] })
    }

    /// Writes the outputs as `run` does, with a page of one line.
    fn execute(path: &Path, outputs: &Outputs) -> Outcome<()> {
        let mut executed = read(path)?;
        executed["metadata"]["latentlab"] = mark(&executed, path, &outputs.ipynb);
        executed["cells"][0]["outputs"] = json!([{ "output_type": "stream", "name": "stdout", "text": "1" }]);
        outputs.write(path, &json!({ "ipynb": executed.to_string(), "html": "<p>1 <!-- latentlab run x --></p>\n" }))
    }

    #[test]
    fn outputs_keep_the_stem_of_the_name_and_stay_in_the_folder() {
        for (name, stem) in [
            ("v1.0.ipynb", "v1.0"),
            ("v1.ipynb", "v1"),
            ("..ipynb", "."),
            ("a", "a"),
            (".ipynb", ".ipynb"),
            ("a.b.c", "a.b"),
            ("...", ".."),
        ] {
            let outputs = Outputs::of(&Path::new("/x").join(name), Path::new("/out"));
            assert_eq!(
                outputs.both(),
                [Path::new(&format!("/out/{stem}.ipynb")), Path::new(&format!("/out/{stem}.html"))]
            );
            assert_eq!(outputs.ipynb.parent(), Some(Path::new("/out")), "{name}");
        }
    }

    #[test]
    fn only_outputs_of_the_same_notebook_are_replaced() {
        let folder = folder("own");
        let one = notebook("1").to_string();
        let (a, elsewhere) = (folder.write("a.ipynb", one.as_bytes()), folder.write("b/a.ipynb", one.as_bytes()));
        let result = Outputs::of(&a, &folder.0.join("out"));
        execute(&a, &result).unwrap();
        // Again, and after a change of the notebook.
        fs::write(&a, notebook("2").to_string()).unwrap();
        execute(&a, &result).unwrap();
        let kept = |path: &Path, content: &str, word: &str| {
            let whole = fs::read_to_string(path).unwrap();
            fs::write(path, content).unwrap();
            let error = execute(&a, &result).unwrap_err();
            assert!(
                error.contains(word) && error.contains(path.to_str().unwrap()) && error.contains("--out"),
                "{error}"
            );
            assert_eq!(fs::read_to_string(path).unwrap(), content);
            fs::write(path, whole).unwrap();
        };
        let (ipynb, html) = (fs::read_to_string(&result.ipynb).unwrap(), fs::read_to_string(&result.html).unwrap());
        for content in ["mine", "", &notebook("1").to_string(), "{}"] {
            kept(&result.ipynb, content, "has not written it");
            kept(&result.html, content, "has not written it");
        }
        kept(&result.ipynb, &ipynb.replace("\"source\":\"2\"", "\"source\":\"2 // mine\""), "has been changed");
        kept(&result.ipynb, &ipynb.replace("\"code\"", "\"raw\""), "has been changed");
        kept(&result.html, &html.replace("<p>1", "<p>my 1"), "has been changed");
        kept(&result.html, &format!("{html}mine"), "has been changed");
        // Jupyter stores a source as a list of lines: that is not a change.
        fs::write(&result.ipynb, ipynb.replace("\"source\":\"2\"", "\"source\":[\"2\"]")).unwrap();
        execute(&a, &result).unwrap();
        let error = execute(&elsewhere, &result).unwrap_err();
        assert!(error.contains("for a notebook elsewhere"), "{error}");
        assert!(!ipynb.contains(folder.0.to_str().unwrap()), "it reveals a folder: {ipynb}");
        fs::remove_file(&result.html).unwrap();
        fs::create_dir(&result.html).unwrap();
        assert!(execute(&a, &result).unwrap_err().contains("it is not a file"));
    }

    #[test]
    fn after_a_project_is_moved_its_outputs_are_recognised() {
        let folder = folder("moved");
        let one = folder.write("one/a.ipynb", notebook("1").to_string().as_bytes());
        execute(&one, &Outputs::of(&one, &folder.0.join("one/executed"))).unwrap();
        let two = folder.0.join("two");
        fs::rename(folder.0.join("one"), &two).unwrap();
        let moved = two.join("a.ipynb");
        execute(&moved, &Outputs::of(&moved, &two.join("executed"))).unwrap();
    }

    #[test]
    fn missing_optional_fields_are_added() {
        let cells = json!([{ "cell_type": "code", "source": [] }, { "cell_type": "raw", "source": "" }]);
        let short = json!({ "nbformat": 4, "cells": cells });
        let read = parse(short.to_string().as_bytes()).unwrap();
        assert_eq!((&read["nbformat_minor"], &read["metadata"]), (&json!(5), &json!({})));
        assert_eq!(
            super::cells(&read)[0],
            json!({ "cell_type": "code", "source": [], "metadata": {}, "outputs": [], "execution_count": null })
        );
        assert_eq!(super::cells(&read)[1], json!({ "cell_type": "raw", "source": "", "metadata": {} }));
        assert_eq!(parse(format!("\u{feff}{}", notebook("1")).as_bytes()), Ok(notebook("1")));
    }
}
