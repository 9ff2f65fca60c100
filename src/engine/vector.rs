//! The vectors of the machine: what the [tile](super::tile) of a product is made of, and which kind the processor has.

use std::sync::OnceLock;

/// The instructions that products use, from the widest: chosen once, when the first product runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instructions {
    /// What the compiler makes of plain loops, for every processor of the architecture.
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// The widest that this processor has, or what `LATENTLAB_INSTRUCTIONS` (`portable`, `neon`, `avx2`, `avx512`)
    /// limits it to.
    pub fn of_this_machine() -> Self {
        static CHOSEN: OnceLock<Instructions> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::limited_to(std::env::var("LATENTLAB_INSTRUCTIONS").ok().as_deref()))
    }

    fn limited_to(limit: Option<&str>) -> Self {
        if cfg!(miri) || limit == Some("portable") {
            return Self::Portable;
        }
        // Every aarch64 processor has them.
        #[cfg(target_arch = "aarch64")]
        {
            Self::Neon
        }
        #[cfg(not(target_arch = "aarch64"))]
        {
            #[cfg(target_arch = "x86_64")]
            if limit != Some("avx2") && is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
            Self::Portable
        }
    }

    /// All that this machine can run, for tests that compare them.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::limited_to(Some("portable")), Self::limited_to(Some("avx2")), Self::limited_to(None)];
        all.dedup();
        all
    }

    /// How many `f32` one vector holds.
    pub fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::LANES,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
        }
    }
}

/// Declares functions whose loops are compiled once for each kind of [`Instructions`]; a call takes the machine's.
///
/// The compiler turns plain loops over slices of equal length into the widest vectors; a closure would not do, because
/// it may stay a function of its own, compiled for any machine. One that is given to such a loop must be small, or a
/// `fn` that is `#[inline(always)]`.
macro_rules! vectorized {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$generic:ident: $bound:path>)? ($($arg:ident: $type:ty),* $(,)?)
            $(-> $result:ty)? $body:block
    )+) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$generic: $bound>)? ($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn plain $(<$generic: $bound>)? ($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::engine::Instructions;
                #[target_feature(enable = "avx512f")]
                #[allow(clippy::too_many_arguments)]
                fn avx512 $(<$generic: $bound>)? ($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$generic: $bound>)? ($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                match Instructions::of_this_machine() {
                    // SAFETY: these values exist only where the processor has the instructions.
                    Instructions::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Instructions::Avx2 => return unsafe { avx2($($arg),*) },
                    Instructions::Portable => {}
                }
            }
            plain($($arg),*)
        }
    )+};
}
pub(crate) use vectorized;

