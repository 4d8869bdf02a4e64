/* plan/cost.c: what operations cost.
 */
#include "plan/private.h"

/* ---- operations -------------------------------------------------------------------------------
 */

static double cost_of_op(const Expr *e) {
    switch (e->op.op) {
    case OP_DIV: return e->op.args[1]->kind == EX_NUMBER ? 1 : 4;
    case OP_SQRT: return 5;
    case OP_EXP:
    case OP_LOG:
    case OP_LOG1P:
    case OP_EXPM1:
    case OP_SIN:
    case OP_COS:
    case OP_ERF: return 12;
    case OP_LOGISTIC:
    case OP_TANH: return 16;
    case OP_LOG1PEXP:
    case OP_POW: return 25;
    case OP_STOP: return 0;
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_NEG:
    case OP_MAX:
    case OP_MIN:
    case OP_ABS:
    case OP_SIGN:
    case OP_FLOOR:
    case OP_EQ:
    case OP_NE:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_SELECT:
    case OPS: return 1;
    }
    return 1;
}

static void add_cost(void *data, const Expr *e) {
    double *cost = data;
    switch (e->kind) {
    case EX_OP: *cost += cost_of_op(e); return;
    case EX_DRAW: *cost += 30; return;
    case EX_REAL: *cost += 1; return;
    case EX_FLOORDIV:
    case EX_MOD: *cost += 2; return;
    case EX_READ: *cost += e->read.otherwise ? 2 : 0; return;
    case EX_NUMBER:
    case EX_TRUTH:
    case EX_AFFINE:
    case EX_INDEX:
    case EX_REDUCE:
    case EX_CONTRACT:
    case EX_STEP:
    case EX_BATCH: return;
    }
}

double plan_cost(Ctx *ctx, const Expr *e) {
    double cost = 0;
    ir_visit(ctx, e, add_cost, &cost);
    return cost;
}

/* Additions, multiplications and the like, each 1, as FLOP counts go. */
static void add_flop(void *data, const Expr *e) {
    double *flops = data;
    if (e->kind == EX_OP && e->op.op != OP_STOP && e->type == TY_REAL) *flops += 1;
}

static double points_per_example(Index *const *indices, uint32_t n) {
    double points = 1;
    for (uint32_t i = 0; i < n; i++)
        if (indices[i]->extent != EXTENT_BATCH) points *= (double)indices[i]->extent;
    return points;
}

static void count(Kernel *k, double flops, bool batched) {
    *(batched ? &k->example_flops : &k->flops) += flops;
}

void plan_flops(Ctx *ctx, Kernel *k) {
    k->flops = k->example_flops = 0;
    double body = 0, stores = 0, free = points_per_example(k->free, k->nfree);
    double over = points_per_example(k->over, k->nover);
    bool free_batched = plan_batch_among(k->free, k->nfree);
    bool batched = free_batched || plan_batch_among(k->over, k->nover);
    if (k->body) ir_visit(ctx, k->body, add_flop, &body);
    for (uint32_t i = 0; i < k->nalso; i++) ir_visit(ctx, k->also[i].body, add_flop, &body);
    body += k->nalso;
    for (uint32_t i = 0; i < k->nstores; i++) {
        double flops = 0;
        ir_visit(ctx, k->stores[i].value, add_flop, &flops);
        stores += flops;
    }
    switch (k->kind) {
    case KERNEL_MAP: count(k, free * stores, free_batched); break;
    case KERNEL_REDUCE:
    case KERNEL_CONTRACT:
        count(k, free * over * (body + 1), batched);
        count(k, free * stores, free_batched);
        break;
    case KERNEL_SCATTER:
        count(k, free / (double)k->free[k->scatter_dim]->extent * over * (body + 1), batched);
        break;
    case KERNEL_SCAN:
    case KERNEL_NEST: break; /* its steps' */
    }
}

double plan_share_used(int64_t extent, int64_t tile) {
    return (double)extent / (double)((extent + tile - 1) / tile * tile);
}
