//! The bill of materials, in CycloneDX's JSON: programs, the crates that they are made from, and who needs whom.
//!
//! It is the same for the same programs: no time, and a serial number made from the rest.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::{
    archive::Files,
    packages::{Id, Packages},
};
use crate::lab::cache;

/// The document, for a release with these programs.
pub fn document(
    release: &str,
    version: &str,
    files: &Files,
    packages: &Packages,
) -> Result<String> {
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let mut programs = Vec::new();
    for (path, file) in files.iter().filter(|(_, file)| file.is_program) {
        components.push(json!({
            "type": "application",
            "bom-ref": path,
            "name": path,
            "version": version,
            "licenses": [{ "expression": OWN_LICENCE }],
            "hashes": [{ "alg": "SHA-256", "content": cache::digest(&file.bytes) }],
        }));
        let package = if path.starts_with("bin/") {
            "toehold-mkinitrd"
        } else {
            "toehold"
        };
        let id = (package.to_owned(), version.to_owned());
        dependencies.push(json!({ "ref": path, "dependsOn": [reference(&id)] }));
        programs.push(path);
    }
    for (id, package) in &packages.all {
        let (name, version) = id;
        let licence = package.licence.as_deref();
        let licence = licence.with_context(|| format!("the crate {name} names no licence"))?;
        let mut component = json!({
            "type": "library",
            "bom-ref": reference(id),
            "name": name,
            "version": version,
            // Macros and build scripts are no part of the programs.
            "scope": if packages.linked.contains(id) { "required" } else { "excluded" },
            "licenses": [{ "expression": licence }],
            "purl": reference(id),
        });
        if let Some(checksum) = &package.checksum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        components.push(component);
        let needs: Vec<String> = package.needs.iter().map(reference).collect();
        dependencies.push(json!({ "ref": reference(id), "dependsOn": needs }));
    }
    dependencies.push(json!({ "ref": release, "dependsOn": programs }));
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": release,
                "name": "toehold",
                "version": version,
                "licenses": [{ "expression": OWN_LICENCE }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    document["serialNumber"] = Value::String(serial(&document)?);
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

const OWN_LICENCE: &str = "MIT OR Apache-2.0";

/// The crate's package URL, which stands for it in the document, too.
fn reference((name, version): &Id) -> String {
    // A version's metadata begins with a plus sign.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// A UUID made from the document's hash (version 8, RFC 9562).
fn serial(document: &Value) -> Result<String> {
    let hash = Sha256::digest(serde_json::to_vec(document)?);
    let bytes = hash.first_chunk().context("a hash of 16 bytes and more")?;
    Ok(Builder::from_custom_bytes(*bytes)
        .into_uuid()
        .urn()
        .to_string())
}
