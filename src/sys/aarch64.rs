//! aarch64: the entry point, the one system call instruction, and the memory functions that the
//! compiler calls.

use super::trace::{TRACE, traced};
use core::arch::{asm, naked_asm};
use toehold::failure::Error;

/// Where the kernel starts us, with the argument count, arguments and environment on the stack.
///
/// # Safety
/// Called by the kernel only. Source: Procedure Call Standard for the Arm 64-bit Architecture; the
/// kernel's fs/binfmt_elf.c.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov x0, sp", "b {start}", start = sym super::process::toehold_start)
}

/// The only `svc` instruction of the program: what watches it sees everything.
///
/// Not a C function: number and arguments are where the kernel wants them (x8; x0 to x5), and they
/// are kept, but for x0, so that callers need not save them.
///
/// # Safety
/// Reached from the functions below only.
#[unsafe(naked)]
unsafe extern "C" fn gate() {
    naked_asm!(
        "adrp x16, {trace}",
        "ldrb w16, [x16, :lo12:{trace}]",
        "cbz w16, {traced}",
        "svc #0",
        "ret",
        trace = sym TRACE,
        traced = sym traced_gate
    )
}

/// The other way: hands the registers, in the order of a [`Call`](toehold::format::trace::Call), to
/// [`traced`], and keeps those that the compiler counts on; of v8 to v15 a C function like that one
/// keeps only half.
///
/// # Safety
/// Reached from the gate only.
#[unsafe(naked)]
unsafe extern "C" fn traced_gate() {
    naked_asm!(
        "sub sp, sp, #208",
        "stp x8, x0, [sp]",
        "stp x1, x2, [sp, #16]",
        "stp x3, x4, [sp, #32]",
        "stp x5, x17, [sp, #48]",
        "str x30, [sp, #64]",
        "stp q8, q9, [sp, #80]",
        "stp q10, q11, [sp, #112]",
        "stp q12, q13, [sp, #144]",
        "stp q14, q15, [sp, #176]",
        "mov x0, sp",
        "bl {traced}",
        "ldr x8, [sp]",
        "ldp x1, x2, [sp, #16]",
        "ldp x3, x4, [sp, #32]",
        "ldp x5, x17, [sp, #48]",
        "ldr x30, [sp, #64]",
        "ldp q8, q9, [sp, #80]",
        "ldp q10, q11, [sp, #112]",
        "ldp q12, q13, [sp, #144]",
        "ldp q14, q15, [sp, #176]",
        "add sp, sp, #208",
        "ret",
        traced = sym traced
    )
}

/// The same for calls that can fail: leaves the error's number or zero in x0, and in x1 the value.
///
/// # Safety
/// Reached from the functions below only.
#[unsafe(naked)]
unsafe extern "C" fn checked_gate() {
    naked_asm!(
        "mov x17, x30",
        "bl {gate}",
        "mov x1, x0",
        "neg x0, x0",
        // The last 4095 values are errors.
        "cmp x0, #1, lsl #12",
        "csel x0, x0, xzr, lo",
        "ret x17",
        gate = sym gate
    )
}

/// Calls a gate. What it changes besides is what callers hardly ever have anything in, and what
/// [`traced`] may change.
macro_rules! call {
    ($gate:path, $($operands:tt)*) => {
        asm!("bl {gate}", gate = sym $gate, $($operands)*
            lateout("x6") _, lateout("x7") _, lateout("x9") _, lateout("x10") _,
            lateout("x11") _, lateout("x12") _, lateout("x13") _, lateout("x14") _,
            lateout("x15") _, lateout("x16") _, lateout("x17") _, lateout("x18") _,
            lateout("x30") _,
            lateout("v0") _, lateout("v1") _, lateout("v2") _, lateout("v3") _,
            lateout("v4") _, lateout("v5") _, lateout("v6") _, lateout("v7") _,
            lateout("v16") _, lateout("v17") _, lateout("v18") _, lateout("v19") _,
            lateout("v20") _, lateout("v21") _, lateout("v22") _, lateout("v23") _,
            lateout("v24") _, lateout("v25") _, lateout("v26") _, lateout("v27") _,
            lateout("v28") _, lateout("v29") _, lateout("v30") _, lateout("v31") _)
    };
}

/// A system call that cannot fail, or whose failure changes nothing. Arguments beyond those that
/// the call takes are not even set: pass fewer.
macro_rules! unchecked {
    ($name:ident ($($argument:ident)*) $result:ident { $($x0:tt)* }
        $($from:ident = $register:tt)*) => {
        /// Returns what the kernel returned.
        ///
        /// # Safety
        /// The arguments must be what the system call `number` asks for; pointers must be valid for
        /// what it does with them.
        #[inline(always)]
        pub unsafe fn $name(number: u32 $(, $argument: usize)*) -> usize {
            let $result: usize;
            // SAFETY: the gate keeps every register that is not named here and in `call`; the
            // caller vouches for the arguments.
            unsafe { call!(gate, in("x8") number as usize, $($x0)*, $(in($register) $from,)*) }
            $result
        }
    };
}

