//! The public functions, read from the source.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, File, ImplItem, Item, Type, UseTree, Visibility};

/// Every public function, `function`, `jupyter::function` or `Type::function`.
pub fn functions() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let exported = exported(&source);
    let (mut files, mut found) = (Vec::new(), BTreeSet::new());
    rust_files(&source, &mut files);
    // Modules for the crate's own benches.
    let lib = parse(&source.join("lib.rs")).items.into_iter();
    let hidden: Vec<PathBuf> = lib
        .filter_map(|item| match item {
            Item::Mod(item) if is_hidden(&item.attrs) => Some(source.join(format!("{}.rs", item.ident))),
            _ => None,
        })
        .collect();
    for file in files.into_iter().filter(|file| !hidden.contains(file)) {
        let items = parse(&file).items;
        let mut exported = exported.clone();
        // A type of the crate's own may have the name of a public one.
        items.iter().filter_map(own_type).for_each(|name| _ = exported.remove(&name));
        in_items(&items, &exported, &mut found);
    }
    found
}

/// The name of a type that this declares and that is not public.
fn own_type(item: &Item) -> Option<String> {
    match item {
        Item::Struct(item) if !is_public(&item.vis) => Some(item.ident.to_string()),
        _ => None,
    }
}

fn parse(path: &Path) -> File {
    syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Neither the tool nor tests are public.
            if !path.ends_with("src/bin") && !path.ends_with("tests") {
                rust_files(&path, files);
            }
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// The names that the crate exports, with their public module.
fn exported(source: &Path) -> BTreeMap<String, String> {
    let (mut names, mut modules) = (BTreeMap::new(), Vec::new());
    for item in &parse(&source.join("lib.rs")).items {
        match item {
            Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => leaves(&item.tree, "", &mut names),
            Item::Mod(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => modules.push(item.ident.to_string()),
            _ => {}
        }
    }
    for module in modules {
        let folder = source.join(&module);
        let file = if folder.is_dir() { folder.join("mod.rs") } else { source.join(format!("{module}.rs")) };
        for item in &parse(&file).items {
            match item {
                Item::Use(item) if is_public(&item.vis) => leaves(&item.tree, &format!("{module}::"), &mut names),
                Item::Fn(item) if is_public(&item.vis) => {
                    names.insert(item.sig.ident.to_string(), format!("{module}::"));
                }
                _ => {}
            }
        }
    }
    names
}

fn leaves(tree: &UseTree, module: &str, names: &mut BTreeMap<String, String>) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, module, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, module, names)),
        UseTree::Name(name) => _ = names.insert(name.ident.to_string(), module.to_string()),
        UseTree::Rename(_) | UseTree::Glob(_) => {
            panic!("this test reads neither renamed nor glob exports")
        }
    }
}

fn in_items(items: &[Item], exported: &BTreeMap<String, String>, found: &mut BTreeSet<String>) {
    let mut add = |name: &str, function: Option<&str>| {
        if let Some(module) = exported.get(name) {
            found.insert(function.map_or(format!("{module}{name}"), |function| format!("{module}{name}::{function}")));
        }
    };
    // Macros that define methods, by name.
    let mut writers = BTreeMap::new();
    let mut inner = Vec::new();
    for item in items {
        match item {
            Item::Mod(item) if !is_test(&item.attrs) => inner.extend(item.content.iter().map(|(_, items)| items)),
            Item::Fn(item) if is_public(&item.vis) && !is_test(&item.attrs) => add(&item.sig.ident.to_string(), None),
            Item::Impl(item) if item.trait_.is_none() && !is_test(&item.attrs) => {
                let Type::Path(of) = &*item.self_ty else { continue };
                let Some(of) = of.path.segments.last() else { continue };
                for function in &item.items {
                    if let ImplItem::Fn(function) = function
                        && is_public(&function.vis)
                        && !is_hidden(&function.attrs)
                    {
                        add(&of.ident.to_string(), Some(&function.sig.ident.to_string()));
                    }
                }
            }
            Item::Macro(item) => match &item.ident {
                Some(name) => {
                    let text = item.mac.tokens.to_string();
                    let functions = text.split("pub fn ").skip(1).map(|rest| words(rest).next().unwrap().to_string());
                    writers.insert(name.to_string(), Vec::from_iter(functions));
                }
                None => {
                    let name = item.mac.path.segments.last().unwrap().ident.to_string();
                    let text = item.mac.tokens.to_string();
                    for function in writers.get(&name).into_iter().flatten() {
                        let types = words(&text).filter(|word| word.starts_with(char::is_uppercase));
                        types.for_each(|of| add(of, Some(function)));
                    }
                }
            },
            _ => {}
        }
    }
    inner.into_iter().for_each(|items| in_items(items, exported, found));
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    has(attributes, "doc", "hidden")
}

fn is_test(attributes: &[Attribute]) -> bool {
    has(attributes, "cfg", "test")
}

/// Whether there is `#[attribute(word)]`.
fn has(attributes: &[Attribute], attribute: &str, word: &str) -> bool {
    attributes
        .iter()
        .filter(|a| a.path().is_ident(attribute))
        .any(|a| a.meta.require_list().is_ok_and(|list| words(&list.tokens.to_string()).any(|found| found == word)))
}
