//! What cargo calls in place of rustc for the crate of a cell (`RUSTC_WORKSPACE_WRAPPER`).
//!
//! Most cells call the library and do nothing else that takes time: without optimisation they are compiled in less than
//! half of the time. A cell with a loop, with a closure, which may be the body of one, or with arithmetic, which may be
//! that of whole arrays, keeps the profile's optimisation, and so do all cells after a function with one.
//!
//! The store of variables, which evcxr writes into each cell, was a fifth to a third of that work: it is the library's.

use crate::command::become_program;
use crate::project::{Outcome, cannot};
use crate::whole::hex;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn install(folder: &Path) -> Outcome<PathBuf> {
    link(folder, "cell_compiler")
}

/// A link to this program that stays when the project is cleaned or built again; to one of another user, which no user
/// may link like that, one that names it.
pub fn link(folder: &Path, name: &str) -> Outcome<PathBuf> {
    let tool = std::env::current_exe().map_err(|error| format!("The tool cannot find itself ({error})."))?;
    let link = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).map_err(cannot("remove", &link))?;
    }
    #[cfg(unix)]
    if is_of_another_user(&tool) {
        std::os::unix::fs::symlink(&tool, &link).map_err(cannot("create", &link))?;
        return Ok(link);
    }
    fs::hard_link(&tool, &link).or_else(|_| fs::copy(&tool, &link).map(drop)).map_err(cannot("create", &link))?;
    Ok(link)
}

#[cfg(unix)]
fn is_of_another_user(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(file).is_ok_and(|found| found.uid() != rustix::process::geteuid().as_raw())
}

/// Whether cargo calls: with rustc's path, and then its arguments.
pub fn is_called(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|first| Path::new(first).file_stem() == Some(OsStr::new("rustc")))
}

/// Becomes rustc, called by its path and its arguments with these variables; returns only if that fails.
pub fn compile(arguments: &[OsString], variables: &BTreeMap<String, String>) -> std::io::Error {
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]).envs(variables);
    let path = arguments.iter().find(|argument| Path::new(argument).ends_with("ctx/src/lib.rs"));
    if let Some((path, mut source)) = path.and_then(|path| Some((path, fs::read_to_string(path).ok()?))) {
        let has_library = arguments.iter().any(|argument| argument.as_encoded_bytes().starts_with(b"latentlab="));
        if let Some(shorter) = with_library_store(&source).filter(|_| has_library)
            && fs::write(path, &shorter).is_ok()
        {
            source = shorter;
        }
        if only_calls(&source) {
            // The last one counts.
            command.args(["-C", "opt-level=0"]);
        }
    }
    become_program(command)
}

/// The digest of the module in evcxr 0.22: that of another version is left as it is.
const STORE: &str = "6aec0f4358cddd3961f5bd78c9f4f5fbd93761cd0efd856fd903ca5f896d7d64";

/// A cell with the library's store of variables in place of evcxr's own. The lines that follow keep their numbers, by
/// which evcxr finds the place of a mistake.
fn with_library_store(source: &str) -> Option<String> {
    let start = source.find("\nmod evcxr_internal_runtime {\n")? + 1;
    let end = start + source[start..].find(STORE_END)? + STORE_END.len();
    let module = &source[start..end];
    let lines = "\n".repeat(module.matches('\n').count());
    (hex(&Sha256::digest(module)) == STORE).then(|| {
        let (before, after) = (&source[..start], &source[end..]);
        format!("{before}use ::latentlab::jupyter::variables as evcxr_internal_runtime;{lines}{after}")
    })
}

/// The end of its last function, and of the module.
const STORE_END: &str = "\n}\n}\n";

/// Whether nothing in the source of a cell is a loop or may be the body of one, but for what evcxr writes around it.
fn only_calls(source: &str) -> bool {
    let Ok(tokens) = source.parse::<TokenStream>() else { return false };
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_block =
        |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let items = tokens.split_inclusive(is_block);
    let mut others = items.filter(|item| !is_kernels(item));
    !others.any(|item| may_loop(item.iter().cloned().collect()))
}

/// The store of variables, and the conversion of errors; not the function with the cell in it.
fn is_kernels(item: &[TokenTree]) -> bool {
    let has = |word: &str| item.iter().any(|token| matches!(token, TokenTree::Ident(ident) if ident == word));
    !has("fn") && (has("evcxr_internal_runtime") || has("EvcxrUserCodeError"))
}

