"""The Rust kernel of latentlab for Jupyter: the kernel's programs, the library's sources and the lessons."""
