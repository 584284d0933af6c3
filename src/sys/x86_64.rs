//! x86_64: the entry point, the one system call instruction, and the memory functions that the compiler calls.

use core::arch::{asm, naked_asm};

/// Where the kernel starts us, with the argument count, arguments and environment on the stack.
///
/// # Safety
/// Called by the kernel only. Source: System V ABI for x86_64, "Initial Stack and Register State".
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov rdi, rsp", "and rsp, -16", "call {start}", start = sym super::process::start)
}

/// The only `syscall` instruction of the program: what watches it sees everything.
///
/// Not a C function: number and arguments are where the kernel wants them (rax; rdi, rsi, rdx, r10, r8, r9), and
/// only rax, rcx and r11 are changed, so that callers need not save anything else.
///
/// # Safety
/// Reached from [`syscall`] only.
#[unsafe(naked)]
unsafe extern "C" fn gate() {
    naked_asm!("syscall", "ret")
}

/// A system call. Arguments beyond those that the call takes are not even set: pass fewer.
macro_rules! define {
    ($name:ident $(, $argument:ident = $register:tt)*) => {
        /// # Safety
        /// The arguments must be what the system call `number` asks for; pointers must be valid for what it does with them.
        #[inline(always)]
        pub unsafe fn $name(number: u32 $(, $argument: usize)*) -> usize {
            let mut result = number as usize;
            // SAFETY: the gate keeps every register but rax, rcx and r11; the caller vouches for the arguments.
            unsafe {
                asm!("call {gate}", gate = sym gate, inlateout("rax") result $(, in($register) $argument)*,
                    lateout("rcx") _, lateout("r11") _)
            }
            result
        }
    };
}

define!(syscall0);
define!(syscall1, a = "rdi");
define!(syscall2, a = "rdi", b = "rsi");
define!(syscall3, a = "rdi", b = "rsi", c = "rdx");
define!(syscall4, a = "rdi", b = "rsi", c = "rdx", d = "r10");
define!(
    syscall5,
    a = "rdi",
    b = "rsi",
    c = "rdx",
    d = "r10",
    e = "r8"
);
define!(
    syscall6,
    a = "rdi",
    b = "rsi",
    c = "rdx",
    d = "r10",
    e = "r8",
    f = "r9"
);

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
