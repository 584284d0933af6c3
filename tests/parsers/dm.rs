//! Device-mapper requests, compared with `struct dm_ioctl` and `struct dm_target_spec` laid out here by their offsets.

use toehold::format::dm::{self, Command};
use toehold::text::{Line, push};

const NAME: &[u8] = b"usr";
const UUID: &[u8] = b"CRYPT-VERITY-00112233445566778899aabbccddeeff-usr";

/// A request of 3072 bytes, zero but for `parts`: the offset of each field, and its bytes.
fn expected(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 3072];
    // version[3] = 4.0.0, data_size, data_start: in every request.
    let always: &[(usize, &[u8])] = &[(0, &[4]), (12, &[0, 12, 0, 0]), (16, &[0x38, 1, 0, 0])];
    for (offset, part) in always.iter().chain(parts) {
        bytes[*offset..*offset + part.len()].copy_from_slice(part);
    }
    bytes
}

#[test]
fn numbers_of_the_ioctls() {
    // _IOWR(type, nr, size): direction in the top two bits, 14 bits of size, type, number.
    let iowr = |nr: u32| 3 << 30 | (dm::HEADER as u32) << 16 | 0xFD << 8 | nr;
    for (command, nr) in [
        (Command::Create, 3),
        (Command::Remove, 4),
        (Command::Suspend, 6),
        (Command::TableLoad, 9),
        (Command::TableStatus, 12),
    ] {
        assert_eq!(command as u32, iowr(nr), "{command:?}");
    }
}

#[test]
fn create() {
    let mut request = Line::new();
    dm::start(&mut request, NAME, 0);
    push(&mut request, UUID);
    dm::end_header(&mut request);
    dm::finish(&mut request);
    assert_eq!(request[..], expected(&[(48, NAME), (176, UUID)]));
}

#[test]
fn resume_status_and_remove() {
    // What an earlier request or answer left in the buffer must not be seen.
    let mut request = Line::new();
    request.resize(3072, 0xA5).unwrap();
    dm::start(&mut request, NAME, 0);
    dm::finish(&mut request);
    assert_eq!(request[..], expected(&[(48, NAME)]));
}

#[test]
fn table_load() {
    let parameters = b"1 254:2 254:2 4096 4096 260094 260095 sha256 00ff -";
    let mut request = Line::new();
    request.resize(3072, 0xA5).unwrap();
    dm::start(&mut request, NAME, dm::READ_ONLY);
    dm::add_target(&mut request, 260_094 * 8);
    push(&mut request, parameters);
    dm::finish(&mut request);
    assert_eq!(
        request[..],
        expected(&[
            (20, &[1]),                             // target_count
            (28, &[1]),                             // flags: DM_READONLY_FLAG
            (48, NAME),                             // name[128]
            (312 + 8, &2_080_752u64.to_le_bytes()), // length; sector_start is 0
            (312 + 24, b"verity"),                  // target_type[16], behind status and next
            (312 + 40, parameters),
        ])
    );
}

#[test]
fn names_too_long_do_not_move_what_follows() {
    let mut request = Line::new();
    dm::start(&mut request, &[b'n'; 300], 0);
    push(&mut request, &[b'u'; 300]);
    dm::end_header(&mut request);
    dm::finish(&mut request);
    assert_eq!(request.len(), 3072);
    assert_eq!(request[176..312], [b'u'; 136]);
    assert_eq!(request[312..], [0; 3072 - 312]);
    dm::start(&mut request, &[b'n'; 3000], dm::READ_ONLY);
    push(&mut request, b"uuid");
    dm::add_target(&mut request, 8);
    assert_eq!(request[176..181], *b"uuid\0");
    assert_eq!(request[312 + 24..], *b"verity\0\0\0\0\0\0\0\0\0\0");
}

/// The kernel's answer to a question about a table's status.
fn answer(state: &[u8]) -> Vec<u8> {
    let mut bytes = expected(&[(20, &[1]), (40, &0x0012_34FDu64.to_le_bytes()), (48, NAME)]);
    bytes[352..352 + state.len()].copy_from_slice(state);
    bytes
}

#[test]
fn answers() {
    for (state, valid) in [
        (b"V\0", true),
        (b"V ", true),
        (b"C\0", false),
        (b"\0\0", false),
    ] {
        let good = answer(state);
        assert_eq!(dm::is_valid(&good), valid);
        assert_eq!(dm::device_number(&good), 0x0012_34FD);
    }
    for len in 0..=352 {
        let short = &answer(b"V")[..len];
        assert!(!dm::is_valid(short));
        let number = if len < 48 { 0 } else { 0x0012_34FD };
        assert_eq!(dm::device_number(short), number);
    }
}