/// Keywords, and methods of arrays and iterators, that go through many values; and the tensors of dfdx, whose
/// operations are compiled with the cell.
const LOOPS: [&str; 9] = ["for", "while", "loop", "iter", "sum", "mean", "dot", "collect", "DfdxTensor"];

/// Keywords after which a sign has one operand.
const BEFORE_VALUES: [&str; 6] = ["as", "else", "if", "in", "match", "return"];

fn may_loop(tokens: TokenStream) -> bool {
    let (mut after_bar, mut after_value) = (false, false);
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => {
            after_value = true;
            may_loop(group.stream())
        }
        TokenTree::Ident(word) => {
            after_value = !BEFORE_VALUES.iter().any(|keyword| word == keyword);
            LOOPS.iter().any(|keyword| word == keyword)
        }
        TokenTree::Literal(_) => {
            after_value = true;
            false
        }
        // An arrow is no subtraction.
        TokenTree::Punct(sign) if "+-*/".contains(sign.as_char()) => {
            std::mem::take(&mut after_value) && sign.spacing() == Spacing::Alone
        }
        // `||` begins a closure without arguments, as evcxr writes them.
        TokenTree::Punct(bar) if bar.as_char() == '|' => {
            let is_single = !after_bar && bar.spacing() == Spacing::Alone;
            after_bar = !after_bar && bar.spacing() == Spacing::Joint;
            after_value = false;
            is_single
        }
        TokenTree::Punct(_) => {
            after_value = false;
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As evcxr writes a cell.
    fn cell(items: &str, code: &str) -> String {
        format!(
            "#![allow(unused_imports)] use latentlab::*; {items} struct EvcxrUserCodeError {{}}
             impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {{ fn from(error: T) -> Self {{ loop {{}} }} }}
             mod evcxr_internal_runtime {{ impl Store {{ fn all(&self) {{ for one in &self.0 {{}} }} }} }}
             #[unsafe(no_mangle)] pub extern \"C\" fn run_user_code_3(
                 mut evcxr_variable_store: *mut evcxr_internal_runtime::VariableStore
             ) {{
                 match std::panic::catch_unwind(std::panic::AssertUnwindSafe(||{{
                     let _ = (|| -> std::result::Result<(), EvcxrUserCodeError> {{ {code} Ok(()) }})();
                 }})) {{ Ok(_) => {{}} Err(_) => {{ println!(\"a panic\"); }}}}
             }}"
        )
    }

    #[test]
    fn cells_that_only_call_are_told_from_those_that_may_loop() {
        let function = "fn model(n: usize) -> Result<Autoencoder> { Autoencoder::tiny(n) }";
        for code in [
            "(model(2)?.summary()).evcxr_display();",
            "if a || b { println!(\"for | while\"); }",
            "let x = *f(-1, &a);",
        ] {
            assert!(only_calls(&cell(function, code)), "{code}");
        }
        for code in [
            "for i in 0..9 { f(i); }",
            "while run.epoch()? {}",
            "loop { break; }",
            "x.mapv(|v| v);",
            "&a + b",
            "a.sum()",
            "fn f(x: DfdxTensor) -> DfdxTensor { x.tanh() }",
        ] {
            assert!(!only_calls(&cell("", code)), "{code}");
        }
        assert!(!only_calls(&cell(
            "fn sum(x: &[f32]) -> f32 { let mut s = 0.0; for v in x { s += v; } s }",
            "sum(&x);"
        )));
        assert!(!only_calls("no { code"));
    }

    #[test]
    fn another_store_of_variables_is_left() {
        assert_eq!(with_library_store(&cell("", "1")), None);
        assert_eq!(with_library_store("\nmod evcxr_internal_runtime {\npub fn other() {\n}\n}\n"), None);
    }

    #[test]
    fn cargo_calls_with_the_path_of_rustc() {
        let called = |first: &str| is_called(&["latentlab".into(), first.into()]);
        assert!(called("/home/ada/.rustup/toolchains/stable/bin/rustc"));
        assert!(!called("run") && !called("kernel") && !is_called(&["latentlab".into()]));
    }
}
