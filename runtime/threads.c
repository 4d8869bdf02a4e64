/* runtime/threads.c: a pool of threads that runs the parts of divided work.
 *
 * in: a task, a number of parts     out: each part run once, all ended
 *
 * The calling thread is worker 0 and does what the others do: it takes the next part until none is
 * left, so that it never waits for a thread that has not begun. A thread without work looks for it
 * for a while, because the next kernel usually comes at once, and then sleeps. Threads are started
 * when they are first wanted: small models never do.
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

/* `state` counts the jobs, and in its last bits the parts of the job that nobody has taken. */
enum { LEFT_BITS = 24 };
#define LEFT_MASK (((uint64_t)1 << LEFT_BITS) - 1)

/* Waking a sleeping thread costs some microseconds; looking for work longer than a few of these
 * only takes time from others. */
#define LOOKING_SECONDS 100e-6

typedef struct Worker {
    struct DlrtThreads *threads;
    int64_t number;
} Worker;

struct DlrtThreads {
    DlrtParallel parallel;
    int64_t count, started; /* the calling thread included */
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
    _Alignas(64) _Atomic uint64_t state;
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

/* Takes parts until none is left. That the state has not changed between the loads and the exchange
 * means that they belong together: while a part is left the job stays. */
static void take_parts(DlrtThreads *t, int64_t worker) {
    uint64_t state = atomic_load_explicit(&t->state, memory_order_acquire);
    while (state & LEFT_MASK) {
        DlrtTask *task = atomic_load_explicit(&t->task, memory_order_relaxed);
        const void *argument = atomic_load_explicit(&t->argument, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(&t->state, &state, state - 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        task(argument, (int64_t)(state & LEFT_MASK) - 1, worker);
        end_part(t);
        state = atomic_load_explicit(&t->state, memory_order_acquire);
    }
}

static bool has_work(DlrtThreads *t) {
    return (atomic_load(&t->state) & LEFT_MASK) != 0 || atomic_load(&t->closing);
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
        take_parts(t, worker->number);
        look_for_work(t);
    }
    return NULL;
}

/* Signals are the calling thread's. A thread that cannot be had is done without. */
static void start_workers(DlrtThreads *t) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (t->started < t->count) {
        Worker *worker = &t->workers[t->started];
        *worker = (Worker){t, t->started};
        if (pthread_create(&t->handles[t->started], NULL, run_worker, worker) != 0) break;
        t->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->count = t->started;
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

static void run_parts(void *context, DlrtTask *task, const void *argument, int64_t parts) {
    DlrtThreads *t = context;
    if (t->started < t->count) start_workers(t);
    if (t->count < 2 || parts < 2 || (uint64_t)parts > LEFT_MASK) {
        for (int64_t part = 0; part < parts; part++) task(argument, part, 0);
        return;
    }
    atomic_store_explicit(&t->task, task, memory_order_relaxed);
    atomic_store_explicit(&t->argument, argument, memory_order_relaxed);
    atomic_store_explicit(&t->running, parts, memory_order_relaxed);
    uint64_t jobs = (atomic_load_explicit(&t->state, memory_order_relaxed) >> LEFT_BITS) + 1;
    atomic_store(&t->state, jobs << LEFT_BITS | (uint64_t)parts);
    if (atomic_load(&t->sleeping)) {
        pthread_mutex_lock(&t->mutex);
        pthread_cond_broadcast(&t->work);
        pthread_mutex_unlock(&t->mutex);
    }
    take_parts(t, 0);
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
    Worker *workers = calloc((size_t)count, sizeof *workers);
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
    t->count = count;
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
