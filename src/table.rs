//! Tables from one list: an enum, and in columns beside each of its variants what it is called.
//!
//! A `&'static str` for each text would cost 16 bytes of pointer and length. So a column becomes
//! one text with a separator between its items, and a variant's number says which of them is its
//! own: [`text::item`](crate::text::item) finds it.

/// Declares an enum whose variants have texts beside them, in so many columns.
/// [`list!`](crate::list) makes a column's list.
#[macro_export]
macro_rules! table {
    ($(#[$about:meta])* $visible:vis enum $name:ident [$columns:literal] {
        $( $(#[$meaning:meta])* $variant:ident: $($text:literal),+; )+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
        #[repr(u8)]
        $visible enum $name { $( $(#[$meaning])* $variant, )+ }

        impl $name {
            /// What stands beside each variant.
            const ROWS: &'static [[&'static str; $columns]] = &[$( [$($text),+], )+];

            /// All of them, in their order.
            #[allow(dead_code, reason = "who goes through all of them is a test in most cases")]
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];
        }
    };
}

/// The list of a column of a table, a separator between its items: `list!(Step::ROWS, 0, b' ')`.
#[macro_export]
macro_rules! list {
    ($rows:expr, $column:expr, $separator:expr) => {
        &$crate::table::join::<{ $crate::table::length($rows, $column) }, _>(
            $rows, $column, $separator,
        )
    };
}

/// The bytes that [`join`] makes.
pub const fn length<const COLUMNS: usize>(rows: &[[&str; COLUMNS]], column: usize) -> usize {
    let (mut length, mut row) = (rows.len() - 1, 0);
    while row < rows.len() {
        length += rows[row][column].len();
        row += 1;
    }
    length
}

/// The texts of a column, a separator between them.
pub const fn join<const LENGTH: usize, const COLUMNS: usize>(
    rows: &[[&str; COLUMNS]],
    column: usize,
    separator: u8,
) -> [u8; LENGTH] {
    let mut list = [separator; LENGTH];
    let (mut at, mut row) = (0, 0);
    while row < rows.len() {
        let text = rows[row][column].as_bytes();
        let mut byte = 0;
        while byte < text.len() {
            assert!(text[byte] != separator || separator == b' ');
            list[at + byte] = text[byte];
            byte += 1;
        }
        at += text.len() + 1;
        row += 1;
    }
    list
}

/// The list of texts that have numbers, in which each stands at the place that its number says, and
/// at other places nothing: `places!(ERRORS)`, where that is an array by number.
#[macro_export]
macro_rules! places {
    ($texts:expr) => {
        &$crate::table::spread::<{ $crate::table::spread_length(&$texts) }>(&$texts)
    };
}

/// The bytes that [`spread`] makes.
pub const fn spread_length(texts: &[(u32, &str)]) -> usize {
    let (mut last, mut length, mut row) = (0, 0, 0);
    while row < texts.len() {
        let (number, text) = texts[row];
        length += text.len();
        last = if number > last { number } else { last };
        row += 1;
    }
    length + last as usize
}

/// The texts at the places that their numbers say, a space between two places.
pub const fn spread<const LENGTH: usize>(texts: &[(u32, &str)]) -> [u8; LENGTH] {
    let mut list = [b' '; LENGTH];
    let (mut at, mut place, mut done) = (0, 0, 0);
    while done < texts.len() {
        let (mut row, before) = (0, done);
        while row < texts.len() {
            let (number, text) = (texts[row].0, texts[row].1.as_bytes());
            let mut byte = 0;
            while number == place && byte < text.len() {
                list[at] = text[byte];
                (at, byte) = (at + 1, byte + 1);
            }
            done += (number == place) as usize;
            row += 1;
        }
        // Two texts with the same number do not compile.
        assert!(done <= before + 1);
        (at, place) = (at + 1, place + 1);
    }
    list
}

/// How many words a text has.
const fn words(text: &str) -> usize {
    let (text, mut count, mut byte) = (text.as_bytes(), 0, 0);
    while byte < text.len() {
        if text[byte] != b' ' && (byte == 0 || text[byte - 1] == b' ') {
            count += 1;
        }
        byte += 1;
    }
    count
}

/// How many words the rows before `row` have in a column: the place of its first word in the
/// column's list.
pub const fn place<const COLUMNS: usize>(
    rows: &[[&str; COLUMNS]],
    column: usize,
    row: usize,
) -> usize {
    let (mut place, mut before) = (0, 0);
    while before < row {
        place += words(rows[before][column]);
        before += 1;
    }
    place
}

/// For each word of a column's list the number of the row that it stands in. There are `place(rows,
/// column, rows.len())`.
pub const fn owners<const WORDS: usize, const COLUMNS: usize>(
    rows: &[[&str; COLUMNS]],
    column: usize,
) -> [u8; WORDS] {
    let (mut owners, mut at, mut row) = ([0; WORDS], 0, 0);
    while row < rows.len() {
        let mut count = words(rows[row][column]);
        while count > 0 {
            owners[at] = row as u8;
            (at, count) = (at + 1, count - 1);
        }
        row += 1;
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    table! {
        enum Animal [2] {
            /// With an other name.
            Cat: "cat tom", "meow";
            Fish: "fish", "";
            Dog: "dog", "bow wow";
        }
    }

    const NAMES: &[u8] = list!(Animal::ROWS, 0, b' ');
    const SOUNDS: &[u8] = list!(Animal::ROWS, 1, b'\n');
    const OWNERS: [u8; 4] = owners(Animal::ROWS, 0);

    #[test]
    fn columns() {
        assert_eq!(NAMES, b"cat tom fish dog");
        assert_eq!(SOUNDS, b"meow\n\nbow wow");
    }

    #[test]
    fn places_and_owners() {
        assert_eq!(place(Animal::ROWS, 0, Animal::Cat as usize), 0);
        assert_eq!(place(Animal::ROWS, 0, Animal::Dog as usize), 3);
        let [cat, fish, dog] = [Animal::Cat, Animal::Fish, Animal::Dog].map(|animal| animal as u8);
        assert_eq!(OWNERS, [cat, cat, fish, dog]);
    }
}
