//! Builds Toehold's initrd, guards its size and boots it on real kernels.
