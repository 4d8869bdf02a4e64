/* ir/ir.h: equations: the one form in which dlc holds a network.
 *
 * A Module is a list of equations. An equation defines every element of one tensor:
 *
 *     result[free...] = body            for all values of the free indices
 *
 * `free` has one index for each dimension of the result, with the same extent. The body is a
 * scalar expression over reads of tensors, index values and reductions over bound indices.
 * Expressions are immutable and hash-consed in the Ctx: equal expressions are one pointer.
 * They are made only by the ir_ constructors below, which also simplify (constant folding,
 * neutral elements, one canonical form); so `ir_add(x, zero)` may return x.
 *
 * The batch. Inside the IR the batch index is explicit: a tensor that differs from example to
 * example has `batch` as dimension 0, with the extent EXTENT_BATCH, whose value n is known only
 * when the program runs (1 <= n <= Module.max_batch). EX_BATCH is n as a number.
 *
 * Normal form. After ir_normalize the body of each equation is either
 *   (a) elementwise: no reduction inside, or
 *   (b) exactly one EX_REDUCE or EX_CONTRACT at the top whose body/factors hold no reduction.
 * diff and plan take only modules in normal form. An equation whose body reads its own result, or
 * that belongs to a cycle of such equations, is a recurrence: see Equation.scan.
 */
#ifndef DLC_IR_IR_H
#define DLC_IR_IR_H

#include "support/ctx.h"

/* The extent of the batch index and of dimension 0 of what differs by example. */
#define EXTENT_BATCH ((int64_t)-1)

typedef struct Expr Expr;
typedef struct Tensor Tensor;
typedef struct Equation Equation;

typedef enum Type { TY_REAL, TY_INT, TY_BOOL } Type;

/* An index variable, bound by an equation or a reduction. Compared by pointer. */
typedef struct Index {
    Sym name;
    int64_t extent; /* runs over 0 .. extent-1; or EXTENT_BATCH */
    uint32_t id;
    const Expr *value; /* ir_index_value, once somebody asked */
} Index;

typedef enum TensorKind {
    TENSOR_INPUT,  /* given by the caller */
    TENSOR_TARGET, /* given by the caller, in training and evaluation */
    TENSOR_PARAM,  /* learned */
    TENSOR_STATE,  /* lives across steps, no gradient: optimizer moments, running statistics */
    TENSOR_LOCAL,  /* defined by an equation */
} TensorKind;

struct Tensor {
    Sym name; /* unique in its module; "dense1.w" */
    TensorKind kind;
    uint32_t rank;
    int64_t *dims;   /* dims[0] may be EXTENT_BATCH */
    int64_t classes; /* 0: real numbers. K > 0: integers in 0..K-1, which may be subscripts */
    Span span;       /* where the user wrote what became this */
    uint32_t id;
    /* params only */
    bool decays;      /* l1, l2 and weight decay apply (default true) */
    const char *init; /* the initialiser as source, "glorot_uniform" */
};

typedef enum Op {
#define OP(name, arity, text, result) OP_##name,
#include "ir/ops.def"
#undef OP
    OPS
} Op;

typedef enum ReduceOp {
    REDUCE_SUM,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_PROD,
    REDUCE_ARGMAX,
    REDUCE_ARGMIN
} ReduceOp;

typedef enum DrawKind { DRAW_UNIFORM /* [0, 1) */, DRAW_NORMAL /* mean 0, variance 1 */ } DrawKind;

typedef enum ExprKind {
    EX_NUMBER,   /* REAL constant */
    EX_TRUTH,    /* BOOL constant */
    EX_AFFINE,   /* INT: offset + sum of coefficient * atom */
    EX_INDEX,    /* INT atom: an index variable */
    EX_FLOORDIV, /* INT atom: floor(a / n), n > 0 */
    EX_MOD,      /* INT atom: a - n * floor(a / n), n > 0, so never negative */
    EX_REAL,     /* an INT as a REAL */
    EX_OP,       /* a scalar operation; ADD.. on INT only for MAX, MIN, SELECT (atoms) */
    EX_READ,     /* an element of a tensor; an INT atom when the tensor has classes */
    EX_REDUCE,   /* a reduction over bound indices. INT atom for ARGMAX, ARGMIN: the row-major
                    position in the space of the bound indices of the first extreme element */
    EX_CONTRACT, /* a sum over bound indices of a product of at least two factors that are
                    reads: kept whole from source to kernel */
    EX_DRAW,     /* a random number, a function of (seed, step, site, counter) */
    EX_STEP,     /* REAL: the number of the training step, from 1 */
    EX_BATCH,    /* REAL: the number of examples in this batch */
} ExprKind;

