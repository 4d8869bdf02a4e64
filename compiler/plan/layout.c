/* plan/layout.c: where the elements of a tensor lie, and where the parameters and the state lie.
 *
 * Every tensor is dense, batch first, row-major where storage.c has not said otherwise; every
 * buffer begins at a multiple of 64 bytes.
 */
#include "plan/private.h"

int64_t plan_aligned(int64_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

void plan_strides(const Function *f, const Tensor *tensor, int64_t *strides) {
    const uint32_t *order = map_get(&f->storage, tensor);
    int64_t stride = 1;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        uint32_t d = order ? order[i] : i;
        strides[d] = stride;
        stride *= tensor->dims[d]; /* of the batch: after the last use */
    }
}

bool plan_is_rounded(const Function *f, const Tensor *tensor) {
    return map_has(&f->rounded, tensor);
}

int64_t plan_element_bytes(const Function *f, const Tensor *tensor) {
    if (tensor->classes) return 4;
    return plan_is_rounded(f, tensor) ? 2 : f->f64 ? 8 : 4;
}

static uint32_t opaque_terms(const Expr *e) {
    uint32_t n = 0;
    for (uint32_t t = 0; t < e->affine.nterms; t++) n += e->affine.terms[t].atom->kind != EX_INDEX;
    return n;
}

/* c*(a mod n) = c*a - c*n*floor(a / n): taken where the quotient then cancels another. */
static const Expr *recombine_one(Ctx *ctx, const Expr *e) {
    for (uint32_t t = 0; t < e->affine.nterms; t++) {
        const Expr *atom = e->affine.terms[t].atom;
        if (atom->kind != EX_MOD) continue;
        int64_t c = e->affine.terms[t].coefficient, n = atom->div.den;
        const Expr *trial = ir_int_sub(ctx, e, ir_int_scale(ctx, ir_int_atom(ctx, atom), c));
        trial = ir_int_add(ctx, trial, ir_int_scale(ctx, atom->div.num, c));
        const Expr *quotient = ir_floordiv(ctx, atom->div.num, n);
        trial = ir_int_sub(ctx, trial, ir_int_scale(ctx, quotient, c * n));
        if (opaque_terms(trial) < opaque_terms(e)) return trial;
    }
    return NULL;
}

const Expr *plan_address(const Planner *p, const Tensor *tensor, const Expr *const *subs) {
    Ctx *ctx = p->ctx;
    enum { FEW = 8 };
    int64_t few[FEW], *strides = few;
    if (tensor->rank > FEW) strides = ARENA_ARRAY(ctx->scratch, int64_t, tensor->rank);
    plan_strides(p->f, tensor, strides);
    const Expr *sum = ir_int_sum(ctx, 0, subs, strides, tensor->rank);
    for (const Expr *next = sum; next; next = recombine_one(ctx, sum)) sum = next;
    return sum;
}

int64_t plan_stride(const Expr *address, const Index *index) {
    int64_t stride = 0;
    for (uint32_t t = 0; t < address->affine.nterms; t++) {
        const Term *term = &address->affine.terms[t];
        if (term->atom->kind == EX_INDEX) {
            if (term->atom->index == index) stride = term->coefficient;
        } else if (ir_uses_index(term->atom, index)) {
            return PLAN_OPAQUE;
        }
    }
    return stride;
}

static int64_t place_all(Ctx *ctx, Map *map, Tensor *const *tensors, uint32_t n, int64_t real_bytes,
                         const Map *rounded) {
    int64_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t bytes = tensors[i]->classes ? 4 : map_has(rounded, tensors[i]) ? 2 : real_bytes;
        int64_t *offset = ARENA_NEW(ctx->arena, int64_t);
        *offset = end;
        map_set(ctx->arena, map, tensors[i], offset);
        end = plan_aligned(end + tensor_elements(tensors[i], 1) * bytes);
    }
    return end;
}

Layout *plan_layout(Ctx *ctx, Tensor *const *params, uint32_t nparams, Tensor *const *states,
                    uint32_t nstates, int64_t real_bytes, const Map *rounded) {
    Layout *layout = ARENA_NEW(ctx->arena, Layout);
    const Map none = {0};
    if (rounded) layout->rounded = *rounded;
    layout->params_bytes =
        place_all(ctx, &layout->params, params, nparams, real_bytes, &layout->rounded);
    layout->state_bytes = place_all(ctx, &layout->states, states, nstates, real_bytes, &none);
    return layout;
}
