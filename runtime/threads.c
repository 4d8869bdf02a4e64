/* runtime/threads.c: a pool of threads that runs the parts of divided work.
 *
 * in: a task, a number of parts     out: each part run once, all ended
 *
 * The calling thread is worker 0 and does what the others do: it takes the next part until none is
 * left, so that it never waits for a thread that has not begun. Each worker has its own share of
 * the parts, the same ones every time, because its caches hold what they read and wrote the last
 * time; it helps others when its own are done. A thread without work looks for it for a while,
 * because the next kernel usually comes at once, and then sleeps. Threads are started when they are
 * first wanted: small models never do.
 */
#define _GNU_SOURCE /* sched_getaffinity */

#include "runtime/private.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* `left` counts the jobs, and in its last bits the parts of a worker's share that nobody has taken.
 */
enum { LEFT_BITS = 24 };
#define LEFT_MASK (((uint64_t)1 << LEFT_BITS) - 1)

/* Waking a sleeping thread costs some microseconds; looking for work longer than a few of these
 * only takes time from others. */
#define LOOKING_SECONDS 100e-6

typedef struct Worker {
    _Alignas(64) _Atomic uint64_t left; /* on a line of its own */
    struct DlrtThreads *threads;
    int64_t number;
} Worker;

struct DlrtThreads {
    DlrtParallel parallel;
    int64_t count;           /* of workers, the calling thread included */
    int64_t wanted, started; /* fewer than `count` where no more threads can be had */
    pthread_t *handles;
    Worker *workers;
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    atomic_int sleeping; /* workers that wait for `work` */
    atomic_bool waiting; /* the caller waits for `ended` */
    atomic_bool closing;
    /* The job. These change only while no part of it is left and none is running. */
    _Atomic(DlrtTask *) task;
    _Atomic(const void *) argument;
    _Atomic int64_t parts, shares;
    _Alignas(64) _Atomic int64_t running; /* parts that have not ended */
};

/* ---- processors ------------------------------------------------------------------------------ */

/* A container may have a share of more processors than it may keep busy. */
static int64_t within_quota(int64_t processors) {
    char line[64] = "", *rest = line;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!file) return processors;
    bool limited = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    int64_t quota = strtoll(line, &rest, 10), period = strtoll(rest, NULL, 10);
    if (!limited || quota <= 0 || period <= 0 || quota / period >= processors) return processors;
    return (quota + period - 1) / period;
}

int64_t dlrt_processors(void) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) online = CPU_COUNT(&set);
#endif
    return within_quota(online > 0 ? online : 1);
}

