/* Makes every file lock fail, as on NFS, Lustre or SMB mounts without locks. For test_resume.py, on any disc:
 *   cc -shared -fPIC -DNUMBER=37 -o nolock.so nolock.c -ldl
 *   LD_PRELOAD=$PWD/nolock.so python cli.py preprocess DATA SHARDS
 * NUMBER: 37 ENOLCK (NFS), 38 ENOSYS (Lustre without -o flock), 95 EOPNOTSUPP (SMB, FUSE). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#ifndef NUMBER
#define NUMBER 37
#endif

static int is_lock(int command) {
  return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

int flock(int file, int how) {
  (void)file, (void)how;
  errno = NUMBER;
  return -1;
}

#define WRAP(name)                                                             \
  int name(int file, int command, ...) {                                       \
    va_list rest;                                                              \
    va_start(rest, command);                                                   \
    void *what = va_arg(rest, void *);                                         \
    va_end(rest);                                                              \
    if (is_lock(command)) return errno = NUMBER, -1;                           \
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, #name); \
    return real(file, command, what);                                          \
  }
WRAP(fcntl)
WRAP(fcntl64)
