//! The panic gate: a panic that can be reached is a link error.
//!
//! The handler calls a function that nobody defines. The optimiser removes the handler exactly when
//! no panic is left; otherwise the linker names the missing function. To find the callers, build
//! with the feature `panic-allowed` and look for `panic` in the symbols.

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    #[cfg(not(feature = "panic-allowed"))]
    {
        unsafe extern "C" {
            fn a_panic_is_reachable() -> !;
        }
        // SAFETY: never linked, so never called.
        unsafe { a_panic_is_reachable() }
    }
    #[cfg(feature = "panic-allowed")]
    super::process::exit(101)
}
