/* dlc.h: PUBLIC: embed the compiler.
 *
 * A Dlc is a session: it holds definitions and the messages about them. Everything it gives out
 * lives until dlc_close. Functions that can fail return false or NULL and leave messages for
 * dlc_show_messages. A session belongs to one thread at a time; there are no globals.
 */
#ifndef DLC_H
#define DLC_H

#include "runtime/abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#if defined(__GNUC__)
#define DLC_API __attribute__((visibility("default")))
#else
#define DLC_API
#endif

typedef struct Dlc Dlc;

DLC_API const char *dlc_version(void);
DLC_API Dlc *dlc_open(void);
DLC_API void dlc_close(Dlc *dlc);

/* Reads and declares a file; its definitions replace those of the same name that were there. */
DLC_API bool dlc_load(Dlc *dlc, const char *path);
/* Declares text; `name` stands for the path in messages. */
DLC_API bool dlc_load_text(Dlc *dlc, const char *name, const char *text);
/* Names, kinds, counts of all definitions, and every model expanded: what `dlc check` does. */
DLC_API bool dlc_check(Dlc *dlc);
/* Shows and clears the messages. Returns the number of errors among them. */
DLC_API unsigned dlc_show_messages(Dlc *dlc, FILE *out, bool color, bool json);

typedef enum DlcSeverity { DLC_ERROR, DLC_WARNING, DLC_NOTE, DLC_HELP } DlcSeverity;
/* One collected message: an error or warning, or a note or help that belongs to the one before it.
 * line 0: nowhere in particular. */
typedef struct DlcMessage {
    DlcSeverity severity;
    const char *path;
    unsigned line, column;
    const char *text;
} DlcMessage;
/* The messages collected so far, without clearing them. */
DLC_API size_t dlc_messages(Dlc *dlc, const DlcMessage **messages);

typedef enum DlcTyped { DLC_TYPED_DONE, DLC_TYPED_UNFINISHED, DLC_TYPED_FAILED } DlcTyped;
/* One thing typed into a session: a definition (replacing an earlier one of the name), or an
 * expression, whose value is printed to `out`. */
DLC_API DlcTyped dlc_type(Dlc *dlc, const char *text, FILE *out);

/* Where the time since dlc_open went: the stages, in the order in which they began first. */
typedef struct DlcStage {
    const char *name;
    double seconds;
} DlcStage;
DLC_API size_t dlc_stages(Dlc *dlc, const DlcStage **stages);

/* The models, in order of definition. */
DLC_API size_t dlc_models(Dlc *dlc, const char *const **names);

typedef struct DlcSetting {
    const char *name;
    double value;
} DlcSetting;

/* Convolutions with a window of 3 x 3 by Winograd's algorithm, where it is predicted to be faster:
 * with tiles of 2 x 2 places, whose rounding errors are about those of the sums as written (the
 * default); also with 4 x 4, whose are about ten times larger, but not with bf16; or not at all. */
typedef enum DlcWinograd { DLC_WINOGRAD_2, DLC_WINOGRAD_4, DLC_WINOGRAD_OFF } DlcWinograd;

typedef struct DlcOptions {
    const char *model;          /* NULL: the only one, or the last */
    int64_t batch;              /* 0: what the train block says, else 64 */
    int64_t steps;              /* 0: what the train block says; -1: not counted */
    const DlcSetting *settings; /* arguments of the optimizer that replace the file's */
    size_t nsettings;
    int64_t threads; /* that may run parts of a function at the same time; 0: one */
    /* Threads to compile with, which must outlive the session; NULL: the calling one alone. */
    const DlrtParallel *parallel;
    bool f64;  /* compile for double precision */
    bool bf16; /* products of numbers rounded to bf16, and large values kept so; not with f64 */
    DlcWinograd winograd;
    bool inference;           /* no training functions */
    bool at_once;             /* dlc_compile: all functions now, not when they are called */
    const char *triple, *cpu; /* NULL: this machine */
    bool verify;              /* run the verifiers between stages */
    const char *cache;        /* folder that keeps machine code for later runs; NULL: none */
} DlcOptions;

/* Compiles a model into this process: each function when it is first called, unless `at_once`. */
DLC_API const DlrtModel *dlc_compile(Dlc *dlc, const DlcOptions *options);
/* Writes PATH.o-style files; either path may be NULL. */
DLC_API bool dlc_write_object(Dlc *dlc, const DlcOptions *options, const char *object_path,
                              const char *header_path);
/* Prints a stage's form of the model (of the whole file for syntax): syntax, ir, diff, plan, llvm,
 * asm, header; `ast` and `grad` are other names for syntax and diff. */
DLC_API bool dlc_emit(Dlc *dlc, const DlcOptions *options, const char *stage, FILE *out);
/* The canonical form of a source file (`dlc fmt`). NULL when it does not parse. */
DLC_API const char *dlc_format(Dlc *dlc, const char *path);