/// A vector register. All methods are `unsafe` for one reason: they may be called only where the processor has the
/// instructions; those with pointers also need as many readable or writable values there as they touch.
pub(crate) trait Vector: Copy {
    const LANES: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` values and zeros.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut values = [0.0; 16];
        // SAFETY: the caller has `count` values there, at most as many as a vector, which holds at most sixteen.
        unsafe {
            std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count);
            Self::load(values.as_ptr())
        }
    }
    unsafe fn store(self, to: *mut f32);
    /// The first `count` values alone.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        let mut values = [0.0; 16];
        // SAFETY: as above; the caller may write them.
        unsafe {
            self.store(values.as_mut_ptr());
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
        }
    }
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// self · factor + summand.
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The first halves of self and `other` with their values in turn, and the second halves.
    unsafe fn interleave(self, other: Self) -> [Self; 2];
    /// The larger of slope · self and self: a leaky rectified linear unit. Of NaN (∞ · 0 is one) and self it is self,
    /// so that NaN and ∞ stay what they are.
    unsafe fn leaky(self, slope: Self) -> Self;
}

/// Declares functions that call a generic one, with the vector of the machine's instructions.
macro_rules! with_vectors {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $generic:ident;)+) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        fn $name($($arg: $type),*) {
            use $crate::engine::{Instructions, vector::Portable};
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $type),*) {
                // SAFETY: these are the instructions of this vector.
                unsafe { $generic::<std::arch::x86_64::__m512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $type),*) {
                // SAFETY: as above.
                unsafe { $generic::<std::arch::x86_64::__m256>($($arg),*) }
            }
            match Instructions::of_this_machine() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: these values exist only where the processor has the instructions; so in all of these.
                Instructions::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Instructions::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: as above.
                Instructions::Neon => unsafe { $generic::<std::arch::aarch64::float32x4_t>($($arg),*) },
                // SAFETY: it needs no instructions.
                Instructions::Portable => unsafe { $generic::<Portable>($($arg),*) },
            }
        }
    )+};
}
pub(crate) use with_vectors;

/// N vectors of N values as a matrix, transposed.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn transposed<V: Vector, const N: usize>(mut rows: [V; N]) -> [V; N] {
    for _ in 0..N.ilog2() {
        let before = rows;
        for (pair, rows) in rows.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *rows = unsafe { before[pair].interleave(before[pair + N / 2]) };
        }
    }
    rows
}

/// The sum of all values of each of N vectors of N values.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn total<V: Vector, const N: usize>(mut rows: [V; N]) -> V {
    let mut half = N / 2;
    while half > 0 {
        for row in 0..half {
            // SAFETY: the caller's.
            unsafe {
                let [first, second] = rows[row].interleave(rows[row + half]);
                rows[row] = first.add(second);
            }
        }
        half /= 2;
    }
    rows[0]
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    macro_rules! vector {
        (
            $vector:ty, $lanes:literal: $splat:ident $load:ident $store:ident,
            $add:ident $sub:ident $mul_add:ident $mul:ident $max:ident,
            interleave($a:ident, $b:ident) $interleave:expr,
            load_first($from:ident, $count:ident) $load_first:expr,
            store_first($self:ident, $to:ident, $first:ident) $store_first:expr
        ) => {
            impl Vector for $vector {
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: what the trait asks of its caller is what the instruction needs; so in all of these.
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn load_first($from: *const f32, $count: usize) -> Self {
                    // SAFETY: as above; what the mask leaves out is not touched.
                    unsafe { $load_first }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: as above.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn store_first($self, $to: *mut f32, $first: usize) {
                    // SAFETY: as above; what the mask leaves out is not touched.
                    unsafe { $store_first }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $sub(self, other) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $mul_add(self, factor, summand) }
                }
                #[inline(always)]
                unsafe fn interleave($a, $b: Self) -> [Self; 2] {
                    // SAFETY: as above.
                    unsafe { $interleave }
                }
                #[inline(always)]
                unsafe fn leaky(self, slope: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $max($mul(self, slope), self) }
                }
            }
        };
    }

    vector! {
        __m512, 16: _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps,
        _mm512_add_ps _mm512_sub_ps _mm512_fmadd_ps _mm512_mul_ps _mm512_max_ps,
        interleave(self, other) {
            // Of both, numbered on: the sixteen of self, then those of the other.
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            [_mm512_permutex2var_ps(self, first, other), _mm512_permutex2var_ps(self, second, other)]
        },
        load_first(from, count) _mm512_maskz_loadu_ps(first_of_16(count), from),
        store_first(self, to, count) _mm512_mask_storeu_ps(to, first_of_16(count), self)
    }

    vector! {
        __m256, 8: _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps,
        _mm256_add_ps _mm256_sub_ps _mm256_fmadd_ps _mm256_mul_ps _mm256_max_ps,
        interleave(self, other) {
            // Each in its half of the vector.
            let (even, odd) = (_mm256_unpacklo_ps(self, other), _mm256_unpackhi_ps(self, other));
            [_mm256_permute2f128_ps(even, odd, 0x20), _mm256_permute2f128_ps(even, odd, 0x31)]
        },
        load_first(from, count) _mm256_maskload_ps(from, first_of_8(count)),
        store_first(self, to, count) _mm256_maskstore_ps(to, first_of_8(count), self)
    }

    fn first_of_16(count: usize) -> __mmask16 {
        ((1u32 << count) - 1) as __mmask16
    }

    #[inline(always)]
    unsafe fn first_of_8(count: usize) -> __m256i {
        // SAFETY: the caller has the instructions.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::*;

    use super::Vector;

    impl Vector for float32x4_t {
        const LANES: usize = 4;
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: what the trait asks of its caller is what the instruction needs; so in all of these.
            unsafe { vdupq_n_f32(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            unsafe { vld1q_f32(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe { vst1q_f32(to, self) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { vaddq_f32(self, other) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { vsubq_f32(self, other) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
            // SAFETY: as above.
            unsafe { vfmaq_f32(summand, self, factor) }
        }
        #[inline(always)]
        unsafe fn interleave(self, other: Self) -> [Self; 2] {
            // SAFETY: as above.
            unsafe { [vzip1q_f32(self, other), vzip2q_f32(self, other)] }
        }
        #[inline(always)]
        unsafe fn leaky(self, slope: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let scaled = vmulq_f32(self, slope);
                vbslq_f32(vcgtq_f32(scaled, self), scaled, self)
            }
        }
    }
}

/// Eight values that the compiler keeps in whatever vectors there are.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Vector for Portable {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has eight values there.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has eight values there to write to.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        let out = std::array::from_fn(|lane| {
            // A fused operation is one instruction on aarch64 and a slow function on an x86-64 without FMA.
            if cfg!(target_arch = "aarch64") {
                self.0[lane].mul_add(factor.0[lane], summand.0[lane])
            } else {
                self.0[lane] * factor.0[lane] + summand.0[lane]
            }
        });
        Self(out)
    }
    #[inline(always)]
    unsafe fn interleave(self, other: Self) -> [Self; 2] {
        let half = |first| std::array::from_fn(|lane| [self, other][lane % 2].0[first + lane / 2]);
        [Self(half(0)), Self(half(4))]
    }
    #[inline(always)]
    unsafe fn leaky(self, slope: Self) -> Self {
        let out = std::array::from_fn(|lane| {
            let scaled = self.0[lane] * slope.0[lane];
            if scaled > self.0[lane] { scaled } else { self.0[lane] }
        });
        Self(out)
    }
}
