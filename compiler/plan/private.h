/* plan/private.h: what the files of plan/ share. Private to them.
 *
 * Planning takes the equations through these steps, each a file:
 *
 *   nodes.c     one Node per equation that is needed; who reads whom
 *   operands.c  contractions get operands that can be read without a guard
 *   inline.c    definitions that vanish: substituted, or another view of the same memory
 *   storage.c   the order of dimensions in memory
 *   order.c     when the new parameters are computed
 *   fuse.c      nodes into Drafts: what is computed in one loop nest
 *   schedule.c  kind, roles and vector of a kernel
 *   nest.c      kernels over the same rows into one nest (with the files that nest.h lists)
 *   rounding.c  what lies in memory as bf16
 *   kernels.c   Drafts to Kernels: what is stored, what only passes through
 *   partial.c   long sums over the examples, in parts
 *   winograd.c  windows of 3 x 3 by Winograd's algorithm
 *   split.c     the division of kernels among threads
 *   blocking.c  how contractions use the caches
 *   pairs.c     which of them multiply pairs of bf16
 *   keep.c      what recurrences keep of their operands
 *   buffers.c   places in memory
 */
#ifndef DLC_PLAN_PRIVATE_H
#define DLC_PLAN_PRIVATE_H

#include "plan/plan.h"

typedef struct Node Node;
typedef struct Draft Draft;

/* A read of a node's tensor. */
typedef struct Use {
    Node *user;
    const Expr *read;
} Use;

/* An equation on its way into a kernel. A reduction is kept in parts, so that rewriting what is
 * summed cannot move anything out of the sum. */
struct Node {
    Tensor *result;
    Index **at;   /* the index of each dimension of the result */
    Index **free; /* the same without the time of a scan */
    uint32_t nfree;
    Index *time; /* in a scan */
    Span span;
    Scan scan;
    const Expr *body; /* elementwise: the value; reduction: what is reduced; contraction: NULL */
    bool reduces;
    ReduceOp op;
    Index **over;
    uint32_t nover;
    const Expr **factors; /* of a contraction */
    uint32_t nfactors;
    Tensor *acc; /* of its kernel, once it has one */

    uint32_t number; /* position in Planner.nodes */
    Vec(Use) uses;
    bool is_root;
    Tensor *target;  /* whose new value it is; NULL for others */
    bool is_pinned;  /* must be in memory: a root or a new value */
    bool is_inlined; /* substituted into its users */
    bool is_alias;   /* the memory of another tensor, see Planner.alias_of */
    /* of what becomes of its uses (inline.c) */
    double evaluations; /* how often it would be evaluated if inlined */
    double carried;     /* what definitions on the way to these places cost, with this one */
    uint32_t nfinal;    /* places that it would be inlined into */
    bool in_contract, in_reduction, in_memory_use;

    bool is_late;    /* computed only for new values of params and states */
    Draft *draft;    /* the kernel it is in */
    bool in_memory;  /* read by other kernels */
    bool is_of_turn; /* within one turn of a nest only: its tensor has no outer dimensions */
    int64_t block;   /* of a turn: so many rows of its first index are there; 0: all */
    Node *replaces;  /* of a turn: lies in the memory of this one, which is read no more */
    Tensor *before;  /* what a block of rows is added to; it lies in the same memory */
    uint32_t nreads; /* nodes of its own draft that read it */
};

/* A kernel in the making: its nodes in an order in which they can be computed. */
struct Draft {
    Kernel *kernel;
    struct Drafts *in;
    uint32_t position;
    Vec(Node *) nodes;
    struct Drafts *steps; /* SCAN, NEST */
    struct Draft *nest;   /* the nest that it is a step of */
};

typedef struct Drafts {
    Vec(Draft *) all;
    Index *time;          /* of the steps of a scan; NULL outside */
    struct Draft *around; /* the scan that these are the steps of */
    Map last_read;        /* Tensor* that gets a new value → Draft* that reads it last */
    Map reduced_in;       /* Tensor* → the last Draft* whose reductions read it */
} Drafts;