/* One term of an affine expression. Atoms are EX_INDEX, EX_FLOORDIV, EX_MOD, INT EX_READ, INT EX_OP
 * and INT EX_REDUCE; sorted by id, each at most once, coefficients not 0. */
typedef struct Term {
    int64_t coefficient;
    const Expr *atom;
} Term;

/* Sets of kinds of nodes. */
enum { HAS_READ = 1, HAS_REDUCTION = 2, HAS_SELECT = 4, HAS_SELECT_IN_SELECT = 8, HAS_DRAW = 16 };

/* There are very many of these: each has only as much memory as its kind needs of the union, and is
 * never copied. */
struct Expr {
    ExprKind kind : 8;
    Type type : 8;
    uint32_t has : 16; /* HAS_: what the tree contains, this node included */
    uint32_t depth;    /* of the tree below, from 1 */
    uint32_t id;       /* in order of creation: children have smaller ids */
    uint32_t shape;    /* a hash: the same for trees that differ by their indices alone, or by the
                          order of arguments that may be exchanged */
    uint64_t indices;  /* the bit id % 64 of each index that occurs: one whose bit is 0 does not */
    union {
        double number;
        bool truth;
        struct {
            int64_t offset;
            uint32_t nterms;
            const Term *terms;
        } affine;
        Index *index;
        struct {
            const Expr *num; /* EX_AFFINE */
            int64_t den;
        } div;               /* EX_FLOORDIV and EX_MOD */
        const Expr *integer; /* EX_REAL: an EX_AFFINE */
        struct {
            Op op;
            uint32_t nargs;
            const Expr *args[3];
        } op;
        /* subs: rank expressions, each an EX_AFFINE. `otherwise` is the value when any subscript
         * is outside its dimension; NULL when every read is proved inside. */
        struct {
            Tensor *tensor;
            const Expr **subs;
            const Expr *otherwise;
        } read;
        struct {
            ReduceOp op;
            uint32_t nover;
            Index **over;
            const Expr *body;
        } reduce;
        struct {
            uint32_t nover;
            Index **over;
            uint32_t nfactors;
            const Expr **factors; /* EX_READ, type REAL */
        } contract;
        struct {
            DrawKind kind;
            uint32_t site;       /* unique in the model */
            const Expr *counter; /* EX_AFFINE: position of the element drawn for */
        } draw;
    };
};

/* A recurrence: the equations with the same `group` (> 0) run together, one step of the scan at a
 * time: dimension `dim` of each result is the time, going up (+1) or down (-1). Reads of the
 * group's own tensors at this dimension are at earlier times (or at the same time, of an
 * equation earlier in the group). Set by ir_order. */
typedef struct Scan {
    uint32_t group; /* 0: not in a recurrence */
    uint32_t dim;
    int direction;
} Scan;

struct Equation {
    Tensor *result;
    Index **free; /* result->rank of them */
    const Expr *body;
    Span span;
    Scan scan;
};

/* `target` (a param or a state) takes the value of `value` when the step ends. All values of a
 * module are computed from the old targets. */
typedef struct Update {
    Tensor *target;
    Tensor *value;
} Update;

/* A derivative that an expression asks for: result = d(sum of `of` over the batch) / d by. The
 * result has the dimensions of `by` and no equation until diff_derivative has made it. */
typedef struct Derivative {
    Tensor *of, *by, *result;
} Derivative;

/* A named result that the caller gets: an output, the loss, a statistic, a gradient. */
typedef struct Root {
    Sym name;
    Tensor *tensor;
} Root;

typedef struct Module {
    Sym name;
    Vec(Tensor *) tensors;     /* all that the equations read or define */
    Vec(Equation *) equations; /* in an order in which they can run, after ir_order */
    Vec(Root) roots;
    Vec(Update) updates;
    Map definitions;             /* Tensor* → Equation* */
    Map gradients;               /* Tensor* (param or input) → Tensor* declared for its gradient of
                                    the loss; diff_reverse adds the defining equation */
    Vec(Derivative) derivatives; /* still to be made, in the order in which they were asked for */
    Tensor *loss;                /* rank 0, or NULL */
    int64_t max_batch;           /* for planning */
    Map names, suffixes; /* taken names → Tensor*; the next number for a name that is taken */
} Module;

/* ---- building ------------------------------------------------------------------------- */

Module *ir_module(Ctx *ctx, Sym name);
/* A local tensor gets a name made unique by a suffix. dims are copied. */
Tensor *ir_tensor(Ctx *ctx, Module *m, TensorKind kind, Sym name, uint32_t rank,
                  const int64_t *dims, int64_t classes, Span span);
