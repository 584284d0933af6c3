//! The module pack: a group of modules unpacked to files, where those modules are that it does not
//! have.

use crate::sys::call::Result as Call;
use crate::sys::memory::{map_file, map_zeroed};
use crate::sys::modules::open_file;
use rustix::fs::OFlags;
use rustix::io::Errno;
use toehold::format::pack::{
    self,
    modules::{Modules, Tables},
};
use toehold::format::plan::{Module, Plan};
use toehold::shared::PACK;

/// Unpacks this group, unless another process has done it. Who does it holds the lock of a file of
/// the group's name until it ends, and writes something into it when all modules are there.
pub fn unpack(plan: &Plan, group: &Module, tables: &mut Tables) -> Call {
    const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE);
    let done = open_file(group.name, b"", NEW)?;
    done.lock()?;
    if done.status()?.size != 0 {
        return Ok(());
    }
    let number = group.number;
    let place = plan.groups_before(number);
    let group = pack::group(map_file(PACK)?, place).ok_or(Errno::BADMSG)?;
    let room = map_zeroed(group.room)?;
    let mut modules = Modules::none(tables);
    modules.unpack(group, room).ok_or(Errno::BADMSG)?;
    for module in plan.modules() {
        if module.is_in(number) {
            let file = open_file(module.name, b".ko", NEW)?;
            file.write(modules.take().ok_or(Errno::BADMSG)?)?;
        }
    }
    done.write(b"1")
}
