//! A keyboard and a screen: keys pressed, and the screen's text read back.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, json};

use super::running::Running;

/// Columns and rows of VGA's text mode, which lies here in memory: a byte for each character, and one for its colours.
const COLUMNS: usize = 80;
const ROWS: usize = 25;
const ADDRESS: u64 = 0xB8000;

/// What a person types on. With it comes a VGA screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyboard {
    /// At the i8042 controller.
    Ps2,
    /// At an xHCI controller; there is no i8042.
    Usb,
}

impl Keyboard {
    /// QEMU's arguments for the devices.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Ps2 => &["-device", "VGA"],
            Self::Usb => &[
                "-device",
                "VGA",
                "-device",
                "qemu-xhci",
                "-device",
                "usb-kbd",
            ],
        }
    }
}

impl Running {
    /// Presses a key for each of these characters: lower-case letters, digits, blanks, `\n` for Enter.
    pub fn press(&self, text: &str) -> Result<()> {
        let mut qmp = self.qmp()?;
        for character in text.chars() {
            let key = match character {
                'a'..='z' | '0'..='9' => character.to_string(),
                ' ' => "spc".to_owned(),
                '\n' => "ret".to_owned(),
                _ => anyhow::bail!("no key for {character:?}"),
            };
            let keys = json!([{ "type": "qcode", "data": key }]);
            qmp.execute("send-key", Map::from_iter([("keys".to_owned(), keys)]))?;
            // As long as QEMU holds a key down.
            std::thread::sleep(Duration::from_millis(150));
        }
        Ok(())
    }

    /// The screen's text, a line of 80 characters each row. The kernel has to be started with `no-scroll`: otherwise what is shown does not begin where the memory does.
    pub fn screen(&self) -> Result<Vec<String>> {
        let mut qmp = self.qmp()?;
        let file = self.room.path().join("screen");
        let len = COLUMNS * ROWS * 2;
        let arguments = json!({ "val": ADDRESS, "size": len, "filename": file });
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        qmp.execute("pmemsave", arguments)?;
        let cells = fs::read(&file).context("QEMU did not write the screen")?;
        ensure!(cells.len() == len, "QEMU wrote {} bytes", cells.len());
        Ok(cells
            .chunks(COLUMNS * 2)
            .map(|row| {
                let characters = row.iter().step_by(2);
                characters.map(|byte| char::from(*byte)).collect()
            })
            .collect())
    }

    /// Looks at the screen until it has `text`, be it over the end of a row; false if it has not for so long.
    pub fn wait_for_screen(&self, text: &str, time: Duration) -> Result<bool> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.screen()?.concat().contains(text) {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(false)
    }
}
