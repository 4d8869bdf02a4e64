/* runtime/abi.h: what compiled code, the compiler and the runtime agree on.
 *
 * The one header that both sides of the project read. `real` below is float, or double in a
 * model compiled for double precision.
 */
#ifndef DLRT_ABI_H
#define DLRT_ABI_H

#include <stdbool.h>
#include <stdint.h>

/* One part of work that was divided: task(argument, part, worker). */
typedef void DlrtTask(const void *argument, int64_t part, int64_t worker);

/* Somebody's threads. `run` calls task(argument, part, worker) once for each part in 0 .. parts-1,
 * in any order and in any threads, and returns when all have ended. `worker` is a number in 0 ..
 * workers-1, where workers is what the function was compiled for; calls that go on at the same time
 * have different ones. The bits of the results do not depend on who does what. */
typedef struct DlrtParallel {
    void (*run)(void *context, DlrtTask *task, const void *argument, int64_t parts);
    void *context;
} DlrtParallel;

/* The argument of every compiled function. codegen/module.c lays out the same struct. */
typedef struct DlrtCall {
    void *params;              /* real[], 64-byte aligned */
    void *state;               /* real[], 64-byte aligned */
    const void *const *inputs; /* one array per input and target, example after example: real[], or
                                  int32_t[] for class(K) */
    void *const *results;      /* one array per result of the function */
    int64_t n;                 /* examples in this call, 1 .. max_batch */
    uint64_t seed, step;       /* step counts from 1 */
    void *arena;               /* 64-byte aligned, at least the arena size of the function */
    const DlrtParallel *parallel; /* NULL: all work in the calling thread */
} DlrtCall;

typedef void DlrtFunction(const DlrtCall *call);

/* An input, a target or an output. */
typedef struct DlrtPort {
    const char *name;
    uint32_t rank; /* of one example */
    const int64_t *dims;
    int64_t elements; /* of one example */
    int64_t classes;  /* 0: real numbers; K: int32_t in 0..K-1 */
    bool batched;     /* false: one array for the whole batch (an output that no input reaches) */
} DlrtPort;

/* A parameter or a state tensor. */
typedef struct DlrtTensor {
    const char *name;
    uint32_t rank;
    const int64_t *dims;
    int64_t elements;
    int64_t offset; /* in elements of `real`, within params or state */
    bool rounded;   /* its elements are bf16: uint16_t, the upper half of a float */
} DlrtTensor;

/* A model ready to run. Functions that the model does not have are NULL. */
typedef struct DlrtModel {
    const char *name;
    uint32_t real_bytes;
    int64_t max_batch;
    uint32_t ninputs, ntargets, noutputs, nparams, nstates, nstats, nmetrics;
    const DlrtPort *inputs, *targets, *outputs;
    const DlrtTensor *params, *states;
    int64_t params_elements, state_elements; /* with padding */
    const char *const *metrics;
    int64_t workers;        /* threads that may run parts of a function at the same time */
    int64_t arena_bytes;    /* the largest of all functions */
    DlrtFunction *init;     /* writes params and state, from seed */
    DlrtFunction *step;     /* one training step; results[0]: the loss (1 real) */
    DlrtFunction *forward;  /* results: the outputs. Needs no targets */
    DlrtFunction *evaluate; /* results[0]: loss; results[1 + k]: statistic k. Means over the n */
    DlrtFunction *finish;   /* always double: inputs[0]: double stats[nstats], dataset means;
                               results[k]: double, metric k */
} DlrtModel;

/* ---- what a data block says ------------------------------------------------------------ */

typedef enum DlrtPart { DLRT_TRAIN, DLRT_VALID, DLRT_TEST, DLRT_PARTS } DlrtPart;

typedef enum DlrtValueKind { DLRT_NUMBER, DLRT_STRING, DLRT_BOOL } DlrtValueKind;
typedef struct DlrtArgument {
    const char *name; /* NULL when positional */
    DlrtValueKind kind;
    double number;
    const char *string;
    bool boolean;
} DlrtArgument;

/* What the named arguments of a reader are: its settings; files, by port; or names, by port, of
 * what is within a file. */
typedef enum DlrtNamed { DLRT_NAMED_SETTINGS, DLRT_NAMED_FILES, DLRT_NAMED_MEMBERS } DlrtNamed;

/* The readers of files: READER(name, "its settings", what named arguments are). */
#define DLRT_READERS(READER)                                                                       \
    READER(csv, "header separator", DLRT_NAMED_SETTINGS)                                           \
    READER(idx, "", DLRT_NAMED_FILES)                                                              \
    READER(cifar, "", DLRT_NAMED_SETTINGS)                                                         \
    READER(text, "stride", DLRT_NAMED_SETTINGS)                                                    \
    READER(lines, "cut", DLRT_NAMED_SETTINGS)                                                      \
    READER(series, "column header separator stride", DLRT_NAMED_SETTINGS)                          \
    READER(npy, "", DLRT_NAMED_FILES)                                                              \
    READER(npz, "", DLRT_NAMED_MEMBERS)                                                            \
    READER(images, "", DLRT_NAMED_SETTINGS)

/* source csv("a.csv", header: true) */
typedef struct DlrtSource {
    bool is_split; /* `source`: the split applies; otherwise the whole is `part` */
    DlrtPart part;
    const char *reader;
    uint32_t nargs;
    const DlrtArgument *args;
} DlrtSource;

/* Columns first..last (from 1), or one by its name in the header. */
typedef struct DlrtColumn {
    int64_t first, last;
    const char *name; /* set: by name; with last_name a range of names */
    const char *last_name;
    bool onehot; /* a text column as one number per distinct text, in sorted order */
} DlrtColumn;
typedef struct DlrtColumns {
    const char *port;
    uint32_t ncolumns;
    const DlrtColumn *columns;
} DlrtColumns;

/* value = value * factor + offset, or with statistics of the training part */
typedef struct DlrtScale {
    const char *port;
    bool standardize; /* (value - mean) / deviation, per element */
    double factor, offset;
} DlrtScale;

typedef enum DlrtMissing {
    DLRT_MISSING_ERROR,
    DLRT_MISSING_SKIP,
    DLRT_MISSING_MEAN,
    DLRT_MISSING_MEDIAN,
    DLRT_MISSING_NUMBER
} DlrtMissing;

typedef struct DlrtDataSpec {
    const char *name;
    const char *folder; /* of the .dl file: sources are relative to it */
    const char *about; /* the comment above the block: what the data is and where it is published */
    uint32_t nsources, ncolumns, nscales;
    const DlrtSource *sources;
    const DlrtColumns *columns;
    const DlrtScale *scales;
    double percent[DLRT_PARTS]; /* of `source` rows; all 0: everything is for training */
    int64_t fold, folds;        /* cross-validation: the rows of train and valid, divided anew into
                                   `folds` parts, of which number `fold`, from 0, is valid */
    bool whole;                 /* no parts: every row is in the last one, DLRT_TEST */
    bool unlabelled;            /* targets may miss values, or their columns: NaN, and class -1 */
    bool in_order;              /* split without shuffling: `split train 90, test 10, in_order` */
    DlrtMissing missing;
    double missing_number;
} DlrtDataSpec;

typedef struct DlrtTrainSpec {
    const char *model, *data;
    int64_t epochs, batch;
    int64_t steps;    /* instead of epochs; 0: not given */
    int64_t patience; /* reports without a better validation before training ends; 0: never */
    uint64_t seed;
} DlrtTrainSpec;

#endif
