//! The picture of a boot, from its log: stages, modules, what PID 1 did, and what it waited for.
//!
//! `record` reads the log and puts every call on one time axis, `boot` and `unpacking` find out what happened, `path` what that took the
//! time, `picture` draws it, `perfetto` writes it down for other tools.

mod boot;
mod path;
mod perfetto;
mod picture;
mod record;
mod svg;
mod unpacking;

pub use boot::Boot;
pub use perfetto::json;
pub use picture::draw;

#[cfg(test)]
mod tests;

/// `12.3 ms`, of microseconds.
fn milliseconds(micros: u64) -> String {
    let milliseconds = micros as f64 / 1000.0;
    match micros {
        0..10_000 => format!("{milliseconds:.2} ms"),
        10_000..100_000 => format!("{milliseconds:.1} ms"),
        _ => format!("{} ms", grouped(micros.saturating_add(500) / 1000)),
    }
}

/// `412 KB`, `2.9 MB`
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} KB", bytes.saturating_add(500) / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One thing or several of them.
fn counted(count: usize, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        grouped(count as u64),
        if count == 1 { one } else { many }
    )
}
