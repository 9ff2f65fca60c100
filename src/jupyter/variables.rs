//! The store of a notebook's variables, in place of the one that evcxr writes into the source of each cell: this one is
//! compiled already. It has the same names and the same fields, since cells hand it to each other.
//!
//! <https://github.com/evcxr/evcxr/blob/main/evcxr/src/evcxr_internal_runtime.rs>

use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use crate::channel;

/// Before the name of a variable: evcxr forgets it.
pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// After the error of a `?`: evcxr forgets the variables of the cell.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

type Value = Box<dyn Any>;

pub struct VariableStore {
    variables: HashMap<String, Value>,
}

pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(VariableStore { variables: HashMap::new() }))
}

/// Each generic function only passes on to one that is not generic.
impl VariableStore {
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Whether the variable, if it is there, has that type; if not, evcxr and the user are told.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.variables.get(name).is_none_or(|value| value.is::<T>()) || lost(name)
    }

    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => has_other_type(name),
        }
    }

    /// A value that all cells share, made by the first.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        let value = match self.variables.entry(name.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Box::new(Arc::new(create()))),
        };
        match value.downcast_ref() {
            Some(value) => Arc::clone(value),
            None => has_other_type(name),
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.variables.extend(other.variables);
    }

    fn put(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    fn take(&mut self, name: &str) -> Value {
        self.variables.remove(name).unwrap_or_else(|| panic!("Variable '{name}' has gone missing"))
    }
}

fn lost(name: &str) -> bool {
    eprintln!("The type of the variable {name} was redefined, so was lost.");
    let line = format!("{VARIABLE_CHANGED_TYPE}{name}");
    if !channel::tell_kernel(&line) {
        println!("{line}");
    }
    false
}

/// Cannot happen after [`check_variable`](VariableStore::check_variable).
fn has_other_type(name: &str) -> ! {
    panic!("Variable '{name}' has another type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_kept_by_name_and_type() {
        // SAFETY: it has just been made by `Box::into_raw`.
        let mut store = unsafe { Box::from_raw(create_variable_store()) };
        store.put_variable("x", 1.5f32);
        assert!(store.check_variable::<f32>("x") && store.check_variable::<f32>("y"));
        assert!(!store.check_variable::<i32>("x"));
        let mut other = VariableStore { variables: HashMap::new() };
        other.put_variable("y", vec![1, 2]);
        store.merge(other);
        assert_eq!((store.take_variable::<f32>("x"), store.take_variable::<Vec<i32>>("y")), (1.5, vec![1, 2]));
        assert!(store.variables.is_empty());
        let made = store.lazy_arc("shared", || String::from("once"));
        assert!(Arc::ptr_eq(&made, &store.lazy_arc("shared", || String::from("twice"))));
    }
}
