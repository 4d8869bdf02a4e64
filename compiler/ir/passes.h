/* ir/passes.h: what the passes of ir/ share among themselves.
 *
 * A path is the list of conditions under which a node of an expression has an effect: those of the
 * selects around it. Expressions are shared, so a node may be reached in several ways; its path
 * is what all of them have in common.
 */
#ifndef DLC_IR_PASSES_H
#define DLC_IR_PASSES_H

#include "ir/ir.h"

typedef struct Path {
    const struct Path *up; /* NULL: no further conditions */
    const Expr *condition;
    bool truth; /* the condition holds, or does not */
    uint32_t depth;
} Path;

typedef struct Paths {
    Map nodes;             /* const Expr* → its number + 1 in the two arrays, as a pointer */
    Vec(const Expr *) all; /* children before parents */
    const Path **of;
} Paths;

Paths ir_paths(Ctx *ctx, const Expr *root);
/* NULL also for an expression that does not occur. */
const Path *ir_path_of(const Paths *paths, const Expr *e);
/* The conditions of a path as BOOL expressions that are true. */
const Expr **ir_path_known(Ctx *ctx, const Path *path, uint32_t *count);
/* Calls visit for the direct children: subscripts and `otherwise` too. */
void ir_each_child(const Expr *e, void (*visit)(void *data, const Expr *child), void *data);

typedef Vec(Index *) Indices;
/* The distinct indices that occur in e and are not bound in it, in order of first occurrence. */
Indices ir_free_of(Ctx *ctx, const Expr *e);
bool ir_is_among(const Indices *set, const Index *index);
bool ir_is_reduction(const Expr *e);
/* An INT expression that is one bare atom is given as the atom. */
const Expr *ir_unwrap(const Expr *e);
/* Are all reads of e inside their tensors whatever is known from outside? */
bool ir_reads_inside(Ctx *ctx, const Expr *e);
/* May the derivative of this operation be infinite? A mask must then stay on its value: an adjoint
 * that is zero times an infinite slope is not a number. */
bool ir_has_infinite_slope(const Expr *e);
/* Reads of e that are inside their tensor only under conditions from outside e read 0 elsewhere. */
const Expr *ir_protect(Ctx *ctx, const Expr *e);

/* Is e >= 0 always, given the conditions? */
bool ir_never_negative(Ctx *ctx, const Expr *e, const Expr *const *known, uint32_t nknown);

/* One strongly connected set of equations. */
typedef struct Cycle {
    Equation **members; /* in source order */
    uint32_t n;
} Cycle;
/* Finds the time of a cycle, sets its members' scan (but for the group) and sorts them into the
 * order of one step. False, with an error that shows the cycle, when there is none. */
bool ir_recurrence(Ctx *ctx, const Module *m, Cycle *cycle);

/* Module.definitions from the equations. */
void ir_find_definitions(Ctx *ctx, Module *m);

/* A directed graph over 0 .. n-1. */
typedef struct Graph {
    uint32_t n;
    struct Edges {
        Vec(uint32_t) to;
    } *edges;
} Graph;
Graph ir_graph(Ctx *ctx, uint32_t n);
/* Strongly connected components, what is pointed to first, otherwise by number. Fills `order` with
 * the nodes and ends[c] with the end of component c in it; returns the number of components. */
uint32_t ir_components(Ctx *ctx, const Graph *graph, uint32_t *order, uint32_t *ends);
bool ir_has_edge(const Graph *graph, uint32_t from, uint32_t to);

/* Steps of ir_normalize. Each leaves the values of all roots as they are. */
/* What the conditions around an `if` decide is not asked again (conditions.c). */
void ir_shorten_conditions(Ctx *ctx, Module *m);
/* Every reduction that is not at the top of its equation becomes an equation (hoist.c). */
void ir_hoist(Ctx *ctx, Module *m);
/* Sums of products become contractions of two reads where that pays (contract.c). */
void ir_make_contractions(Ctx *ctx, Module *m);
/* Contractions by remainders and quotients of their results' indices lose these (phases.c). */
void ir_split_phases(Ctx *ctx, Module *m);
/* Equal equations, aliases and constants go (merge.c). Needs an ordered module. */
void ir_merge(Ctx *ctx, Module *m);
/* A new local tensor over `indices` (a batch index moves to the front), defined as `body`, and the
 * read of it at these indices. NULL when two of them are batch indices. */
const Expr *ir_materialise(Ctx *ctx, Module *m, const Equation *origin, const char *suffix,
                           Indices indices, const Expr *body);

#endif
