//! Architectures: what the same thing is called by those who need it.

use std::fmt::{self, Display, Formatter};

use object::Object;

/// An architecture that the init is built for.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Debug,
    Hash,
    Default,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    #[default]
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// That of this machine, or the default where that is none of these.
    pub fn host() -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|arch| arch.name() == std::env::consts::ARCH)
            .unwrap_or_default()
    }

    /// As the kernel's `uname -m` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust's target.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Where Debian has its libraries, below `lib` and `usr/lib`.
    pub fn libraries(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// That of an ELF file, if it is one of these.
    pub fn of(file: &[u8]) -> Option<Self> {
        match object::File::parse(file).ok()?.architecture() {
            object::Architecture::X86_64 => Some(Self::X86_64),
            object::Architecture::Aarch64 => Some(Self::Aarch64),
            _ => None,
        }
    }
}

impl Display for Arch {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Arch;

    #[test]
    fn the_hosts_is_what_uname_says() {
        let output = Command::new("uname").arg("-m").output().unwrap();
        let name = String::from_utf8(output.stdout).unwrap();
        let mut all = Arch::ALL.into_iter();
        let known = all.find(|arch| arch.name() == name.trim());
        assert_eq!(Arch::host(), known.unwrap_or(Arch::X86_64));
    }
}
