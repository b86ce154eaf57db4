//! What the kernel says of a process's memory.

use std::fs;

/// A memory figure of /proc/PID/status, in KiB: `VmRSS` is what is resident now, `VmHWM` the most that ever was.
pub fn kib(process: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).expect("a figure in KiB")
}
