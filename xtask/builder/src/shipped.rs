//! Where the builder finds ready profiles and inits: in an unpacked release archive, or wherever another program has them.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;

/// What has the profiles and the inits.
pub trait Source {
    /// The folder of the ready profiles.
    fn profiles(&self) -> PathBuf;

    /// The init.
    fn init(&self, arch: Arch) -> Result<PathBuf>;

    /// The file of a profile. What has neither a slash nor a dot is the name of a ready one.
    fn profile(&self, given: &Path) -> Result<PathBuf> {
        let name = given.to_str().filter(|name| !name.contains(['/', '.']));
        let Some(name) = name else {
            return Ok(given.to_owned());
        };
        let folder = self.profiles();
        let file = folder.join(format!("{name}.toml"));
        ensure!(
            file.is_file(),
            "no ready profile {name} in {}, which has {}; a file of that name is ./{name}",
            folder.display(),
            list(
                names(&folder)?
                    .iter()
                    .filter_map(|file| file.strip_suffix(".toml"))
            )
        );
        Ok(file)
    }
}

/// An unpacked release archive: the folder with `bin`, `lib` and `share`.
pub struct Release(PathBuf);

impl Release {
    /// The release that the running program lies in.
    pub fn of_program() -> Result<Self> {
        let program = env::current_exe().or_else(|_| {
            // Where /proc is not mounted, as in a bare chroot: what the kernel was asked to execute.
            let given = OsStr::from_bytes(rustix::param::linux_execfn().to_bytes());
            fs::canonicalize(given)
        });
        let program = program.context("cannot tell where this program lies")?;
        let folder = program.ancestors().nth(2);
        let folder = folder.context("this program does not lie in a folder like /usr/bin")?;
        Ok(Self(folder.to_owned()))
    }
}

impl Source for Release {
    fn profiles(&self) -> PathBuf {
        self.0.join("share/toehold/profiles")
    }

    fn init(&self, arch: Arch) -> Result<PathBuf> {
        let path = self.0.join(INITS).join(arch.name()).join("init");
        ensure!(
            path.is_file(),
            "no init in {}; --init FILE gives one",
            path.parent().unwrap_or(&self.0).display()
        );
        Ok(path)
    }
}

/// Where a release has the inits, a folder for each architecture.
pub const INITS: &str = "lib/toehold";

/// The names of the files in a folder, ascending.
fn names(folder: &Path) -> Result<Vec<String>> {
    let list = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    };
    list().with_context(|| format!("cannot list {}", folder.display()))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A release with these inits of so many bytes for x86_64, and two profiles.
    fn release(inits: &[(&str, usize)]) -> (tempfile::TempDir, Release) {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("lib/toehold/x86_64");
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in inits {
            fs::write(folder.join(name), vec![0; *bytes]).unwrap();
        }
        let profiles = room.path().join("share/toehold/profiles");
        fs::create_dir_all(&profiles).unwrap();
        fs::write(profiles.join("root.toml"), "mode = \"root\"\n").unwrap();
        let netboot = "mode = \"usr\"\n[usr]\nmountpoint = \"/usr\"\nimage = \"i\"\n[netboot]\n[emergency]\nshell = false\n";
        fs::write(profiles.join("netboot.toml"), netboot).unwrap();
        let source = Release(room.path().to_owned());
        (room, source)
    }

    #[test]
    fn the_init_that_shipped_for_the_architecture() {
        let (room, source) = release(&[("init", 1), ("notes", 0)]);
        let init = source.init(Arch::X86_64).unwrap();
        assert_eq!(init, room.path().join("lib/toehold/x86_64/init"));
        let folder = room.path().join("lib/toehold").display().to_string();
        let error = source.init(Arch::Aarch64).unwrap_err();
        let expected = format!("no init in {folder}/aarch64; --init FILE gives one");
        assert_eq!(format!("{error:#}"), expected);
    }

    #[test]
    fn ready_profiles_by_name_and_others_by_path() {
        let (room, source) = release(&[]);
        for path in ["my.toml", "./root", "/etc/toehold", "../x"] {
            assert_eq!(source.profile(path.as_ref()).unwrap(), Path::new(path));
        }
        let error = source.profile("rot".as_ref()).unwrap_err().to_string();
        let folder = room.path().join("share/toehold/profiles");
        let folder = folder.display();
        let expected = format!(
            "no ready profile rot in {folder}, which has netboot, root; a file of that name is ./rot"
        );
        assert_eq!(error, expected);
    }
}
