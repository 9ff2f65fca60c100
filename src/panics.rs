//! Panics that become errors: of a function of the user's, and of a library that is given a damaged file.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
    thread,
};

thread_local! {
    /// Whether a panic of this thread is about to become an error.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or the message of its panic. The panic hook, which would print that message too, is not called
/// for this thread meanwhile; for all other panics it is, whichever it is.
///
/// A hook that is set after the first call of this comes before ours, and sees these panics too.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // While a thread panics no hook can be set.
    if !thread::panicking() {
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !IS_CAUGHT.get() {
                    hook(info);
                }
            }));
        });
    }
    let outside = IS_CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(outside);
    result.map_err(|payload| message(&*payload).into())
}

/// What a panic says.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(a panic without a message)")
}
