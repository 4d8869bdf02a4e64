/* driver/bench.h: what the files of `dlc bench` share. Private to them.
 *
 *     bench.c         runs everything                 bench_model.c    times a model and its
 * kernels bench_machine.c what the machine can do         bench_show.c     the table, the JSON
 *     bench_old.c     reads the JSON of another run
 */
#ifndef DLC_DRIVER_BENCH_H
#define DLC_DRIVER_BENCH_H

#include "driver/driver.h"

/* Of several runs, in seconds. */
typedef struct Timed {
    double median, least;
} Timed;

/* What memory of a size gives, in bytes a second: reading, and a = b + s * c (read and written). */
typedef struct MemoryLevel {
    const char *name;
    int64_t holds; /* bytes; the last level holds all */
    int64_t bytes; /* that were measured with */
    double read, triad;
} MemoryLevel;

enum { MEMORY_LEVELS = 4 };
typedef struct Limits {
    const DlrtParallel *parallel; /* NULL: one thread */
    int64_t threads;
    double flops;       /* a second */
    double pairs_flops; /* in pairs of bf16; 0: not asked for, or none */
    uint32_t nlevels;
    MemoryLevel levels[MEMORY_LEVELS];
} Limits;

/* A result of another run: the times in ms, NAN where it does not say. */
typedef struct OldKernel {
    char name[128];
    double ms;
} OldKernel;
typedef struct OldBench {
    char model[128];
    double batch, forward, backward, update, step, inference, inference_one, compile;
    size_t nkernels, capacity;
    OldKernel *kernels;
} OldBench;

typedef struct BenchKernel {
    const DlcBenchKernel *plan;
    Timed time;
    double bytes;           /* touched at least */
    double compute, memory; /* seconds at least, by the limits: for the operations, the bytes */
    double old;             /* ms in the run that this one is compared with; NAN */
} BenchKernel;

typedef struct Bench {
    Driver *driver;
    const Options *options;
    const DlcBench *plan;
    const DlrtModel *model;
    int64_t batch;
    bool trains;
    Limits limits;
    BenchKernel *kernels;
    size_t nkernels;
    Timed whole;             /* the step; the forward pass of a model that is not trained */
    Timed inference;         /* forward, a batch */
    Timed inference_one;     /* forward, one example, compiled for that */
    double compile, startup; /* seconds: from reading the file to code; before that */
    const DlcStage *stages;  /* what took the time */
    size_t nstages;
    bool has_old;
    OldBench old;
} Bench;

/* The time since a moment: what a clock on the wall says or, where that is long, one thread works
 * alone and another process had its processor meanwhile, the processor's time that it used. */
typedef struct Moment {
    double wall, processor; /* 0: not asked for */
} Moment;
Moment bench_begin(const DlrtParallel *parallel);
double bench_end(Moment begin);
/* Sorts the samples. */
Timed bench_timed(double *samples, size_t n);
/* count * bytes, 64-byte aligned and zero; NULL when there is no such memory. */
void *bench_memory(int64_t count, int64_t bytes);

/* bench_machine.c: false when memory is short. */
bool bench_machine(const DlcBench *plan, const DlrtParallel *parallel, int64_t threads,
                   Limits *limits);
/* The least time of the accesses, each at the speed of the smallest memory that holds what was
 * touched since. */
double bench_memory_time(const Limits *limits, const DlcTouch *touches, size_t n);

/* bench_model.c: false when memory is short. Times the whole and, when asked to, its kernels. */
bool bench_model(Bench *b);
bool bench_forward(const Driver *driver, const DlrtModel *model, int64_t batch, Timed *result);

/* bench_old.c: false after a message. */
bool bench_read_old(const char *path, OldBench *old);
void bench_free_old(OldBench *old);
/* The time of the n-th kernel of that name; NAN. */
double bench_old_kernel(const OldBench *old, const char *name, size_t n);

/* bench_show.c */
void bench_show(const Bench *b);
void bench_json(const Bench *b);
double bench_part_time(const Bench *b, DlcPart part);
const char *bench_part_name(DlcPart part);

#endif
