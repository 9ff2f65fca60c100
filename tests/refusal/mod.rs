//! What a user sees when the tool cannot do what was asked.

use std::process::Output;

/// Exit code 1 and a message with all of `words`, which is no panic's.
pub fn assert_refused(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}
