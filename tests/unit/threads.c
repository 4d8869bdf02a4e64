/* The pool of threads: every part once, by workers that are different, whatever the numbers; and
 * that it ends when it is closed in any state. */
#include "runtime/dlrt.h"

#include "test.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { MOST_PARTS = 300, MOST_WORKERS = 8 };

typedef struct Job {
    _Atomic int done[MOST_PARTS];
    _Atomic int busy[MOST_WORKERS]; /* is the worker at a part? */
    _Atomic int wrong;
    _Atomic int64_t sum;
    int64_t parts, workers;
    int spin;
} Job;

static void task(const void *argument, int64_t part, int64_t worker) {
    Job *job = (Job *)argument;
    if (part < 0 || part >= job->parts || worker < 0 || worker >= job->workers) {
        atomic_fetch_add(&job->wrong, 1);
        return;
    }
    if (atomic_fetch_add(&job->busy[worker], 1)) atomic_fetch_add(&job->wrong, 1);
    for (volatile int i = 0; i < job->spin; i++) continue;
    atomic_fetch_add(&job->done[part], 1);
    atomic_fetch_add(&job->sum, part);
    atomic_fetch_sub(&job->busy[worker], 1);
}

static void run(const DlrtParallel *parallel, int64_t parts, int64_t workers, int spin) {
    static Job job;
    memset(&job, 0, sizeof job);
    job.parts = parts;
    job.workers = workers;
    job.spin = spin;
    parallel->run(parallel->context, task, &job, parts);
    EXPECT_INT(job.wrong, 0);
    EXPECT_INT(job.sum, parts * (parts - 1) / 2);
    for (int64_t i = 0; i < parts; i++)
        if (job.done[i] != 1) EXPECT_INT(job.done[i], 1);
}

static void nap(long microseconds) {
    struct timespec time = {0, microseconds * 1000};
    nanosleep(&time, NULL);
}

static void pool(int64_t workers) {
    DlrtError error;
    DlrtThreads *threads = dlrt_threads_open(workers, &error);
    EXPECT(threads != NULL);
    if (!threads) return;
    const DlrtParallel *parallel = dlrt_threads_parallel(threads);
    for (int round = 0; round < 300; round++) {
        run(parallel, round, workers, round % 3 * 100);
        run(parallel, 2 + round % 15, workers, 2000);
        if (round % 20 == 0) nap(round % 40 ? 500 : 50); /* the workers fall asleep, or nearly */
    }
    dlrt_threads_close(threads);
}

int main(void) {
    EXPECT(dlrt_processors() >= 1);
    for (int64_t workers = 1; workers <= 4; workers++) pool(workers);
    for (int i = 0; i < 20; i++) { /* closed at once, and right behind a job */
        DlrtError error;
        DlrtThreads *threads = dlrt_threads_open(3, &error);
        if (i % 2) run(dlrt_threads_parallel(threads), 5, 3, 100);
        dlrt_threads_close(threads);
    }
    dlrt_threads_close(NULL);
    TEST_END();
}
