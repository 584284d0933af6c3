//! The builder: from a kernel's modules and a profile to an initrd with its plan and manifest.
