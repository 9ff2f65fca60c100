//! A limit of the memory of tests that read damaged files.

/// Two gigabytes of addresses on Linux: trusting a damaged size fails here.
pub fn limit_memory() {
    #[cfg(target_os = "linux")]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: plain system calls on values of their own.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut limit), 0);
            limit.rlim_cur = limit.rlim_max.min(2 << 30);
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
        }
    }
}
