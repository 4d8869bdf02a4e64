/* diff/private.h: what the files of diff/ share. */
#ifndef DLC_DIFF_PRIVATE_H
#define DLC_DIFF_PRIVATE_H

#include "diff/diff.h"

/* One read in a body with the derivative of the body by it, already times a seed. */
typedef struct Partial {
    const Expr *read;
    const Expr *value;
} Partial;
typedef Vec(Partial) Partials;

/* All derivatives of a reduction-free `body` by its reads of real tensors, each times `seed`.
 * `known` (may be NULL) is a read that holds the value of `body` itself: derivatives such as 1 -
 * tanh(x)^2 are then written with it. Reads for which `wanted` is false are left out. */
Partials diff_partials(Ctx *ctx, const Expr *body, const Expr *known, const Expr *seed,
                       bool (*wanted)(void *data, const Tensor *tensor), void *data);

/* 0 <= sub < dim for every subscript of a read. */
const Expr *diff_read_inside(Ctx *ctx, const Expr *read);

/* Reads that are not proved inside, which stood under conditions before, read 0 elsewhere. */
const Expr *diff_guard_reads(Ctx *ctx, const Expr *e);

/* The derivative of a reduction by its body at one point of the reduced space, with the tensor that
 * says which element was extreme made on demand. */
typedef struct ReductionRule {
    const Expr *body; /* differentiated */
    Index **over;
    uint32_t nover;
    const Expr *factor; /* d(result)/d(body), or NULL for 1 */
    const Expr *guard;  /* where it is not zero, or NULL for everywhere */
} ReductionRule;
/* False when the equation has no derivative (argmax). `made` remembers the argmax tensors. */
bool diff_reduction_rule(Ctx *ctx, Module *m, const Equation *equation, Map *made,
                         ReductionRule *out);

/* What reading `read` in an equation over the unknown indices contributes: the sum of `multiplier`
 * over all values of them at which the read meets the element `at` of its tensor. */
const Expr *diff_transpose(Ctx *ctx, const Expr *read, Index *const *at, Index *const *unknowns,
                           uint32_t nunknowns, const Expr *multiplier);

#endif
