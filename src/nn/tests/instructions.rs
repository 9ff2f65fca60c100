//! The layers with fewer instructions than this machine has.

use std::process::Command;

use crate::engine::Instructions;

const LIMIT: &str = "LATENTLAB_INSTRUCTIONS";

/// The limit that the process was given. It is read once, so a test that wants another limit needs a process of
/// its own.
#[test]
fn the_instructions_are_those_asked_for() {
    let chosen = Instructions::of_this_machine();
    match std::env::var(LIMIT).ok().as_deref() {
        Some("portable") => assert_eq!(chosen, Instructions::Portable),
        #[cfg(target_arch = "x86_64")]
        Some("avx2") if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
            assert_eq!(chosen, Instructions::Avx2);
        }
        #[cfg(target_arch = "x86_64")]
        Some("avx2") => assert_eq!(chosen, Instructions::Portable),
        _ => assert_eq!(Some(&chosen), Instructions::all().last()),
    }
}

/// Runs the tests of all layers, a short training and the whole models again, on the path that other processors take.
#[test]
fn other_processors_pass_the_same_tests() {
    if std::env::var_os(LIMIT).is_some() {
        return;
    }
    for limit in ["portable", "avx2"] {
        let tests = ["nn::tests::", "engine::", "model::tests::"];
        let output = Command::new(std::env::current_exe().unwrap()).args(tests).env(LIMIT, limit).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{limit}: {text}");
        for name in ["instructions::the_instructions_are_those_asked_for", "network::a_network_of_every_layer_learns"] {
            assert!(text.contains(&format!("test nn::tests::{name} ... ok")), "{limit}: {text}");
        }
    }
}
