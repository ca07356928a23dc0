//! The hash of a package's files, by which keys of packages tell apart what has the same name, version and architecture.

use super::PackageFile;

/// Returns the hash that stands at the end of a package's key: FNV-1a with 64 bits over the files in the order of their names; for each its
/// name, its length as eight bytes (highest first), and MD5, SHA-1 and SHA-256 in hex.
///
/// Clients of aptly hand such keys back, so the rule is aptly's. The SHA-512 is not part of it; a digest that is missing counts as empty.
pub fn files_hash(files: &[PackageFile]) -> u64 {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for file in files {
        add(&mut hash, file.name.as_bytes());
        add(&mut hash, &file.size.to_be_bytes());
        let md5 = file.md5.map(hex::encode).unwrap_or_default();
        let sha1 = file.sha1.map(hex::encode).unwrap_or_default();
        for digest in [md5, sha1, hex::encode(file.sha256)] {
            add(&mut hash, digest.as_bytes());
        }
    }
    hash
}

fn add(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}
