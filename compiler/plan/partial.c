/* plan/partial.c: long sums over the examples, in parts.
 *
 * in:   kernels      out: a kernel that reduces many examples to little becomes two: one reduces
 * each part of the examples to a place of its own, the other one the parts, and has the stores;
 * where there is one thread, some contractions stay one kernel that does the same additions
 *
 * The gradient of a weight reads all that was computed for every example. Divided by its elements,
 * each thread would have to fetch what the others have in their caches; divided by examples, each
 * reads what it wrote itself. How many parts there are does not depend on the number of threads:
 * the order of additions, and so the bits, are always the same.
 */
#include "plan/private.h"

#include <string.h>

enum {
    LEAST_PARTS = 4,
    MOST_PARTS = 8,
    PART_CYCLES = 4000, /* worth it to begin a part: about a microsecond */
};

/* Of the cycles of a kernel may go into writing sums of parts and reading them again, which takes
 * a cycle for each CYCLE_ELEMENTS of them where they are about as large as the second-level cache.
 */
static const double most_added = 0.06;
enum { CYCLE_ELEMENTS = 4 };

static Index *examples_of(const Kernel *k) {
    return plan_batch_among(k->over, k->nover);
}

static bool is_plain_fold(ReduceOp op) {
    return op == REDUCE_SUM || op == REDUCE_PROD || op == REDUCE_MAX || op == REDUCE_MIN;
}

/* In how many parts; 0 or 1: it stays whole. */
static int64_t wanted_parts(Planner *p, const Kernel *k) {
    if (k->kind != KERNEL_REDUCE && k->kind != KERNEL_CONTRACT) return 0;
    if (!examples_of(k) || !is_plain_fold(k->op)) return 0;
    for (uint32_t i = 0; i < k->nalso; i++)
        if (!is_plain_fold(k->also[i].op)) return 0;
    if (p->options->split_all || p->options->parts_all)
        return p->m->max_batch < MOST_PARTS ? p->m->max_batch : MOST_PARTS;
    Kernel sums = *k; /* what is done with the results is not divided */
    sums.nstores = 0;
    plan_cycles(p, &sums);
    double results = plan_points(p, k->free, k->nfree) * (1 + k->nalso);
    double parts = most_added * sums.cycles * CYCLE_ELEMENTS / results;
    if (parts > sums.cycles / PART_CYCLES) parts = sums.cycles / PART_CYCLES;
    if (parts > MOST_PARTS) parts = MOST_PARTS;
    double room = 2 * (double)p->options->l2_bytes / ((double)p->real_bytes * results);
    if (parts > room) parts = room;
    if (parts > (double)p->m->max_batch) parts = (double)p->m->max_batch;
    return parts < LEAST_PARTS ? 0 : (int64_t)parts;
}

/* ---- the two kernels ---------------------------------------------------------------------------
 */

typedef struct Parts {
    Planner *p;
    const Kernel *whole;
    Kernel *sums, *total;
    Index *number, *counter; /* of the part: where `sums` writes, what `total` runs over */
} Parts;

static Index *part_index(Planner *p, int64_t parts) {
    return ir_index(p->ctx, "part", parts);
}

/* The tensor of the sums of all parts, the part first. */
static Tensor *parts_tensor(const Parts *s) {
    Planner *p = s->p;
    const Kernel *k = s->whole;
    int64_t *dims = ARENA_ARRAY(p->ctx->arena, int64_t, k->nfree + 1);
    dims[0] = s->number->extent;
    for (uint32_t i = 0; i < k->nfree; i++) dims[i + 1] = k->free[i]->extent;
    const char *name = arena_printf(p->ctx->arena, "%s.parts", k->name);
    return plan_tensor(p, name, k->nfree + 1, dims, 0, k->span);
}

static Index **with_part(const Parts *s, Index *part) {
    const Kernel *k = s->whole;
    Index **at = ARENA_ARRAY(s->p->ctx->arena, Index *, k->nfree + 1);
    at[0] = part;
    for (uint32_t i = 0; i < k->nfree; i++) at[i + 1] = k->free[i];
    return at;
}

/* One of the kernel's reductions: `acc` gets an accumulator that is written for each part; the
 * result is what `total` reduces. */