/* Makes a tensor of another module (a param, an input) known to this one. */
void ir_use_tensor(Ctx *ctx, Module *m, Tensor *tensor);
Index *ir_index(Ctx *ctx, Sym name, int64_t extent);
/* `free` is copied. Asserts that the result has no equation yet and that the extents agree. */
Equation *ir_define(Ctx *ctx, Module *m, Tensor *result, Index *const *free, const Expr *body,
                    Span span);
Equation *ir_definition(const Module *m, const Tensor *tensor); /* NULL for leaves */
/* Fresh free indices for a result: named by `names` or, where NULL, i, j, k, … and `batch`. */
Index **ir_free_indices(Ctx *ctx, const Tensor *tensor, const Sym *names);

const Expr *ir_number(Ctx *ctx, double value);
const Expr *ir_truth(Ctx *ctx, bool value);
const Expr *ir_int(Ctx *ctx, int64_t value);
const Expr *ir_index_value(Ctx *ctx, Index *index); /* as an EX_AFFINE */
const Expr *ir_int_add(Ctx *ctx, const Expr *a, const Expr *b);
const Expr *ir_int_sub(Ctx *ctx, const Expr *a, const Expr *b);
const Expr *ir_int_scale(Ctx *ctx, const Expr *a, int64_t factor);
/* offset + the sum of factors[i] * parts[i]. */
const Expr *ir_int_sum(Ctx *ctx, int64_t offset, const Expr *const *parts, const int64_t *factors,
                       uint32_t n);
const Expr *ir_floordiv(Ctx *ctx, const Expr *a, int64_t n);
const Expr *ir_mod(Ctx *ctx, const Expr *a, int64_t n);
const Expr *ir_int_atom(Ctx *ctx, const Expr *atom); /* wraps an INT expression as EX_AFFINE */
const Expr *ir_real(Ctx *ctx, const Expr *integer);  /* INT → REAL; a REAL is returned as it is */
/* Any operation; arguments INT or REAL are made alike. INT ADD, SUB, NEG and MUL by a constant
 * become EX_AFFINE; a product of two non-constant INTs becomes REAL. */
const Expr *ir_op(Ctx *ctx, Op op, const Expr *const *args);
const Expr *ir_op1(Ctx *ctx, Op op, const Expr *a);
const Expr *ir_op2(Ctx *ctx, Op op, const Expr *a, const Expr *b);
const Expr *ir_select(Ctx *ctx, const Expr *condition, const Expr *a, const Expr *b);
const Expr *ir_add(Ctx *ctx, const Expr *a, const Expr *b);
const Expr *ir_sub(Ctx *ctx, const Expr *a, const Expr *b);
const Expr *ir_mul(Ctx *ctx, const Expr *a, const Expr *b);
const Expr *ir_div(Ctx *ctx, const Expr *a, const Expr *b);
const Expr *ir_neg(Ctx *ctx, const Expr *a);
/* `otherwise` may be NULL; it is dropped when all subscripts are provably inside. */
const Expr *ir_read(Ctx *ctx, Tensor *tensor, const Expr *const *subs, const Expr *otherwise);
/* The element at the given indices. */
const Expr *ir_read_at(Ctx *ctx, Tensor *tensor, Index *const *indices);
/* Factors that do not depend on the bound indices move out; a SUM of a product of reads becomes an
 * EX_CONTRACT; a SUM over an unused index becomes a product with its extent. */
const Expr *ir_reduce(Ctx *ctx, ReduceOp op, Index *const *over, uint32_t nover, const Expr *body);
const Expr *ir_draw(Ctx *ctx, DrawKind kind, uint32_t site, const Expr *counter);
const Expr *ir_step(Ctx *ctx);
const Expr *ir_batch(Ctx *ctx);

/* ---- looking -------------------------------------------------------------------------- */

const char *op_text(Op op);
uint32_t op_arity(Op op);
bool ir_is_number(const Expr *e, double value);
bool ir_is_constant_int(const Expr *e, int64_t *value); /* EX_AFFINE without terms */
bool ir_uses_index(const Expr *e, const Index *index);
bool ir_uses_tensor(const Expr *e, const Tensor *tensor);
/* Calls visit for each distinct subexpression, children first; subscripts and `otherwise` too. */
void ir_visit(Ctx *ctx, const Expr *e, void (*visit)(void *data, const Expr *e), void *data);
typedef Vec(const Expr *) Reads;
/* All reads in e, each once, also those in subscripts: in the order of ir_visit. Found once. */
const Reads *ir_reads(Ctx *ctx, const Expr *e);
/* Replaces indices: Map Index* → const Expr* (INT). Bound indices inside are kept apart. */
const Expr *ir_substitute(Ctx *ctx, const Expr *e, const Map *replacements);
/* Rebuilds e with `change` asked first for every node: a non-NULL answer replaces it. */
const Expr *ir_rewrite(Ctx *ctx, const Expr *e, const Expr *(*change)(void *data, const Expr *e),
                       void *data);
