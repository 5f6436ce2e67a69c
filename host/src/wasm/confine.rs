//! Owns what the compile child may not do any more once it has its input and output: open files, connect, start programs.
//! A component that breaks the compiler gets nothing by it. Must not know what is compiled.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// What is refused from now on, for this thread and those that it starts: everything by which a process reaches files,
/// the network or other processes, `io_uring` with it. What a compiler does needs none of it.
const REFUSED: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_open_by_handle_at,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_mount,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kill,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_unshare,
    libc::SYS_setns,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_renameat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Gives up what a compiler does not need, for good (seccomp(2), which sets `no_new_privs`).
///
/// # Errors
/// When the system has no such filter: nothing is compiled without.
pub fn confine() -> Result<(), String> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| format!("the compiler cannot be confined: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_the_network_are_out_of_reach() {
        // Of a thread of its own, since there is no way back.
        let reached = std::thread::spawn(|| {
            let before = std::fs::File::open("/proc/self/status").is_ok();
            confine().expect("confined");
            let kind = |error: std::io::Error| error.raw_os_error();
            let file = std::fs::File::open("/proc/self/status").err().and_then(kind);
            let network = std::net::TcpListener::bind("127.0.0.1:0").err().and_then(kind);
            let program = std::process::Command::new("true").status().err().and_then(kind);
            // What it starts is confined, too; and memory is still to be had.
            let thread = std::thread::spawn(|| std::fs::File::open("/proc/self/status").is_ok());
            (before, [file, network, program], thread.join().expect("ends"), vec![0_u8; 64 << 20].len())
        });
        let (before, refused, thread, bytes) = reached.join().expect("ends");
        assert!(before && !thread && bytes == 64 << 20);
        assert_eq!(refused, [Some(libc::EACCES); 3]);
    }
}