/* A copy of a tensor with borders. */
typedef struct Padded {
    Tensor *from, *tensor;
    const Expr *otherwise; /* what the borders hold */
    int64_t *low;          /* index of `from` at 0 of the copy */
} Padded;

typedef struct Planner {
    Ctx *ctx;
    Module *m;
    Module *scratch; /* tensors that planning adds */
    const PlanOptions *options;
    Function *f;
    int64_t real_bytes, lanes;
    Vec(Node *) nodes;
    Map node_of;    /* Tensor* → Node* */
    Map alias_of;   /* Tensor* → the Tensor* whose memory it is */
    Map target_of;  /* Tensor* (updated param or state) → Node* of its new value */
    Tensor **roots; /* the tensor of each result, all different and computed here */
    Vec(Padded *) padded;
    Drafts drafts;
    Map in_place;       /* Tensor* → the Tensor* (param, state) that it overwrites */
    Vec(Node *) copied; /* new values that could not be written in place */
} Planner;

/* ---- nodes.c ---- */
void plan_nodes(Planner *p);
/* A node for a tensor that planning adds. It is not in p->nodes yet. */
Node *plan_add_node(Planner *p, Tensor *result, Index **at, const Expr *body, Span span);
/* Fills node->uses and the numbers of the nodes. */
void plan_uses(Planner *p);
/* Adds all reads of a node's expressions, each once; also those in subscripts. */
void plan_add_reads(Ctx *ctx, const Node *node, Reads *reads);
/* These reads alone: a list that is there already, or `own`, which is empty. */
const Reads *plan_node_reads(Ctx *ctx, const Node *node, Reads *own);
/* Changes reads in all expressions of a node. */
void plan_rewrite_node(Ctx *ctx, Node *node, const Expr *(*change)(void *data, const Expr *e),
                       void *data);
void plan_substitute_node(Ctx *ctx, Node *node, const Map *replacements);
/* The tensor in whose memory this one lies: itself, or what it is an alias of. */
Tensor *plan_base(const Planner *p, const Tensor *tensor);
/* tensor[at], without an `else`? */
bool plan_reads_at(const Expr *read, Index *const *at);
bool plan_contains(Index *const *list, uint32_t n, const Index *index);
/* The one of them that runs over the examples; NULL: there is none. */
Index *plan_batch_among(Index *const *indices, uint32_t n);
/* Are all subscripts sums of indices, and no range to be checked? */
bool plan_is_plain(const Expr *read);
/* Number of values of the indices, the batch counted as max_batch. */
double plan_points(const Planner *p, Index *const *indices, uint32_t n);
Tensor *plan_tensor(Planner *p, const char *name, uint32_t rank, const int64_t *dims,
                    int64_t classes, Span span);

/* ---- layout.c ---- */
#define PLAN_ALIGNMENT 64 /* bytes: a line of the caches, and the largest vector */
int64_t plan_aligned(int64_t bytes);
#define PLAN_OPAQUE INT64_MIN
/* The distance of tensor[subs] from the first element, in elements. Quotients and remainders that
 * belong together are recombined. */
const Expr *plan_address(const Planner *p, const Tensor *tensor, const Expr *const *subs);
/* By how much an address grows with the index; PLAN_OPAQUE when it is not affine in it. */
int64_t plan_stride(const Expr *address, const Index *index);

/* ---- the passes ---- */
void plan_operands(Planner *p);
void plan_inline(Planner *p);
void plan_storage(Planner *p);
void plan_order(Planner *p);
void plan_fuse(Planner *p);
/* May the node's value be written where its target's old one lies? Once all nodes are placed. */
bool plan_may_overwrite(Planner *p, const Node *node);
/* Once it is known what is in memory and what overwrites what. */
void plan_nest(Planner *p);
void plan_rounding(Planner *p);
void plan_kernels(Planner *p);
void plan_partial(Planner *p);
void plan_winograd(Planner *p);
/* What one that is done so is predicted to take, without what its stores compute. */
double plan_winograd_cycles(const Planner *p, const Kernel *k, const Winograd *w);
void plan_split(Planner *p);
void plan_buffers(Planner *p, Tensor *const *inputs, uint32_t ninputs, const Layout *layout);