static void rest(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- taking parts ---------------------------------------------------------------------------- */

static void end_part(DlrtThreads *t) {
    if (atomic_fetch_sub(&t->running, 1) > 1 || !atomic_load(&t->waiting)) return;
    pthread_mutex_lock(&t->mutex);
    pthread_cond_signal(&t->ended);
    pthread_mutex_unlock(&t->mutex);
}

/* The first part of a worker's share. */
static int64_t first_part(int64_t parts, int64_t shares, int64_t worker) {
    return parts * worker / shares;
}

/* Takes parts of the share of `owner` until none is left. That `left` has not changed between the
 * loads and the exchange means that they belong together: while a part is left the job stays. */
static void take_share(DlrtThreads *t, const Worker *worker, Worker *owner) {
    uint64_t left = atomic_load_explicit(&owner->left, memory_order_acquire);
    while (left & LEFT_MASK) {
        DlrtTask *task = atomic_load_explicit(&t->task, memory_order_relaxed);
        const void *argument = atomic_load_explicit(&t->argument, memory_order_relaxed);
        int64_t parts = atomic_load_explicit(&t->parts, memory_order_relaxed);
        int64_t shares = atomic_load_explicit(&t->shares, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(&owner->left, &left, left - 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        int64_t behind = first_part(parts, shares, owner->number + 1);
        task(argument, behind - (int64_t)(left & LEFT_MASK), worker->number);
        end_part(t);
        left = atomic_load_explicit(&owner->left, memory_order_acquire);
    }
}

/* First its own parts, then those of the workers behind it. */
static void take_parts(DlrtThreads *t, const Worker *worker) {
    for (int64_t i = 0; i < t->count; i++)
        take_share(t, worker, &t->workers[(worker->number + i) % t->count]);
}

static bool has_work(const DlrtThreads *t) {
    for (int64_t i = 0; i < t->count; i++)
        if (atomic_load(&t->workers[i].left) & LEFT_MASK) return true;
    return atomic_load(&t->closing);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void sleep_until_work(DlrtThreads *t) {
    pthread_mutex_lock(&t->mutex);
    atomic_fetch_add(&t->sleeping, 1);
    while (!has_work(t)) pthread_cond_wait(&t->work, &t->mutex);
    atomic_fetch_sub(&t->sleeping, 1);
    pthread_mutex_unlock(&t->mutex);
}

static void look_for_work(DlrtThreads *t) {
    double until = dlrt_seconds() + LOOKING_SECONDS;
    do {
        for (int i = 0; i < 64; i++) {
            if (has_work(t)) return;
            rest();
        }
    } while (dlrt_seconds() < until);
    sleep_until_work(t);
}

static void *run_worker(void *data) {
    const Worker *worker = data;
    DlrtThreads *t = worker->threads;
    while (!atomic_load(&t->closing)) {
        take_parts(t, worker);
        look_for_work(t);
    }
    return NULL;
}

/* Signals are the calling thread's. A thread that cannot be had is done without. */
static void start_workers(DlrtThreads *t) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (t->started < t->wanted) {
        Worker *worker = &t->workers[t->started];
        if (pthread_create(&t->handles[t->started], NULL, run_worker, worker) != 0) break;
        t->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->wanted = t->started;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static void wait_for_end(DlrtThreads *t) {
    double until = 0;
    for (int64_t i = 1; atomic_load_explicit(&t->running, memory_order_acquire); i++) {
        rest();
        if (i % 64) continue;
        if (until == 0) until = dlrt_seconds() + LOOKING_SECONDS;
        if (dlrt_seconds() < until) continue;
        pthread_mutex_lock(&t->mutex);
        atomic_store(&t->waiting, true);
        while (atomic_load(&t->running)) pthread_cond_wait(&t->ended, &t->mutex);
        atomic_store(&t->waiting, false);
        pthread_mutex_unlock(&t->mutex);
    }
}

static void give_share(DlrtThreads *t, int64_t parts, int64_t worker) {
    _Atomic uint64_t *left = &t->workers[worker].left;
    uint64_t jobs = (atomic_load_explicit(left, memory_order_relaxed) >> LEFT_BITS) + 1;
    int64_t behind = first_part(parts, t->started, worker + 1);
    uint64_t share = (uint64_t)(behind - first_part(parts, t->started, worker));
    atomic_store(left, jobs << LEFT_BITS | share);
}

static void run_parts(void *context, DlrtTask *task, const void *argument, int64_t parts) {
    DlrtThreads *t = context;
    if (t->started < t->wanted) start_workers(t);
    if (t->started < 2 || parts < 2 || (uint64_t)parts > LEFT_MASK) {
        for (int64_t part = 0; part < parts; part++) task(argument, part, 0);
        return;
    }
    atomic_store_explicit(&t->task, task, memory_order_relaxed);
    atomic_store_explicit(&t->argument, argument, memory_order_relaxed);
    atomic_store_explicit(&t->running, parts, memory_order_relaxed);
    atomic_store_explicit(&t->parts, parts, memory_order_relaxed);
    atomic_store_explicit(&t->shares, t->started, memory_order_relaxed);
    for (int64_t i = 0; i < t->started; i++) give_share(t, parts, i);
    if (atomic_load(&t->sleeping)) {
        pthread_mutex_lock(&t->mutex);
        pthread_cond_broadcast(&t->work);
        pthread_mutex_unlock(&t->mutex);
    }
    take_parts(t, &t->workers[0]);
    wait_for_end(t);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void stop_workers(DlrtThreads *t) {
    atomic_store(&t->closing, true);
    pthread_mutex_lock(&t->mutex);
    pthread_cond_broadcast(&t->work);
    pthread_mutex_unlock(&t->mutex);
    for (int64_t i = 1; i < t->started; i++) pthread_join(t->handles[i], NULL);
    t->started = 1;
    atomic_store(&t->closing, false);
}

bool dlrt_threads_resize(DlrtThreads *t, int64_t count, DlrtError *error) {
    if (count < 1) count = 1;
    pthread_t *handles = calloc((size_t)count, sizeof *handles);
    Worker *workers = aligned_alloc(_Alignof(Worker), (size_t)count * sizeof *workers);
    if (!handles || !workers) {
        free(handles);
        free(workers);
        return error_memory(error, "the threads");
    }
    stop_workers(t);
    free(t->handles);
    free(t->workers);
    t->handles = handles;
    t->workers = workers;
    for (int64_t i = 0; i < count; i++) t->workers[i] = (Worker){.threads = t, .number = i};
    t->count = t->wanted = count;
    return true;
}

DlrtThreads *dlrt_threads_open(int64_t count, DlrtError *error) {
    DlrtThreads *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (!t) {
        error_memory(error, "the threads");
        return NULL;
    }
    *t = (DlrtThreads){.parallel = {run_parts, t}, .started = 1};
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->work, NULL);
    pthread_cond_init(&t->ended, NULL);
    if (dlrt_threads_resize(t, count, error)) return t;
    dlrt_threads_close(t);
    return NULL;
}

const DlrtParallel *dlrt_threads_parallel(const DlrtThreads *threads) {
    return &threads->parallel;
}

void dlrt_threads_close(DlrtThreads *t) {
    if (!t) return;
    stop_workers(t);
    pthread_cond_destroy(&t->ended);
    pthread_cond_destroy(&t->work);
    pthread_mutex_destroy(&t->mutex);
    free(t->handles);
    free(t->workers);
    free(t);
}
