/* Writes numbered log lines at a steady rate and keeps a record of its own: when it wrote which number.
 *
 *   writer RECORD BYTES_PER_SECOND LINE_BYTES TOTAL STOP...
 *
 * The last TAIL lines come slowly, two a second: a log that is silent since its rotation does not say what it lost.
 *
 * RECORD holds eight bytes a line, nanoseconds since 1970, appended before the lines go out. A writer that is started
 * again goes on with the number after the last recorded one. At each STOP it exits with a failure, so that its container
 * restarts; at TOTAL it goes to sleep. Every recorded line was written whole: the only exits are between two batches. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, LONGEST = 4096, TAIL = 40 };

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void put(int file, const void *bytes, size_t length) {
    const char *rest = bytes;
    while (length > 0) {
        ssize_t written = write(file, rest, length);
        if (written <= 0) {
            perror("writer");
            exit(2);
        }
        rest += written;
        length -= (size_t)written;
    }
}

int main(int count, char **words) {
    if (count < 5) {
        fprintf(stderr, "writer RECORD BYTES_PER_SECOND LINE_BYTES TOTAL STOP...\n");
        return 2;
    }
    int record = open(words[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
    struct stat about;
    if (record < 0 || fstat(record, &about) != 0) {
        perror(words[1]);
        return 2;
    }
    int64_t rate = atoll(words[2]), length = atoll(words[3]), total = atoll(words[4]), stop = total;
    int64_t number = about.st_size / 8;
    if (length < 64 || length > LONGEST || rate < length) {
        fprintf(stderr, "writer: a line has 64 to %d bytes, and the rate is at least a line a second\n", LONGEST);
        return 2;
    }
    for (int word = 5; word < count; word++)
        if (atoll(words[word]) > number && atoll(words[word]) < stop)
            stop = atoll(words[word]);

    static char lines[BATCH * LONGEST];
    int64_t times[BATCH], begun = now(CLOCK_MONOTONIC), first = number;
    while (number < stop) {
        int64_t due = begun + (int64_t)((double)(number - first) * (double)length * 1e9 / (double)rate);
        int64_t early = due - now(CLOCK_MONOTONIC);
        if (early > 0) {
            struct timespec pause = {early / 1000000000, early % 1000000000};
            nanosleep(&pause, NULL);
        }
        int64_t fast = total - TAIL - number, batch = stop - number < BATCH ? stop - number : BATCH;
        if (fast <= 0) {
            struct timespec pause = {0, 500000000};
            nanosleep(&pause, NULL);
            batch = 1;
        } else if (batch > fast) {
            batch = fast;
        }
        for (int64_t index = 0; index < batch; index++) {
            char *line = lines + index * length;
            times[index] = now(CLOCK_REALTIME);
            int head = snprintf(line, (size_t)length, "n=%012lld t=%lld ", (long long)(number + index), (long long)times[index]);
            memset(line + head, '.', (size_t)(length - head - 1));
            line[length - 1] = '\n';
        }
        put(record, times, (size_t)batch * sizeof times[0]);
        put(STDOUT_FILENO, lines, (size_t)(batch * length));
        number += batch;
    }
    if (stop < total)
        return 1;
    for (;;)
        pause();
}