/* ---- schedule.c ---- */
/* Kind, reduction and roles for a kernel that computes the node. */
void plan_kind(Planner *p, Kernel *k, Node *node);
/* A new accumulator for the node's reduction, after the kernel's free indices have changed. */
void plan_accumulator(Planner *p, Kernel *k, Node *node);
/* Is one factor of a contraction read without any use of its elements for a second time? Then it
 * is as well a reduction. */
bool plan_reads_once(const Kernel *k);
/* The vectorised index, once all stores are known. */
void plan_vector(Planner *p, Kernel *k);
/* Sets cycles: what a kernel is predicted to take; for a scan, all its turns. */
void plan_cycles(Planner *p, Kernel *k);
/* The distance in elements of what a read reaches at the next value of the index. */
int64_t plan_read_stride(Planner *p, const Expr *read, const Index *index);

/* ---- cost.c ---- */
/* Scalar operations of an expression, weighted: an addition is 1, an exponential 12. */
double plan_cost(Ctx *ctx, const Expr *e);
void plan_flops(Ctx *ctx, Kernel *k); /* sets flops and example_flops */
/* The part of whole tiles that an extent fills. */
double plan_share_used(int64_t extent, int64_t tile);

/* ---- blocking.c ---- */
#define PLAN_MOST_DIMS    16
#define PLAN_SHORTEST_SUM 96 /* worth it to take sums from memory and back */
#define PLAN_MOST_VECTORS 8  /* of columns in a panel, and in a tile of codegen */
#define PLAN_TILE_VECTORS 2  /* of columns in most tiles */
/* The least turns of a summed index, inside of which `inner` turns are summed, that are a block. */
int64_t plan_shortest_block(int64_t inner);
/* As planned: the batch counts as max_batch. */
int64_t plan_turns_of(const Function *f, const Index *index);
int64_t plan_turns_of_all(const Function *f, Index *const *indices, uint32_t n);
/* Elements that are read while `fixed` stands still, or while all indices run when it is NULL. */
int64_t plan_footprint(const Function *f, const Expr *read, const Index *fixed);
/* By how many elements the read moves with the index; of at most PLAN_MOST_DIMS dimensions. */
int64_t plan_stride_along(const Function *f, const Expr *read, const Index *index);
int64_t plan_partial_bytes(const Function *f, const Kernel *k, int64_t lanes, int64_t real_bytes);

/* ---- keep.c ---- */
/* For how many times of the recurrence around a copy of the operand would serve; 1: for none but
 * the one at which it is made. */
int64_t plan_turns_kept(const Planner *p, const Kernel *k, const Expr *read);
/* Of a contraction: instead of a panel at each time. */
void plan_keep(Planner *p, Kernel *k);
/* Of all steps of a SCAN. */
void plan_place_kept(Kernel *scan);

/* ---- kernels.c ---- */
/* What follows from the indices, operands and stores of a kernel. */
void plan_finish_kernel(Planner *p, Kernel *k);
typedef void KernelVisit(void *data, const Kernel *k, const Expr *e);
/* Calls visit for each expression of the kernel itself (not of its steps). */
void plan_kernel_expressions(const Kernel *k, KernelVisit *visit, void *data);

/* ---- buffers.c ---- */
/* Offsets for intervals of lifetime (first..last, both included), such that those that overlap in
 * time do not in memory. Returns the bytes needed. */
typedef struct Interval {
    uint32_t first, last;
    int64_t bytes, offset;
} Interval;
int64_t plan_place(Ctx *ctx, Interval *intervals, uint32_t n);

#endif
