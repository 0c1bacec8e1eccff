//! What the system says about this process.

/// Memory of this process that is in RAM, in bytes; `None` where there is no `/proc`
/// ([`VmRSS`](https://man7.org/linux/man-pages/man5/proc_pid_status.5.html)).
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
