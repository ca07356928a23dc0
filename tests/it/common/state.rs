//! The recorded state of a site, and its cache.

use std::fs;
use std::path::Path;

use serde_json::Value;

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Reads the record of what production holds, with the records of the suites in their places: as formats before 2 had it.
pub(crate) fn published(root: &Path) -> Value {
    let mut list = read(&root.join("state/published.json"));
    for suite in list["suites"].as_object_mut().unwrap().values_mut() {
        let name = format!("state/manifests/{}.json", suite.as_str().unwrap());
        *suite = read(&root.join(name));
    }
    list
}

/// Writes it so that it is read as it stands.
pub(crate) fn write_published(root: &Path, list: &Value) {
    let mut list = list.clone();
    list["format"] = 1.into();
    let text = serde_json::to_vec(&list).unwrap();
    fs::write(root.join("state/published.json"), text).unwrap();
}

/// Makes the record of what is published one as there were before there were manifests.
pub(crate) fn forget_manifests(root: &Path) {
    let mut old = published(root);
    for suite in old["suites"].as_object_mut().unwrap().values_mut() {
        suite.as_object_mut().unwrap().remove("manifest");
    }
    write_published(root, &old);
    fs::remove_dir_all(root.join("state/manifests")).unwrap();
}

/// Changes an entry of the cache, so that its checksum is right.
pub(crate) fn forge(path: &Path, change: impl Fn(&[u8]) -> Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let content = change(&bytes[32..]);
    let name = hex::decode(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let checksum = hex::decode(super::apt::sha256(&[&name[..], &content].concat())).unwrap();
    fs::write(path, [checksum, content].concat()).unwrap();
}
