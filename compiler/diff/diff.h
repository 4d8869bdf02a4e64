/* diff/diff.h: derivatives of equations, as equations.
 *
 * in:   a normalised Module      out: the same Module with the adjoint equations added
 * may:  add tensors, equations   may not: change or delete one
 * The caller normalises afterwards.
 *
 * Kinks (docs/language.md, "Derivatives at kinks"): the derivative of max(a, b) at a tie goes to b,
 * so that relu'(0) = max(x, 0)'(0) = 0; of min likewise to b; of abs at 0 is 0; of a `max[...]`
 * over ties all goes to the first in index order; of sqrt at 0 is 0.
 */
#ifndef DLC_DIFF_DIFF_H
#define DLC_DIFF_DIFF_H

#include "ir/ir.h"

/* Reverse mode: defines m->gradients for the wanted tensors (declaring `grad.NAME` where it is not
 * yet declared): the gradient of m->loss. A tensor that the loss does not depend on gets zeros. */
void diff_reverse(Ctx *ctx, Module *m, Tensor *const *wanted, uint32_t nwanted);

/* Defines the result of a derivative that an expression asked for. */
void diff_derivative(Ctx *ctx, Module *m, const Derivative *derivative);

/* Forward mode: the derivative of m->loss along tangents: along[i] moves by the leaf tensor
 * tangents[i], of the same shape. Returns the tensor, rank 0. */
Tensor *diff_forward(Ctx *ctx, Module *m, Tensor *const *along, Tensor *const *tangents,
                     uint32_t n);

/* The partial derivative of a reduction-free expression by one of the reads in it (a pointer
 * that occurs in it), both as expressions: one row of rules.c per operation. */
const Expr *diff_partial(Ctx *ctx, const Expr *e, const Expr *read);

#endif