/* The train block of the model and a data block; NULL when there is none. */
DLC_API const DlrtTrainSpec *dlc_train_spec(Dlc *dlc, const char *model);
DLC_API const DlrtDataSpec *dlc_data_spec(Dlc *dlc, const char *data);

typedef struct DlcSummaryRow {
    const char *name;  /* of the layer ("dense1") or of the equation */
    const char *shape; /* of its value for one example: "[512]" */
    int64_t parameters;
    double flops; /* forward, for one example */
} DlcSummaryRow;
typedef struct DlcSummary {
    const char *model;
    int64_t batch;
    int64_t parameters;
    double flops;         /* one training step of one batch: forward, backward, update */
    double forward_flops; /* forward, one example */
    int64_t params_bytes, state_bytes;
    int64_t arena_bytes; /* training */
    int64_t inference_arena_bytes;
    size_t nrows;
    const DlcSummaryRow *rows;
} DlcSummary;
DLC_API const DlcSummary *dlc_summary(Dlc *dlc, const DlcOptions *options);

/* A model of sequences for one element at a time, for generation. `start` sets what is remembered;
 * `advance` takes one element (inputs[0]), gives the outputs at its place and remembers it.
 * Parameters lie as in the model that dlc_compile makes with the same options. So does the model's
 * own state, which the caller puts at the beginning of the state; what is remembered is behind. */
typedef struct DlcAdvance {
    DlrtFunction *start, *advance;
    int64_t state_bytes, arena_bytes;
} DlcAdvance;
/* NULL, without a message, for a model that is not such a function: other reads than the
 * recurrences' go to earlier or later places. */
DLC_API const DlcAdvance *dlc_advance(Dlc *dlc, const DlcOptions *options);

/* For gradient checks, in double precision: the loss in training mode, its gradient by reverse
 * mode, its derivative along a direction by forward mode. Inputs of the functions: the model's
 * inputs and targets; for `tangent` then one array per checked tensor, the direction. */
typedef struct DlcGradients {
    const DlrtModel *model; /* f64 */
    uint32_t nchecked;      /* the parameters (params[i], i < nparams), then the real inputs */
    const char *const *names;
    const int64_t *elements; /* for a batch of `batch` examples where it is an input */
    const int32_t *inputs;   /* number of the model's input, or -1 for a parameter */
    const int64_t *offsets;  /* of a parameter in params, in elements */
    DlrtFunction *loss;      /* results[0] */
    DlrtFunction *gradient;  /* results[0]: loss; results[1 + i]: gradient i */
    DlrtFunction *tangent;   /* results[0]: the directional derivative */
    int64_t arena_bytes;
} DlcGradients;
DLC_API const DlcGradients *dlc_gradients(Dlc *dlc, const DlcOptions *options);

/* What `dlc bench` measures: each kernel of the training step (of `forward` for a model that is not
 * trained) as a function of its own. They work on one arena and must be called in order, as the
 * step does; `model` has the whole functions. */
typedef enum DlcPart {
    DLC_PART_FORWARD,
    DLC_PART_BACKWARD,
    DLC_PART_UPDATE,
    DLC_PART_BOTH, /* forward and backward, for a block of examples at a time */
} DlcPart;
/* Bytes that a kernel reads or writes; since these were touched last (by the step before, perhaps)
 * `distance` bytes were touched, these included. */
typedef struct DlcTouch {
    double bytes, distance;
} DlcTouch;
typedef struct DlcBenchKernel {
    const char *name, *kind; /* "dense1.y", "contract" */
    unsigned line;           /* of the file, where it comes from; 0: nowhere in it */
    DlcPart part;       /* what the loss needs is forward; what only writes new values, update */
    double flops;       /* for a whole batch */
    double pairs_flops; /* of these: in pairs of bf16 */
    size_t ntouches;
    const DlcTouch *touches;
    DlrtFunction *run;
} DlcBenchKernel;
/* Measures the machine: multiply-adds in registers, `flops_of_turn` in each of the turns; the same
 * with pairs of bf16, where kernels may have them (else NULL); reading
 * `vectors` vectors; a = b + s * c on three arrays of that many vectors. The number of vectors is a
 * multiple of 8, the memory aligned to 64 bytes. */
typedef void DlcProbe(void *memory, int64_t vectors, int64_t turns);
typedef struct DlcBench {
    const DlrtModel *model;
    size_t nkernels;
    const DlcBenchKernel *kernels;
    const char *cpu;
    int64_t vector_bytes, l1_bytes, l2_bytes, l3_bytes; /* l3_bytes 0: not known, or none */
    double flops_of_turn;                               /* twice as many with pairs */
    DlcProbe *fma, *pairs, *read, *triad;
    int64_t arena_bytes, live_bytes; /* of the step; what of it is needed at one time */
} DlcBench;
DLC_API const DlcBench *dlc_bench(Dlc *dlc, const DlcOptions *options);

#endif
