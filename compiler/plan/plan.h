/* plan/plan.h: equations to kernels: what is computed together, in which order of loops, and where
 * everything lies in memory.
 *
 * in:   normalised Modules, with derivatives      out: a Plan
 * may:  choose                                    may not: change what is computed
 *
 * Every tensor is dense, batch first, and row-major unless Function.storage has another order of
 * its dimensions. A kernel is a loop nest over its free indices:
 *
 *   MAP       for free:  evaluate all stores' values, then write them
 *   REDUCE    for free:  acc = op over `over` of body;  then the stores, which may read acc;
 *             of several reductions over the same indices at once
 *   CONTRACT  the same with op = sum and body = a product, by the tiled generator
 *   SCATTER   zero the result; for over: result[gathered row] += value (a sum with a guard
 *             `t[i] == v` where v is a free index: the gradient of a gather)
 *   SCAN      for time (up or down): the kernels of `steps`, which see the time as an index
 *   NEST      for free: the kernels of `steps`, which see the free indices of the nest as numbers;
 *             with a block, the last of them is theirs too, and each goes through a block of it:
 *             they have it free, or sum along it and add to what the blocks before have made
 *
 * A store's value may read `acc` (at the free indices), any tensor computed by an earlier kernel,
 * and, at the very same point only, tensors stored by the same kernel earlier in its list.
 */
#ifndef DLC_PLAN_PLAN_H
#define DLC_PLAN_PLAN_H

#include "ir/ir.h"

typedef enum KernelKind {
    KERNEL_MAP,
    KERNEL_REDUCE,
    KERNEL_CONTRACT,
    KERNEL_SCATTER,
    KERNEL_SCAN,
    KERNEL_NEST
} KernelKind;

typedef struct Store {
    Tensor *tensor; /* written at the kernel's free indices, in the tensor's dimension order */
    Index **at;     /* the index of each dimension of the tensor: one of `free`, a scan's time, or
                       one of the nest around */
    const Expr *value;
} Store;

/* One of several reductions of a kernel. `acc` is a pseudo-tensor with the dims of the kernel's
 * free indices; never in memory unless stored. */
typedef struct Reduction {
    ReduceOp op;
    const Expr *body;
    Tensor *acc;
} Reduction;

/* Indices of a contraction by the operands they occur in. result[batch.., m.., n..] =
 * sum over k of a[batch, m, k] * b[batch, k, n], in any order of dimensions, possibly affine. */
typedef struct Roles {
    Index **batch, **m, **n, **k;
    uint32_t nbatch, nm, nn, nk;
    const Expr *a, *b; /* the two factors (EX_READ): `a` is broadcast, `b` runs along the vector */
} Roles;

/* How a kernel is divided among threads: along a free index, so that no two parts write or sum the
 * same element, and the bits are the same as without; or along the examples that it reduces, for
 * any number of threads in the same way. There may be more parts than threads. */
typedef struct Split {
    Index *index;  /* NULL: it is not. A SCAN is divided along the batch indices of all its steps */
    int64_t parts; /* at most; exactly, and all equal, where they divide a known extent */
    int64_t unit;  /* otherwise each part but the last has a multiple of so many turns */
    bool is_whole; /* so it is in any case: no part begins in the middle of a unit */
    Index *number; /* `index` is reduced: each part has `unit` turns, the last one what is left, and
                      stores its result at its number, the value of this index */
} Split;

/* How a contraction uses the caches. */
typedef struct Blocking {
    /* For b, copied so that columns are adjacent, at the beginning of the workspace; 0: it is read
     * where it lies. */
    int64_t panel_bytes;
    /* Of the tiled rows at a time; 0: all. For a of these, copied, behind that of b; 0: it is read
     * where it lies. Only where nothing but these rows and the columns is free. */
    int64_t rows, rows_bytes;
    /* Of the outermost summed index at a time; the sums so far lie behind these. 0: all. */
    int64_t turns;
    /* Both operands are rounded to bf16 and multiplied in pairs along this index, the last that is
     * summed. NULL: they are not. */
    Index *pair;
    int64_t copy_bytes;      /* of the workspace, at its end: for a, if it is not read in place */
    int64_t workspace_bytes; /* altogether, but for what is kept; of a SCAN with it */
    /* All of b as panels, from here on in the workspace: packed once for all times of the scan
     * around. 0 bytes: it is not kept. Then all of the sum and of the rows is done at a time. */
    int64_t kept_at, kept_bytes;
} Blocking;