/* The same for a change of reads alone: nothing else is asked for. */
const Expr *ir_rewrite_reads(Ctx *ctx, const Expr *e,
                             const Expr *(*change)(void *data, const Expr *e), void *data);
int64_t tensor_elements(const Tensor *tensor, int64_t batch);

/* How many expressions were made, found again or walked over so far: what a model costs, for tests.
 */
uint64_t ir_work(const Ctx *ctx);

/* ---- the algebra of indices (affine.c) -------------------------------------------------- */

/* Bounds of an INT expression over all values of its indices: exact for affine expressions over a
 * box. `batch` indices have the bound 0 .. batch-1 with batch unknown: *high is then
 * ir_unbounded unless the batch cancels. Class reads are in 0 .. classes-1. */
#define IR_UNBOUNDED INT64_MAX
void ir_bounds(const Expr *e, int64_t *low, int64_t *high);
/* Is 0 <= e < extent always? Exact for EXTENT_BATCH when e is a batch index itself. Path
 * conditions: conditions (BOOL, known true here) may be given and are used when affine. */
bool ir_inside(Ctx *ctx, const Expr *e, int64_t extent, const Expr *const *known, uint32_t nknown);
/* When not inside: an assignment of the indices at which e leaves 0..extent-1. Fills values in the
 * order of `indices` (the distinct indices of e, at most max of them); returns their number,
 * with *value the subscript there. -1 when none was found. */
int ir_outside_example(Ctx *ctx, const Expr *e, int64_t extent, const Expr *const *known,
                       uint32_t nknown, Index **indices, int64_t *values, int max, int64_t *value);

/* ---- passes ----------------------------------------------------------------------------- */

/* Orders the equations, finds recurrences, sets Equation.scan. Reports a cycle without an order as
 * an error that shows the cycle. Returns false then. */
bool ir_order(Ctx *ctx, Module *m);
/* Simplifies each equation and brings the module to normal form: nested reductions become
 * equations of their own, equal equations become one, unused ones go. Orders. */
void ir_normalize(Ctx *ctx, Module *m);
/* Drops equations that no root, update, gradient or loss needs. */
void ir_prune(Ctx *ctx, Module *m);
typedef Vec(Tensor *) Tensors;
/* A model of sequences as a function of one element: a module for one example and one place of
 * `sequence` ([batch, T]; *input stands for it), whose recurrences remember in states that are
 * added to *states. *start sets these to what is read before the first place. NULL for a model that
 * is no such function (it sums over time, or uses the position). m is in normal form and stays as
 * it is. */
Module *ir_advance(Ctx *ctx, const Module *m, Tensor *sequence, Module **start, Tensor **input,
                   Tensors *states);
/* Asserts every invariant stated in this header. */
void ir_verify(Ctx *ctx, const Module *m, bool normal_form);

/* ---- text -------------------------------------------------------------------------------- */

/* The module as a flat `model` in the language, which `dlc check` accepts and which gives the same
 * module again (new values of params are comments). The batch index is not written, except as
 * `sum[batch]` and as the first subscript of a result that is batched without reading anything
 * batched. */
void ir_print(Ctx *ctx, Text *out, const Module *m);
void ir_print_expr(Text *out, const Expr *e);
void ir_print_equation(Text *out, const Equation *equation);

/* ---- the oracle ---------------------------------------------------------------------------- */

/* Values for the slow interpreter: one array of doubles per tensor, row-major, batch first. Class
 * tensors hold whole numbers. Tests only. */
typedef struct IrValues {
    Map arrays; /* Tensor* → double* */
    int64_t batch;
    uint64_t seed, step;
} IrValues;
/* The leaves must be set; computes all equations (and no update). */
void ir_eval(Ctx *ctx, const Module *m, IrValues *values);

/* The random numbers of EX_DRAW, also what codegen must emit: Philox4x32-10 (Salmon et al., SC
 * 2011) with key = seed (low, high) and counter = (counter low, site, step low, step high).
 * UNIFORM: word 0 >> 8, times 2^-24. NORMAL: Box-Muller, sqrt(-2 log u) cos(2 pi v) with
 * u = ((word 0 >> 8) + 1) * 2^-24, v = (word 1 >> 8) * 2^-24. The same in f32 and f64. */
double ir_draw_value(DrawKind kind, uint64_t seed, uint64_t step, uint32_t site, uint64_t counter);

#endif
