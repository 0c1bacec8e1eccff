//! Trees of files on the disk: made, looked at, compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What is compared of an entry: type and permission bits, and the hash of content or target.
pub type Tree = BTreeMap<String, (u32, String)>;

/// Names that break programs which are not careful.
const ODD_NAMES: [&str; 16] = [
    "-rf",
    " leading",
    "trailing ",
    "two\nlines",
    "tab\tulator",
    "quote\"'`",
    "back\\slash",
    "star*?[x]",
    "%00",
    "工作 日志.md",
    "é",
    "e\u{301}",
    "🦀",
    "...",
    ".hidden",
    "UPPER",
];

/// Everything below a directory.
pub fn look(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, "", &mut tree);
    tree
}

fn walk(folder: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let metadata = entry.path().symlink_metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o170_777;
        let content = if metadata.is_dir() {
            walk(&entry.path(), &format!("{path}/"), tree);
            String::new()
        } else if metadata.is_symlink() {
            fs::read_link(entry.path()).unwrap().display().to_string()
        } else {
            let mut hasher = blake3::Hasher::new();
            std::io::copy(&mut fs::File::open(entry.path()).unwrap(), &mut hasher).unwrap();
            hasher.finalize().to_string()
        };
        tree.insert(path, (mode, content));
    }
}

/// Fails with the first few differences.
#[track_caller]
pub fn same(expected: &Tree, found: &Tree) {
    let missing = expected.keys().filter(|path| !found.contains_key(*path));
    let more = found.keys().filter(|path| !expected.contains_key(*path));
    let other = expected
        .iter()
        .filter(|(path, entry)| found.get(*path).is_some_and(|found| found != *entry));
    let other: Vec<_> = other.take(5).collect();
    let (missing, more): (Vec<_>, Vec<_>) = (missing.take(5).collect(), more.take(5).collect());
    assert!(
        missing.is_empty() && more.is_empty() && other.is_empty(),
        "missing {missing:?}, more {more:?}, other {other:?}"
    );
}

/// Writes a file and the directories above it.
pub fn write(root: &Path, path: &str, content: &[u8], mode: u32) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A tree with everything that may go wrong in it, and `files` files more.
pub fn plant(root: &Path, files: usize, large_bytes: u64) {
    fs::create_dir_all(root).unwrap();
    for (n, name) in ODD_NAMES.into_iter().enumerate() {
        write(root, &format!("odd/{name}"), name.as_bytes(), 0o600);
        write(root, &format!("odd dirs/{name}/{name}"), &[n as u8], 0o644);
    }
    // The same letters in another case are other files here.
    write(root, "odd/upper", b"lower", 0o644);
    for mode in [
        0o400, 0o444, 0o600, 0o640, 0o644, 0o700, 0o755, 0o777, 0o000,
    ] {
        write(root, &format!("modes/{mode:o}"), b"mode", mode);
    }
    for mode in [0o500, 0o700, 0o711, 0o755, 0o777] {
        let folder = format!("folders/{mode:o}");
        write(root, &format!("{folder}/inside"), b"inside", 0o644);
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(root.join(folder), permissions).unwrap();
    }
    write(root, "empty file", b"", 0o644);
    fs::create_dir_all(root.join("empty/dir/in/dir")).unwrap();
    for (target, name) in [
        ("empty file", "to file"),
        ("folders", "to folder"),
        ("nowhere/at all", "dangling"),
        ("/etc/passwd", "absolute"),
        ("../../../..", "escaping"),
        ("loop", "loop"),
    ] {
        symlink(target, root.join(name)).unwrap();
    }
    for n in 0..files {
        let path = format!("many/{:02}/{}/file-{n}.txt", n % 40, n % 7);
        let content = format!("the content of file {n}\n").repeat(n % 50);
        write(root, &path, content.as_bytes(), 0o644);
    }
    let mut large = fs::File::create(root.join("large.bin")).unwrap();
    let mut content = blake3::Hasher::new().finalize_xof();
    std::io::copy(
        &mut std::io::Read::take(&mut content, large_bytes),
        &mut large,
    )
    .unwrap();
}