/* A contraction with a window of 3 x 3 places by Winograd's algorithm:
 * result[batch, out, i, j] = sum over in, u, v of sliding[batch, in, i + u, j + v] * other[out, in,
 * u, v], in any order of dimensions, and u and v may run backwards. Or the gradient of its filter,
 * result[out, in, u, v] = sum over batch, i, j of sliding[batch, in, i + u, j + v] * other[batch,
 * out, i, j]. */
typedef struct Winograd {
    uint32_t tile; /* places of a tile, in both directions: 2 or 4; 0: the sum is done as written */
    uint32_t together; /* tiles that are done together */
    uint32_t rows,
        columns; /* of register tiles: tiles, or channels not along the vector; vectors */
    Index *batch, *places[2], *taps[2], *in, *out;
    const Expr *sliding, *other;
    bool is_gradient; /* of the filter */
    bool pairs;       /* what is transformed is rounded to bf16, and multiplied in pairs */
    bool is_possible; /* it could be done so, whether it pays or not */
} Winograd;

/* Of this index the values from row + low to row + high matter, if any row of the block is that
 * row: all else adds nothing, or is read by nobody. */
typedef struct Band {
    Index *index; /* free or reduced; NULL: all matter */
    int64_t low, high;
} Band;

typedef struct Kernel Kernel;
struct Kernel {
    KernelKind kind;
    Sym name; /* of its main result; for messages, profiles, symbols */
    Span span;
    Index **free; /* the loops, outer to inner */
    uint32_t nfree;
    Index *vector; /* runs along the lanes: one of `free`, of `over` (REDUCE), or NULL: scalar */
    ReduceOp op;
    Index **over;
    uint32_t nover;
    const Expr *body;
    Tensor *acc;     /* as in Reduction */
    Reduction *also; /* REDUCE: others over the same indices, in the same loops */
    uint32_t nalso;
    Roles roles;       /* CONTRACT */
    Blocking blocking; /* CONTRACT */
    /* CONTRACT: of the examples, the outermost summed index, so many are summed at a time, from
     * zero, and then added to the sum so far: the additions of a kernel of parts and of the one
     * that reduces these. 0: all are summed at once. */
    int64_t part;
    Winograd winograd; /* CONTRACT; its workspace is that of `blocking` */
    Store *stores;
    uint32_t nstores;
    /* SCATTER: result[.., row, ..] where dim scatter_dim is given by `row` */
    uint32_t scatter_dim;
    const Expr *row;
    /* SCAN, NEST: `steps` */
    Index *time;
    int direction;
    Kernel **steps;
    uint32_t nsteps;
    int64_t turn_bytes; /* NEST: of what lives for a turn, in the workspace behind the panels */
    int64_t block; /* NEST: of the last free index, for each turn of `steps`; 0: one, a number */
    Band band;     /* of a step of a NEST with a block */
    const Kernel *around;        /* the NEST that it is a step of */
    double flops, example_flops; /* whatever the batch; and for each example of it */
    double cycles;               /* predicted, for max_batch examples */
    Split split;                 /* of a step of a scan: nothing */
    const Kernel *parts_of; /* REDUCE: `over` is one index, which counts the parts of that kernel */
};

typedef enum Place {
    PLACE_INPUT,  /* call->inputs[slot]; targets follow the inputs */
    PLACE_RESULT, /* call->results[slot] */
    PLACE_PARAM,  /* call->params + offset */
    PLACE_STATE,  /* call->state + offset */
    PLACE_ARENA,  /* call->arena + offset */
    PLACE_TURN,   /* the workspace of who runs the kernel + offset: of one turn of a nest */
} Place;

typedef struct Buffer {
    Tensor *tensor;
    Place place;
    uint32_t slot;
    int64_t offset;       /* bytes, a multiple of 64 */
    int64_t bytes;        /* for max_batch examples */
    uint32_t first, last; /* kernels between which it lives (ARENA); steps (TURN) */
    const Index *rows;    /* TURN: of this index, the tensor's first, a block is there; NULL: all */
} Buffer;

