//! Numbers too small to matter.

use std::sync::atomic::{AtomicBool, Ordering};

/// Makes the threads of rayon's pool take numbers below 1.2·10⁻³⁸, the smallest normal one, for 0. Where a sigmoid is saturated or a ReLU
/// dead, gradients are such numbers, and processors take twenty times as long for them: a network that had collapsed would train that much
/// slower. TensorFlow does the same. Of all threads from the first use on, so that results do not depend on which thread computes what.
pub(crate) fn flush_subnormals() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        rayon::broadcast(|_| flush_on_this_thread());
    }
}

fn flush_on_this_thread() {
    #[cfg(target_arch = "x86_64")]
    {
        const FLUSH_RESULTS_AND_INPUTS: u32 = 1 << 15 | 1 << 6;
        let mut mode = 0u32;
        // SAFETY: every x86-64 has the register; only these two bits of it change, which no exception and no rounding depends on.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack));
            mode |= FLUSH_RESULTS_AND_INPUTS;
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        const FLUSH: u64 = 1 << 24;
        let mode: u64;
        // SAFETY: every AArch64 has the register; only this bit of it changes.
        unsafe {
            std::arch::asm!("mrs {}, fpcr", out(reg) mode, options(nostack, nomem));
            std::arch::asm!("msr fpcr, {}", in(reg) mode | FLUSH, options(nostack, nomem));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_pool_takes_tiny_numbers_for_nothing() {
        super::flush_subnormals();
        super::flush_subnormals();
        let products = rayon::broadcast(|_| black_box(f32::MIN_POSITIVE) * black_box(0.25));
        assert!(products.iter().all(|product| product.to_bits() == 0), "{products:?}");
        let normal = rayon::broadcast(|_| black_box(f32::MIN_POSITIVE) * black_box(4.0));
        assert!(normal.iter().all(|product| *product == 4.0 * f32::MIN_POSITIVE));
    }
}
