/*
 * sys.h: the system calls that need care, each in one place. There is no hook for tests in it: those of
 * test/torture lead the calls through their own code when they are linked.
 *
 * All return -errno. SHARED MEMORY follows rule 2 of the house: the writer creates, maps, seals (SHRINK,
 * GROW, FUTURE_WRITE, SEAL) and sets MADV_DONTFORK; the reader verifies seals and size, then maps
 * read-only.
 */
#ifndef STEAD_LIB_SYS_H
#define STEAD_LIB_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A sealed memfd of `bytes` (rounded up to pages), mapped read-write here only. Close-on-exec. */
int sys_shm_create(const char *name, size_t bytes, int *ret_fd, void **ret_map);
/* Map another process's page read-only after checking the four seals and that its size is exactly
 * `bytes` rounded up to pages (bytes 0: any size up to bytes_max, told in ret_bytes). -EPERM: not
 * sealed; -EBADMSG: wrong size or kind. The descriptor stays the caller's. */
int sys_shm_map(int fd, size_t bytes, size_t bytes_max, size_t *ret_bytes, const void **ret_map);
void sys_shm_unmap(const void *map, size_t bytes);
/* A memfd of `bytes` (rounded up to pages), zeroed, that begins with n bytes at p, whose size can change no
 * more and that whoever holds it may write: for what several processes count together. */
int sys_shm_common(const char *name, size_t bytes, const void *p, size_t n, int *ret_fd);
/* Map one read-write, after checking seals and size. Errors as sys_shm_map(). */
int sys_shm_map_common(int fd, size_t bytes, void **ret_map);
/* A fully sealed memfd (also WRITE) that holds exactly these bytes: a snapshot's segment. */
int sys_memfd_sealed(const char *name, const void *p, size_t n, int *ret_fd);
/* Map a fully sealed memfd read-only. -EPERM when a seal is missing. */
int sys_memfd_map(int fd, size_t bytes_max, size_t *ret_bytes, const void **ret_map);

int sys_cloexec(int fd, bool on);
int sys_nonblock(int fd, bool on);
int sys_socketpair_seqpacket(int ret_fds[2]); /* close-on-exec, buffers sized for CHAN_PAYLOAD_MAX */
int sys_pidfd_open(pid_t pid);
int sys_pidfd_signal(int pidfd, int sig);
/* openat2 below dirfd: no symlink out, no .., no magic links (RESOLVE_BENEATH|NO_MAGICLINKS).
 * -EXDEV when the path leaves the folder. */
int sys_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/* The same with no symlink at all (RESOLVE_NO_SYMLINKS). */
int sys_open_nosymlink(int dirfd, const char *path, int flags, mode_t mode);
int sys_close_from(int lowest);
/* n bytes from the kernel's generator. */
int sys_random(void *p, size_t n);
/* Proportional set size in bytes from smaps_rollup; 0 when it cannot be read. */
uint64_t sys_pss_bytes(pid_t pid);
/* The same, or where that may not be read what is resident (ret_exact false: shared pages count in
 * each). `family`: with its children. 0 when there is no such process. */
uint64_t sys_memory_bytes(pid_t pid, bool family, bool *ret_exact);
/* The whole of a file up to max bytes, NUL-terminated, malloc'd. -EFBIG. */
int sys_read_file(int dirfd, const char *path, size_t max, char **ret_text, size_t *ret_n);
/* /proc/self/exe's folder, without a slash at the end. */
int sys_exe_dir(char *ret_dir, size_t cap);

/* 64-bit checksum (FNV-like, word-wise; not cryptographic) for snapshots and durable files. */
uint64_t sys_checksum(const void *p, size_t n);

#endif