/* One compiled function: the kernels for a module, in order. */
typedef struct Function {
    Sym name; /* "step", "forward", … */
    Module *module;
    bool f64;
    Vec(Kernel *) kernels;
    Vec(Buffer *) buffers;
    Map buffer_of; /* Tensor* → Buffer*; two tensors may share one */
    Map storage;   /* Tensor* → uint32_t[rank]: its dimensions, outer to inner, if not row-major */
    Map rounded;   /* Tensor*, as a set: lie in memory as bf16 */
    int64_t arena_bytes; /* includes the workspaces */
    int64_t live_bytes;  /* the most that is needed at one time, workspaces included: no arrangement
                            of the same kernels can do with less */
    int64_t workspace_offset, workspace_bytes; /* packing space for contractions */
    int64_t workers;      /* threads that may run parts of a kernel at the same time */
    int64_t worker_bytes; /* from the workspace of a worker to that of the next */
} Function;

/* Where the parameters and the state lie; the same for all functions of a model. Offsets in bytes.
 */
typedef struct Layout {
    Map params; /* Tensor* → int64_t* */
    Map states;
    Map rounded; /* Tensor*, as a set: parameters that lie as bf16 */
    int64_t params_bytes, state_bytes;
} Layout;

typedef struct PlanOptions {
    bool f64;
    bool bf16;            /* contractions may round what they multiply */
    bool pairs;           /* the machine multiplies pairs of bf16 at once */
    int64_t vector_bytes; /* 64, 32, 16 */
    int64_t l1_bytes, l2_bytes;
    uint32_t winograd; /* the largest tile that may be used; 0: none */
    int64_t workers;   /* threads; 0: one */
    bool split_all;    /* for tests: every kernel that can be divided is, however small */
    bool nest_all;     /* for tests: whatever can be a nest is one, however small */
    bool rows_all;     /* for tests: the same of nests of blocks of rows with contractions */
    bool tiles_all;    /* for tests: the same of nests of blocks of examples */
    bool blocks_all;   /* for tests: products are done in blocks, however small */
    bool winograd_all; /* for tests: with the largest tile wherever it is possible */
    bool parts_all;    /* for tests: sums over the examples are done in parts, however short */
    bool pairs_all;    /* for tests: pairs of bf16 wherever they can be, even if they do not pay */
} PlanOptions;

Layout *plan_layout(Ctx *ctx, Tensor *const *params, uint32_t nparams, Tensor *const *states,
                    uint32_t nstates, int64_t real_bytes, const Map *rounded);
/* The parameters of which a module in normal form uses nothing but products that are summed up: as
 * a set, those that may lie rounded where they are never updated. */
Map plan_rounded_params(Ctx *ctx, const Module *m);
/* inputs: the tensors for call->inputs, in order. Results are the module's roots, in order. NULL
 * with messages for what cannot be compiled yet. */
Function *plan_function(Ctx *ctx, Module *m, const char *name, Tensor *const *inputs,
                        uint32_t ninputs, const Layout *layout, const PlanOptions *options);
void plan_print(Ctx *ctx, Text *out, const Function *f);
void plan_verify(Ctx *ctx, const Function *f);

/* The roles such that b, if anyone, runs along the vector. */
Roles plan_oriented(const Kernel *k);

/* Of an index of which the kernel sees a block of rows at a time; 0 of others. */
int64_t plan_block_of(const Kernel *k, const Index *index);
/* Of a contraction whose vector is chosen. */
Blocking plan_blocking(const Function *f, const Kernel *k, const PlanOptions *options);
/* Fills k->blocking, for one that multiplies pairs of bf16; false where none are wanted, or where
 * they do not pay. A panel of b serves for so many times. May change the order of what is summed.
 */
bool plan_pairs(Ctx *ctx, const Function *f, Kernel *k, int64_t times, const PlanOptions *options);
/* Does it lie in memory as bf16? */
bool plan_is_rounded(const Function *f, const Tensor *tensor);
int64_t plan_element_bytes(const Function *f, const Tensor *tensor);

/* Does a reduction of the kernel end up in this pseudo-tensor? */
bool plan_accumulates(const Kernel *k, const Tensor *tensor);
/* The index that is the whole integer expression, up to what is added to it; NULL when there is
 * none. */
Index *plan_index_alone(const Expr *e);
/* Strides in elements; dims[0] may be the batch, whose stride is known. */
void plan_strides(const Function *f, const Tensor *tensor, int64_t *strides);

#endif