static const Expr *divide_reduction(Parts *s, Tensor **acc) {
    Planner *p = s->p;
    Kernel *sums = s->sums;
    Tensor *parts = parts_tensor(s), *own = ARENA_NEW(p->ctx->arena, Tensor);
    Index **at = with_part(s, s->number);
    *own = **acc;
    *acc = own;
    plan_add_node(p, parts, at, NULL, sums->span)->in_memory = true;
    sums->stores[sums->nstores++] =
        (Store){.tensor = parts, .at = at, .value = ir_read_at(p->ctx, own, sums->free)};
    return ir_read_at(p->ctx, parts, with_part(s, s->counter));
}

static void build_total(Parts *s) {
    Ctx *ctx = s->p->ctx;
    Kernel *total = s->total;
    total->kind = KERNEL_REDUCE;
    total->over = ARENA_NEW(ctx->arena, Index *);
    total->over[0] = s->counter;
    total->nover = 1;
    total->roles = (Roles){0};
    total->blocking = (Blocking){0};
    total->parts_of = s->sums;
}

static void divide(Planner *p, const Kernel *k, int64_t wanted, Parts *s) {
    Ctx *ctx = p->ctx;
    int64_t turns = (p->m->max_batch + wanted - 1) / wanted;
    int64_t parts = (p->m->max_batch + turns - 1) / turns;
    *s = (Parts){.p = p, .whole = k};
    s->number = part_index(p, parts);
    s->counter = part_index(p, parts);
    s->sums = ARENA_NEW(ctx->arena, Kernel);
    s->total = ARENA_NEW(ctx->arena, Kernel);
    *s->sums = *s->total = *k;
    s->sums->stores = ARENA_ARRAY(ctx->arena, Store, 1 + k->nalso);
    s->sums->nstores = 0;
    s->sums->also = ARENA_ARRAY(ctx->arena, Reduction, k->nalso + 1);
    s->total->also = ARENA_ARRAY(ctx->arena, Reduction, k->nalso + 1);
    s->total->body = divide_reduction(s, &s->sums->acc);
    for (uint32_t i = 0; i < k->nalso; i++) {
        s->sums->also[i] = s->total->also[i] = k->also[i];
        s->total->also[i].body = divide_reduction(s, &s->sums->also[i].acc);
    }
    s->sums->name = s->sums->stores[0].tensor->name;
    s->sums->split =
        (Split){.index = examples_of(k), .parts = parts, .unit = turns, .number = s->number};
    build_total(s);
}

static bool slides(const Expr *read) {
    for (uint32_t d = 0; d < read->read.tensor->rank; d++)
        if (read->read.subs[d]->kind == EX_AFFINE && read->read.subs[d]->affine.nterms > 1)
            return true;
    return false;
}

/* For one thread a contraction can add up its parts itself. Not where it has another form as a
 * whole than in parts, and so would add in another order, in pairs or by vectors of the sum, or
 * might get Winograd's; nor where the sum of a part is done in blocks already. */
static bool adds_up(Planner *p, Kernel *k, int64_t wanted) {
    if (p->options->workers > 1 || p->options->split_all) return false;
    if (k->kind != KERNEL_CONTRACT || k->blocking.pair || examples_of(k) != k->over[0])
        return false;
    if (slides(k->roles.a) || slides(k->roles.b)) return false;
    for (uint32_t i = 0; i < k->nover; i++)
        if (plan_read_stride(p, k->roles.a, k->over[i]) == 1 &&
            plan_read_stride(p, k->roles.b, k->over[i]) == 1)
            return false;
    k->part = (p->m->max_batch + wanted - 1) / wanted;
    plan_finish_kernel(p, k);
    if (k->blocking.turns == k->part && !k->blocking.pair) return true;
    k->part = 0;
    plan_finish_kernel(p, k);
    return false;
}

void plan_partial(Planner *p) {
    Function *f = p->f;
    uint32_t n = f->kernels.len;
    Kernel **kernels = f->kernels.at;
    memset(&f->kernels, 0, sizeof f->kernels);
    for (uint32_t i = 0; i < n; i++) {
        int64_t wanted = wanted_parts(p, kernels[i]);
        if (wanted < 2 || adds_up(p, kernels[i], wanted)) {
            vec_push(p->ctx->arena, &f->kernels, kernels[i]);
            continue;
        }
        Parts s;
        divide(p, kernels[i], wanted, &s);
        plan_finish_kernel(p, s.sums);
        plan_finish_kernel(p, s.total);
        vec_push(p->ctx->arena, &f->kernels, s.sums);
        vec_push(p->ctx->arena, &f->kernels, s.total);
    }
}
