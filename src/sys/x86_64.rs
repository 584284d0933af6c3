//! x86_64: the entry point, the one system call instruction, and the memory functions that the
//! compiler calls.

use super::trace::{TRACE, traced};
use core::arch::{asm, naked_asm};
use toehold::failure::Error;

/// Where the kernel starts us, with the argument count, arguments and environment on the stack.
///
/// # Safety
/// Called by the kernel only. Source: System V ABI for x86_64, "Initial Stack and Register State".
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov rdi, rsp",
        "and rsp, -16",
        "call {start}",
        start = sym super::process::toehold_start
    )
}

/// The only `syscall` instruction of the program: what watches it sees everything.
///
/// Not a C function: number and arguments are where the kernel wants them (rax; rdi, rsi, rdx, r10,
/// r8, r9), and only rax, rcx, r11 and the registers for vectors are changed, so that callers need
/// not save anything else.
///
/// # Safety
/// Reached from the functions below only.
#[unsafe(naked)]
unsafe extern "C" fn gate() {
    naked_asm!(
        "cmp byte ptr [rip + {trace}], 0",
        "je {traced}",
        "syscall",
        "ret",
        trace = sym TRACE,
        traced = sym traced_gate
    )
}

/// The other way: hands the registers, in the order of a [`Call`](toehold::format::trace::Call), to
/// [`traced`], and keeps them.
///
/// # Safety
/// Reached from the gate only.
#[unsafe(naked)]
unsafe extern "C" fn traced_gate() {
    naked_asm!(
        "push r9",
        "push r8",
        "push r10",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax",
        "mov rdi, rsp",
        "push rbp",
        "mov rbp, rsp",
        "and rsp, -16",
        "call {traced}",
        "mov rsp, rbp",
        "pop rbp",
        "pop rdi",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop r10",
        "pop r8",
        "pop r9",
        "ret",
        traced = sym traced
    )
}

/// The same for calls that can fail: leaves the error's number or zero in rax, and in rdx the
/// value.
///
/// # Safety
/// Reached from the functions below only.
#[unsafe(naked)]
unsafe extern "C" fn checked_gate() {
    naked_asm!(
        "call {gate}",
        "mov rdx, rax",
        "neg rax",
        // The last 4095 values are errors.
        "cmp rax, 4096",
        "jb 2f",
        "xor eax, eax",
        "2:",
        "ret",
        gate = sym gate
    )
}

/// Calls a gate. Callers hardly ever have anything in the registers for vectors, and [`traced`] may
/// change them.
macro_rules! call {
    ($gate:path, $($operands:tt)*) => {
        asm!("call {gate}", gate = sym $gate, $($operands)*,
            lateout("rcx") _, lateout("r11") _,
            lateout("xmm0") _, lateout("xmm1") _, lateout("xmm2") _, lateout("xmm3") _,
            lateout("xmm4") _, lateout("xmm5") _, lateout("xmm6") _, lateout("xmm7") _,
            lateout("xmm8") _, lateout("xmm9") _, lateout("xmm10") _, lateout("xmm11") _,
            lateout("xmm12") _, lateout("xmm13") _, lateout("xmm14") _, lateout("xmm15") _)
    };
}

/// A system call that cannot fail, or whose failure changes nothing. Arguments beyond those that
/// the call takes are not even set: pass fewer.
macro_rules! unchecked {
    ($name:ident $($argument:ident = $register:tt)*) => {
        /// Returns what the kernel returned.
        ///
        /// # Safety
        /// The arguments must be what the system call `number` asks for; pointers must be valid for
        /// what it does with them.
        #[inline(always)]
        pub unsafe fn $name(number: u32 $(, $argument: usize)*) -> usize {
            let mut result = number as usize;
            // SAFETY: the gate keeps every register that is not named here and in `call`; the
            // caller vouches for the arguments.
            unsafe { call!(gate, inlateout("rax") result $(, in($register) $argument)*) }
            result
        }
    };
}

/// A system call that can fail: one with a value, and one with none.
macro_rules! checked {
    ($result:ident $done:ident ($($argument:ident)*) $value:ident { $($rdx:tt)* }
        $($from:ident = $register:tt)*) => {
        /// Returns what the kernel returned, or the error.
        ///
        /// # Safety
        /// As above.
        #[inline(always)]
        pub unsafe fn $result(number: u32 $(, $argument: usize)*) -> Result<usize, Error> {
            let mut error = number as usize;
            let $value: usize;
            // SAFETY: as above.
            unsafe {
                call!(checked_gate, inlateout("rax") error $(, in($register) $from)*, $($rdx)*)
            }
            Error::in_number(error).map(|()| $value)
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

unchecked!(value0);
unchecked!(value1 a = "rdi");
unchecked!(value2 a = "rdi" b = "rsi");
unchecked!(value3 a = "rdi" b = "rsi" c = "rdx");
unchecked!(value4 a = "rdi" b = "rsi" c = "rdx" d = "r10");
unchecked!(value5 a = "rdi" b = "rsi" c = "rdx" d = "r10" e = "r8");
unchecked!(value6 a = "rdi" b = "rsi" c = "rdx" d = "r10" e = "r8" f = "r9");
checked!(result1 done1 (a) value { lateout("rdx") value } a = "rdi");
checked!(result2 done2 (a b) value { lateout("rdx") value } a = "rdi" b = "rsi");
checked!(result3 done3 (a b c) value { inlateout("rdx") c => value } a = "rdi" b = "rsi");
checked!(result4 done4 (a b c d) value { inlateout("rdx") c => value }
    a = "rdi" b = "rsi" d = "r10");
checked!(result5 done5 (a b c d e) value { inlateout("rdx") c => value }
    a = "rdi" b = "rsi" d = "r10" e = "r8");
checked!(result6 done6 (a b c d e f) value { inlateout("rdx") c => value }
    a = "rdi" b = "rsi" d = "r10" e = "r8" f = "r9");

/// `memcpy`: the string instructions are the smallest, and fast on anything that runs Linux today.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!("mov rax, rdi", "mov rcx, rdx", "rep movsb", "ret")
}

/// `memmove`: backwards where the target begins inside the source.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "mov rcx, rdx",
        "mov r8, rdi",
        "sub r8, rsi",
        "cmp r8, rdx",
        "jb 2f",
        "rep movsb",
        "ret",
        "2:",
        "lea rdi, [rdi + rdx - 1]",
        "lea rsi, [rsi + rdx - 1]",
        "std",
        "rep movsb",
        "cld",
        "ret"
    )
}

/// `memset`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret"
    )
}

/// `memcmp`, and `bcmp`, which asks for less.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    naked_asm!(
        "xor eax, eax",
        "mov rcx, rdx",
        "cmp eax, eax",
        "repe cmpsb",
        "je 2f",
        "movzx eax, byte ptr [rdi - 1]",
        "movzx ecx, byte ptr [rsi - 1]",
        "sub eax, ecx",
        "2:",
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
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// `strlen`, for names that the kernel writes.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    naked_asm!(
        "xor eax, eax",
        "lea rcx, [rax - 1]",
        "repne scasb",
        "not rcx",
        "lea rax, [rcx - 1]",
        "ret"
    )
}
