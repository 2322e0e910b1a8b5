/* What a test puts before libc in a program that is tested as it is (LD_PRELOAD):

   - a clock that is off: DIR/clock, 8 bytes, the seconds to add to the time of day, looked at on every call;
   - a program held or killed in the middle of its work: DIR/trap, lines `kill` or `hold`, then words. When one line of the
     program's log has all the words, the trap springs, once: it becomes DIR/sprung, and the process is killed before the line
     is written, or stands there until DIR/go appears.

   The program needs no branch for its tests, and a step is met where its log line says that it begins.
   DIR is DRAWBRIDGE_SHIM. Times that only measure (CLOCK_MONOTONIC) are not touched. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;
static const char *directory;

static void path_of(char *path, size_t size, const char *name) { snprintf(path, size, "%s/%s", directory, name); }

__attribute__((constructor)) static void begin(void) {
    char path[512];
    directory = getenv("DRAWBRIDGE_SHIM");
    if (!directory) return;
    path_of(path, sizeof path, "clock");
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) offset = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (!result && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

static int has_all(const char *line, size_t length, char *words) {
    for (char *rest = words, *word; (word = strtok_r(rest, "\n", &rest));)
        if (!memmem(line, length, word, strlen(word))) return 0;
    return 1;
}

static void spring(const char *line, size_t length) {
    char trap[512], sprung[512], go[512], words[1024];
    path_of(trap, sizeof trap, "trap");
    int file = open(trap, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t got = read(file, words, sizeof words - 1);
    close(file);
    if (got < 6) return;
    words[got] = 0;
    int kills = !strncmp(words, "kill\n", 5);
    if (!has_all(line, length, words + 5)) return;
    path_of(sprung, sizeof sprung, "sprung");
    if (rename(trap, sprung)) return; /* another thread was faster */
    if (kills) {
        kill(getpid(), SIGKILL);
        /* The kernel spares the first process of a PID namespace, which a container's is, from signals of its own. Nothing of
           the program runs after this either. */
        syscall(SYS_exit_group, 137);
    }
    path_of(go, sizeof go, "go");
    for (int i = 0; i < 2000 && access(go, F_OK); i++) usleep(5000);
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (directory && file == 1) spring(bytes, length);
    return syscall(SYS_write, file, bytes, length);
}
