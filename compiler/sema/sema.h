/* sema/sema.h: tree to equations: names, sizes, layer calls, and the proof of every read.
 *
 * in:   trees      out: for each model, modules of flat equations
 * Calls of layers and functions are expanded; every size is a number; the batch index is explicit.
 * What cannot be expanded is reported; a Model is only given out when it is whole.
 */
#ifndef DLC_SEMA_SEMA_H
#define DLC_SEMA_SEMA_H

#include "ir/ir.h"
#include "runtime/abi.h"
#include "syntax/syntax.h"

/* All definitions known: the library's and the user's. In a file and what it imports a name is
 * defined once; what is declared later (in the REPL) replaces what was declared before. */
typedef struct Program Program;

typedef struct Metric {
    Sym name;
    Span span;
} Metric;

typedef struct Model {
    Sym name;
    Span span;
    const Tree *tree;
    Vec(Tensor *) inputs; /* in order of declaration; dim 0 is the batch */
    Vec(Tensor *) targets;
    Vec(Tensor *) params;
    Vec(Tensor *) states; /* the model's own, then the optimizer's */
    Vec(Metric) metrics;
    uint32_t nstats;

    /* All in the form sema makes them, not yet normalised. The leaves (inputs, targets, params,
     * states) are the same Tensor objects in each. */
    Module *init;     /* updates: the initial value of every param and state. Uses max_batch 1. */
    Module *train;    /* train = true: loss; gradients declared for every param; updates: new values
                         of params and states. NULL loss and no updates for a model without loss */
    Module *infer;    /* train = false: roots are the outputs */
    Module *evaluate; /* train = false: roots `loss` and `stat.0`, `stat.1`, …: means over the
                         batch, from which `finish` computes the metrics. NULL without loss and
                         metrics */
    Module *finish; /* one input `stats[nstats]` (unbatched): roots are the metrics. NULL without */
} Model;

typedef struct Setting {
    const char *name; /* an argument of the optimizer: "lr" */
    double value;
} Setting;

typedef struct SemaOptions {
    int64_t max_batch;
    const Setting *settings; /* --set: replace arguments of the optimizer's call */
    uint32_t nsettings;
    int64_t steps; /* of the whole training, where they are counted; otherwise 0 */
} SemaOptions;

Program *sema_program(Ctx *ctx);
/* Declares the items of a file and, for imports, those of the files they name (relative to it; each
 * once; a cycle of imports is an error). */
void sema_declare(Ctx *ctx, Program *program, const SyntaxFile *file);
/* Names, kinds and argument counts of all definitions of the user's, also of those that no model
 * uses (definitions never used by a model of the file are a warning). */
void sema_check(Ctx *ctx, Program *program);
/* Names of the user's models, data and train blocks in order of declaration. */
uint32_t sema_models(const Program *program, const Sym **names);
/* Expands a model (NULL name: the only or the last one). NULL, with messages, when it is wrong. */
Model *sema_model(Ctx *ctx, Program *program, const char *name, const SemaOptions *options);
/* A scalar or tensor expression typed in the REPL, closed (no inputs): as a module with the root
 * `it`. NULL with messages when it is wrong. */
Module *sema_expression(Ctx *ctx, Program *program, const Tree *expression);

/* The train block for the model (NULL name: the model's only one) and its data block, in the
 * runtime's terms. NULL without messages when the file has none. Strings live in the arena. */
const DlrtTrainSpec *sema_train(Ctx *ctx, Program *program, const char *model);
const DlrtDataSpec *sema_data(Ctx *ctx, Program *program, const char *data);

/* ---- the library: compiler/std, embedded by the build ---- */
typedef struct LibraryFile {
    const char *path, *text;
    uint32_t length;
} LibraryFile;
extern const LibraryFile library_files[];
extern const uint32_t library_nfiles;

#endif