/// A system call that can fail: one with a value, and one with none.
macro_rules! checked {
    ($result:ident $done:ident ($($argument:ident)*) $error:ident { $($x0:tt)* }
        $value:ident { $($x1:tt)* } $($from:ident = $register:tt)*) => {
        /// Returns what the kernel returned, or the error.
        ///
        /// # Safety
        /// As above.
        #[inline(always)]
        pub unsafe fn $result(number: u32 $(, $argument: usize)*) -> Result<usize, Error> {
            let $error: usize;
            let $value: usize;
            // SAFETY: as above.
            unsafe {
                call!(checked_gate, in("x8") number as usize, $($x0)*, $($x1)*,
                    $(in($register) $from,)*)
            }
            Error::in_number($error).map(|()| $value)
        }

        /// Returns success, or the error.
        ///
        /// # Safety
        /// As above.
        #[inline(always)]
        #[allow(dead_code)]
        pub unsafe fn $done(number: u32 $(, $argument: usize)*) -> Result<(), Error> {
            // SAFETY: as above.
            unsafe { $result(number $(, $argument)*) }.map(|_| ())
        }
    };
}

unchecked!(value0 () result { lateout("x0") result });
unchecked!(value1 (a) result { inlateout("x0") a => result });
unchecked!(value2 (a b) result { inlateout("x0") a => result } b = "x1");
unchecked!(value3 (a b c) result { inlateout("x0") a => result } b = "x1" c = "x2");
unchecked!(value4 (a b c d) result { inlateout("x0") a => result } b = "x1" c = "x2" d = "x3");
unchecked!(value5 (a b c d e) result { inlateout("x0") a => result }
    b = "x1" c = "x2" d = "x3" e = "x4");
unchecked!(value6 (a b c d e f) result { inlateout("x0") a => result }
    b = "x1" c = "x2" d = "x3" e = "x4" f = "x5");
checked!(result1 done1 (a) error { inlateout("x0") a => error } value { lateout("x1") value });
checked!(result2 done2 (a b) error { inlateout("x0") a => error }
    value { inlateout("x1") b => value });
checked!(result3 done3 (a b c) error { inlateout("x0") a => error }
    value { inlateout("x1") b => value } c = "x2");
checked!(result4 done4 (a b c d) error { inlateout("x0") a => error }
    value { inlateout("x1") b => value } c = "x2" d = "x3");
checked!(result5 done5 (a b c d e) error { inlateout("x0") a => error }
    value { inlateout("x1") b => value } c = "x2" d = "x3" e = "x4");
checked!(result6 done6 (a b c d e f) error { inlateout("x0") a => error }
    value { inlateout("x1") b => value } c = "x2" d = "x3" e = "x4" f = "x5");

/// `memcpy` and `memmove`: backwards where the target begins inside the source. What is copied here
/// is short: bytes will do.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov x3, #0",
        "sub x4, x0, x1",
        "cmp x4, x2",
        "b.lo 3f",
        "2:",
        "cmp x3, x2",
        "b.eq 4f",
        "ldrb w4, [x1, x3]",
        "strb w4, [x0, x3]",
        "add x3, x3, #1",
        "b 2b",
        "3:",
        "cbz x2, 4f",
        "sub x2, x2, #1",
        "ldrb w4, [x1, x2]",
        "strb w4, [x0, x2]",
        "b 3b",
        "4:",
        "ret"
    )
}

/// `memcpy`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!("b {memmove}", memmove = sym memmove)
}

/// `memset`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!(
        "cbz x2, 3f",
        "2:",
        "sub x2, x2, #1",
        "strb w1, [x0, x2]",
        "cbnz x2, 2b",
        "3:",
        "ret"
    )
}

/// `memcmp`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    naked_asm!(
        "mov x3, x0",
        "mov w0, #0",
        "2:",
        "cbz x2, 3f",
        "ldrb w4, [x3], #1",
        "ldrb w5, [x1], #1",
        "sub x2, x2, #1",
        "subs w0, w4, w5",
        "b.eq 2b",
        "3:",
        "ret"
    )
}

/// `bcmp`: equal or not.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    naked_asm!("b {memcmp}", memcmp = sym memcmp)
}

/// `strlen`, for names that the kernel writes.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    naked_asm!(
        "mov x1, x0",
        "2:",
        "ldrb w2, [x1], #1",
        "cbnz w2, 2b",
        "sub x0, x1, x0",
        "sub x0, x0, #1",
        "ret"
    )
}
